from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aigw.records import InterceptionEnd, Record, Status, TokenUsage
from aigw.store.database import open_for_writing
from aigw.store.retention import prune_batch
from aigw.store.rows import COLUMNS, ROWS_PER_STATEMENT
from aigw.store.schema import CHILD_TABLES
from aigw.store.transaction import Transaction
from tests.store.rows import DAY, NOON, children, end, start
from tests.store.writing import all_seqs, begun, ended, said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aigw.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(path, "normal")) as made:
        yield made


@pytest.fixture
def transaction(connection: sqlite3.Connection) -> Transaction:
    return Transaction(connection)


def count(connection: sqlite3.Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def test_every_type_has_its_row(transaction: Transaction, connection: sqlite3.Connection) -> None:
    records = [start("i"), *children("i", NOON, "hello"), end("i", NOON + 1)]
    transaction.write(records)
    assert {table: count(connection, table) for table in COLUMNS} == dict.fromkeys(COLUMNS, 1)
    assert transaction.records_written == len(records) == 7


def test_values_come_back_as_they_were(
    transaction: Transaction, connection: sqlite3.Connection
) -> None:
    usage = TokenUsage(
        interception_id="i",
        created_at=NOON,
        id="k",
        msg_id="m",
        input_tokens=2**63 - 1,
        output_tokens=0,
        metadata={"a": 1, "b": "\u00e9\x00"},
    )
    transaction.write([begun(0), start("i"), said(0, "zero \x00 and \u00e9\U0001f600"), usage])
    (prompt,) = connection.execute("SELECT prompt FROM user_prompts").fetchone()
    assert prompt == "zero \x00 and \u00e9\U0001f600"
    row = connection.execute("SELECT input_tokens, metadata FROM token_usages").fetchone()
    assert row == (2**63 - 1, '{"a":1,"b":"\u00e9\\u0000"}')


def test_seq_is_the_order_of_the_records(
    transaction: Transaction, connection: sqlite3.Connection
) -> None:
    transaction.write([begun(0), begun(1), said(1, "b"), said(0, "a")])
    transaction.write([ended(1), said(0, "c"), ended(0)])
    rows = connection.execute("SELECT seq, prompt FROM user_prompts ORDER BY seq").fetchall()
    assert rows == [(3, "b"), (4, "a"), (6, "c")]
    rows = connection.execute("SELECT id, seq, end_seq FROM interceptions ORDER BY seq").fetchall()
    assert rows == [("i-0", 1, 7), ("i-1", 2, 5)]


def test_more_rows_than_a_statement_takes(transaction: Transaction, path: Path) -> None:
    many = ROWS_PER_STATEMENT * 3 + 1
    transaction.write([begun(number) for number in range(many)])
    transaction.write([ended(number) for number in range(many)])
    assert all_seqs(path) == list(range(1, 2 * many + 1))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (said(0, "\ud800"), UnicodeEncodeError),
        (start("i-0"), sqlite3.IntegrityError),
        (end("i-0", 2**63), OverflowError),
    ],
    ids=["text", "same id", "number"],
)
def test_all_or_nothing(
    transaction: Transaction, path: Path, bad: Record, error: type[Exception]
) -> None:
    transaction.write([begun(0)])
    with pytest.raises(error):
        transaction.write([begun(1), said(0, "good"), bad])
    assert all_seqs(path) == [1]
    assert transaction.records_written == 1
    # Neither the numbers nor the open interceptions of the failed batch are remembered.
    transaction.write([said(1, "of an interception that was not stored"), said(0, "next")])
    assert all_seqs(path) == [1, 2]


def test_what_belongs_to_nothing_is_left_out(transaction: Transaction, path: Path) -> None:
    transaction.write([said(0, "no start"), ended(0), begun(1)])
    assert all_seqs(path) == [1]
    assert transaction.records_written == 1


def test_ended_interceptions_are_forgotten(transaction: Transaction) -> None:
    transaction.write([begun(0), begun(1)])
    transaction.write([ended(0), begun(2), ended(2)])
    assert list(transaction._open) == ["i-1"]


def test_a_busy_file_changes_nothing(transaction: Transaction, path: Path) -> None:
    transaction.write([begun(0)])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            transaction.write([ended(0)])
    transaction.write([ended(0)])
    assert all_seqs(path) == [1, 2]


def test_the_counter_survives_empty_tables(
    transaction: Transaction, connection: sqlite3.Connection, path: Path
) -> None:
    transaction.write([begun(0), said(0, "x"), ended(0)])
    prune_batch(connection, NOON + DAY)
    assert all_seqs(path) == []
    later = Transaction(connection)
    later.write([begun(1)])
    assert all_seqs(path) == [4]


def test_records_go_with_their_interception(
    transaction: Transaction, connection: sqlite3.Connection
) -> None:
    transaction.write([start("i"), *children("i", NOON, "hello")])
    connection.execute("DELETE FROM interceptions")
    assert [count(connection, table) for table in CHILD_TABLES] == [0] * len(CHILD_TABLES)


def test_orphans(transaction: Transaction, connection: sqlite3.Connection) -> None:
    transaction.write([begun(0), begun(1), begun(2), ended(1)])
    later = Transaction(connection)
    ends = later.end_orphans(NOON + 60_000_000)
    assert [end.interception_id for end in ends] == ["i-0", "i-2"]
    assert later.end_orphans(NOON + 60_000_000) == []
    rows = connection.execute(
        "SELECT id, end_seq, status, duration_ms FROM interceptions ORDER BY seq"
    ).fetchall()
    assert rows == [
        ("i-0", 5, "aborted", 60_000),
        ("i-1", 4, "completed", 1000),
        ("i-2", 6, "aborted", 59_999),
    ]
    later.write([begun(3)])
    assert connection.execute("SELECT max(seq) FROM interceptions").fetchone() == (7,)


def test_every_status_is_stored_as_its_word(
    transaction: Transaction, connection: sqlite3.Connection
) -> None:
    for status in Status:
        key = f"i-{status}"
        transaction.write(
            [start(key), InterceptionEnd(interception_id=key, ended_at=1, status=status)]
        )
    found = connection.execute("SELECT status FROM interceptions ORDER BY seq").fetchall()
    assert found == [(status.value,) for status in Status]
