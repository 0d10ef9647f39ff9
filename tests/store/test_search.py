from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.store import search
from aigw.store.retention import prune_batch
from aigw.store.search import TextMatch, index_batch, indexed_seq, match_expression, merge_step
from tests.store.rows import DAY, NOON, Store, prompt


def matches(reader: sqlite3.Connection, text: str) -> list[int]:
    found = TextMatch(reader, match_expression(text))
    rising = [s for chunk in found.after(0) for s in chunk]
    falling = [s for chunk in found.before(1 << 40) for s in chunk]
    assert falling == rising[::-1]
    return rising


def write_prompts(store: Store, *texts: str) -> None:
    key = store.start()
    store.write(*[prompt(key, text) for text in texts])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fix bug", '"fix" AND "bug"'),
        ('"the bug" fix', '"the bug" AND "fix"'),
        ("pars*", '"pars"*'),
        ("a:b AND NOT -c", '"a:b" AND "AND" AND "NOT" AND "-c"'),
        ('un"closed phrase', '"un" AND "closed phrase"'),
        ("!!! word (", '"word"'),
    ],
)
def test_what_is_typed_becomes_quoted_terms(text: str, expected: str) -> None:
    assert match_expression(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "!!!", '""', "*", "\0"])
def test_nothing_to_search_for(text: str) -> None:
    with pytest.raises(ValueError, match="nothing to search for"):
        match_expression(text)


@given(st.text())
def test_no_text_is_a_syntax_error(text: str) -> None:
    try:
        expression = match_expression(text)
    except ValueError:
        return
    scratch = sqlite3.connect(":memory:")
    try:
        scratch.execute("CREATE VIRTUAL TABLE t USING fts5 (x, content = '')")
        expression.encode()
        scratch.execute("SELECT rowid FROM t WHERE t MATCH ?", (expression,)).fetchall()
    except UnicodeEncodeError:
        pass
    finally:
        scratch.close()


@pytest.mark.parametrize("indexed", [0, 2, 4])
def test_indexed_and_recent_records_are_found_alike(
    store: Store, reader: sqlite3.Connection, indexed: int
) -> None:
    write_prompts(store, "Fix the bug", "parse the file", "the bug is fixed", "Caf\u00e9")
    if indexed:
        assert index_batch(store.connection, indexed) == indexed
    assert matches(reader, "bug") == [2, 4]
    assert matches(reader, "fix*") == [2, 4]
    assert matches(reader, '"the bug"') == [2, 4]
    assert matches(reader, "bug the fix") == [2]
    assert matches(reader, "cafe") == [5]
    assert matches(reader, "absent") == []


def test_chunks_over_many_matches(store: Store, reader: sqlite3.Connection) -> None:
    write_prompts(store, *["same"] * 1000)
    store.index()
    write_prompts(store, "same")
    assert matches(reader, "same") == [*range(2, 1002), 1003]


@pytest.mark.parametrize("indexed", [0, 7, 100])
def test_beginnings_of_words_are_found_with_and_without_the_index(
    store: Store, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, indexed: int
) -> None:
    monkeypatch.setattr(search, "LOOKED_AT", (3, 5))
    monkeypatch.setattr(search, "FIRST_CHUNK", 2)
    monkeypatch.setattr(search, "CANDIDATES", 6)
    texts = [f"{'even' if n % 2 == 0 else 'odd'} n{n} t{n % 3}x" for n in range(30)]
    write_prompts(store, *texts)
    index_batch(store.connection, indexed)
    assert len(matches(reader, "o*")) == 15
    assert matches(reader, "t2*") == [n + 2 for n in range(2, 30, 3)]
    assert matches(reader, "even t2*") == [n + 2 for n in range(2, 30, 6)]
    assert matches(reader, "n3 e*") == []
    assert matches(reader, "o* n2*") == [n + 2 for n in (21, 23, 25, 27, 29)]


def test_a_screen_of_common_beginnings_asks_the_index_for_nothing(
    store: Store, reader: sqlite3.Connection
) -> None:
    """It would merge all words that begin so, for seconds in a big store."""
    write_prompts(store, *["alpha beta"] * 300)
    store.index()
    asked: list[str] = []
    reader.set_trace_callback(asked.append)
    assert next(TextMatch(reader, match_expression("a*")).before(1 << 40))[0] == 301
    assert not [sql for sql in asked if "MATCH" in sql]
    assert next(TextMatch(reader, match_expression("alpha b*")).before(1 << 40))[0] == 301
    assert [sql for sql in asked if "MATCH" in sql and "*" in sql.partition("MATCH")[2]] == []


def test_batches_advance_and_end(store: Store) -> None:
    write_prompts(store, *["text"] * 5)
    assert [index_batch(store.connection, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert indexed_seq(store.connection) == 6


def test_every_searchable_column_is_indexed(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(prompt="alpha")
    assert store.index() == 4
    for word in ("alpha", "file", "think", "ls"):
        assert len(matches(reader, word)) == 1


def test_pruned_before_and_after_indexing(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(NOON, prompt="old")
    store.index()
    store.whole(NOON + 1, prompt="old unindexed")
    store.whole(NOON + DAY, prompt="old but kept")
    assert prune_batch(store.connection, NOON + DAY)["user_prompts"] == 2
    assert matches(reader, "old") == [16]
    assert store.index() == 4
    assert matches(reader, "old") == [16]
    store.connection.execute("INSERT INTO search (search) VALUES ('integrity-check')")


def test_failed_batch_leaves_no_transaction(store: Store) -> None:
    write_prompts(store, "text")
    store.connection.execute("DROP TABLE tool_results")
    with pytest.raises(sqlite3.OperationalError):
        index_batch(store.connection, 10)
    assert not store.connection.in_transaction


def test_segments_are_merged_in_steps_and_never_inside_a_commit(store: Store) -> None:
    def segments() -> int:
        found: int = store.connection.execute(
            "SELECT count(DISTINCT segid) FROM search_idx"
        ).fetchone()[0]
        return found

    for number in range(40):
        store.whole(NOON + number, prompt=f"word{number}")
        store.index()
    assert segments() == 40
    steps = 0
    while merge_step(store.connection):
        steps += 1
    assert steps > 0
    assert segments() < 16
    assert store.connection.execute(
        "SELECT count(*) FROM search WHERE search MATCH 'word*'"
    ).fetchone() == (40,)
