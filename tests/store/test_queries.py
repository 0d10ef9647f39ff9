from __future__ import annotations

from itertools import count, pairwise
from typing import TYPE_CHECKING

import pytest

from aigw.records import PromptUsage, Record, RecordType, Status, log_object
from aigw.store import queries, search, selection
from aigw.store.filters import Filters, resolve_id
from aigw.store.queries import after, tail
from aigw.store.rollup import roll_up
from aigw.store.schema import last_seq
from tests.store.rows import DAY, HOUR, NOON, SECOND, Store, children, end, prompt, start

if TYPE_CHECKING:
    import sqlite3


def shown(records: list[Record]) -> list[tuple[str, str]]:
    return [(r.interception_id, log_object(r)["record_type"]) for r in records]


def prompts(reader: sqlite3.Connection, limit: int = 100, **filters: object) -> list[str]:
    wanted = Filters(types=frozenset({RecordType.PROMPT_USAGE}), **filters)  # type: ignore[arg-type]
    return [r.prompt for r in tail(reader, wanted, limit)]  # type: ignore[union-attr]


def test_every_record_comes_back_as_it_was_logged(store: Store, reader: sqlite3.Connection) -> None:
    full = start(
        "0000-a", api_key_id="key", correlating_tool_call_id="call_0", client_session_id=None
    )
    failed = end(
        "0000-a",
        NOON + 7,
        status=Status.FAILED,
        status_code=None,
        error_type="overloaded",
        error_message="try later",
        time_to_first_byte_ms=None,
        streaming=False,
    )
    written: list[Record] = [full, *children("0000-a", NOON + 1, "a\x00b\u2028"), failed]
    store.write(*written)
    found = list(tail(reader, Filters(), 0))
    assert found == written
    assert [log_object(r) for r in found] == [log_object(r) for r in written]


def test_tail_is_the_last_in_commit_order(store: Store, reader: sqlite3.Connection) -> None:
    one, two = store.start(), store.start()
    store.write(prompt(two, "second first"), prompt(one, "first second"), end(one, NOON + 1))
    assert shown(list(tail(reader, Filters(), 3))) == [
        (two, "prompt_usage"),
        (one, "prompt_usage"),
        (one, "interception_end"),
    ]


@pytest.mark.parametrize("limit", [0, 1, 6, 7, 8, 20, 21, 1000])
def test_limit(store: Store, reader: sqlite3.Connection, limit: int) -> None:
    for n in range(3):
        store.whole(NOON + n)
    everything = list(tail(reader, Filters(), 0))
    assert len(everything) == 21
    assert list(tail(reader, Filters(), limit)) == everything[-limit:]


def test_all_is_read_in_windows(
    store: Store, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW", 4)
    monkeypatch.setattr(queries, "LARGEST_WINDOW", 8)
    keys = [store.whole(NOON + n) for n in range(10)]
    found = shown(list(tail(reader, Filters(), 0)))
    assert found == [(key, kind) for key in keys for _, kind in found[:7]]


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"provider": "OpenAI"}, ["b", "c"]),
        ({"provider": "mine"}, ["c"]),
        ({"model": "CLAUDE-opus-4-5"}, ["a"]),
        ({"model": "gpt*"}, ["b", "c"]),
        ({"model": "gpt_5"}, []),
        ({"model": "*"}, ["a", "b", "c"]),
        ({"client": "claude code"}, ["a"]),
        ({"initiator": "Bob"}, ["b"]),
        ({"session": "session-2"}, ["b"]),
        ({"status": "failed"}, ["c"]),
        ({"status": "running"}, []),
        ({"since": NOON + HOUR}, ["b", "c"]),
        ({"until": NOON + HOUR}, ["a"]),
        ({"since": NOON + 1, "until": NOON + DAY}, ["b"]),
        ({"text": "shared"}, ["a", "b", "c"]),
        ({"text": "shared", "model": "gpt*"}, ["b", "c"]),
        ({"text": "unshared"}, []),
        ({"text": "shared", "since": NOON + HOUR, "until": NOON + DAY}, ["b"]),
    ],
)
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("limit", [0, 100])
def test_filters(
    store: Store,
    reader: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
    filters: dict[str, object],
    expected: list[str],
    indexed: bool,
    limit: int,
) -> None:
    # The same answer whichever way leads to it.
    monkeypatch.setattr(selection, "FEW", few)
    monkeypatch.setattr(selection, "NARROW", 0)
    store.whole(NOON, prompt="a shared")
    openai = {"provider": "openai", "client": "Codex"}
    store.whole(
        NOON + HOUR,
        prompt="b shared",
        model="gpt-5",
        provider_name="openai",
        initiator_id="bob",
        client_session_id="session-2",
        **openai,
    )
    if indexed:
        store.index()
        assert not roll_up(store.connection)
    store.whole(
        NOON + DAY,
        prompt="c shared",
        model="gpt-5",
        provider_name="mine",
        status=Status.FAILED,
        client_session_id=None,
        **openai,
    )
    assert [text[0] for text in prompts(reader, limit, **filters)] == expected


@pytest.mark.parametrize("name", ["model", "client", "provider", "initiator"])
@pytest.mark.parametrize("text", [None, "word"])
def test_absent_names_are_told_without_reading_the_interceptions(
    store: Store,
    reader: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str | None,
) -> None:
    monkeypatch.setattr(selection, "NARROW", 0)
    for second in range(300):
        store.whole(NOON + second * SECOND, prompt="a word")
    store.index()
    while roll_up(store.connection):
        pass
    steps = count(1)
    reader.set_progress_handler(lambda: next(steps) < 0, 1)
    assert prompts(reader, text=text, **{name: "absent*"}) == []
    assert next(steps) < 300


def test_running_interceptions_are_found_by_their_names(
    store: Store, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "NARROW", 0)
    store.start(NOON, provider_name="new")
    while roll_up(store.connection):
        pass
    assert len(list(tail(reader, Filters(provider="new"), 10))) == 1


def test_time_filter_is_by_record_and_survives_a_clock_set_back(
    store: Store, reader: sqlite3.Connection
) -> None:
    long = store.start(NOON)
    store.write(prompt(long, "late", NOON + DAY))
    ahead = store.start(NOON + 2 * DAY)
    store.write(prompt(ahead, "ahead", NOON + 2 * DAY))
    back = store.start(NOON + DAY)
    store.write(prompt(back, "back", NOON + DAY))
    assert prompts(reader, since=NOON + DAY) == ["late", "ahead", "back"]
    assert prompts(reader, since=NOON + DAY + 1) == ["ahead"]
    assert prompts(reader, until=NOON + 2 * DAY) == ["late", "back"]


def test_record_types(store: Store, reader: sqlite3.Connection) -> None:
    store.whole()
    for kind in RecordType:
        found = list(tail(reader, Filters(types=frozenset({kind})), 10))
        assert [log_object(r)["record_type"] for r in found] == [kind.value]


def test_after_gives_what_is_new_and_how_far_it_reaches(
    store: Store, reader: sqlite3.Connection
) -> None:
    store.whole()
    pieces = list(after(reader, Filters(), 0))
    assert sum(len(records) for records, _ in pieces) == 7
    assert pieces[-1][1] == last_seq(reader) == 7
    assert list(after(reader, Filters(), 7)) == [([], 7)]
    key = store.start(model="gpt-5")
    filters = Filters(model="gpt*")
    found = [r.interception_id for records, _ in after(reader, filters, 7) for r in records]
    assert found == [key]


@pytest.mark.parametrize("filters", [{}, {"session": "long"}, {"text": "word"}])
def test_pieces_end_where_texts_are_long(
    store: Store,
    reader: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, str],
) -> None:
    """However long prompts are, a piece holds little more than one of them."""
    for number in range(6):
        store.whole(NOON + number, prompt=f"word {number} " + "x" * 900, client_session_id="long")
    store.whole(prompt="word", client_session_id="long")
    wanted = Filters(**filters)
    (whole, _), *others = after(reader, wanted, 0)
    assert [records for records, _ in others] == [[]] * len(others)
    reach = others[-1][1]
    monkeypatch.setattr(queries, "TEXT_AT_ONCE", 1000)
    pieces = list(after(reader, wanted, 0))
    assert [record for records, _ in pieces for record in records] == whole
    assert max(sum(isinstance(r, PromptUsage) for r in records) for records, _ in pieces) <= 2
    assert len(pieces) > 3
    reaches = [reached for _, reached in pieces]
    assert reaches == sorted(reaches)
    assert reaches[-1] == reach
    assert list(tail(reader, wanted, 100)) == whole


def test_reading_goes_on_while_records_are_pruned(
    store: Store, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FETCHED", 5)
    for n in range(4):
        store.whole(NOON + n * SECOND)
    records = tail(reader, Filters(), 28)
    first = next(records)
    store.connection.execute("DELETE FROM interceptions WHERE started_at < ?", (NOON + 2 * SECOND,))
    rest = list(records)
    assert first not in rest
    assert len(rest) == 4 + 14


def test_many_pages_stay_in_order(store: Store, reader: sqlite3.Connection) -> None:
    ids = [store.start(NOON + n) for n in range(50)]
    store.write(*[end(key, NOON + 100) for key in reversed(ids)])
    kinds = shown(list(tail(reader, Filters(), 0)))
    assert [key for key, kind in kinds if kind == "interception_end"] == ids[::-1]
    assert all(a != b for a, b in pairwise(kinds))


def test_ids_by_prefix(store: Store, reader: sqlite3.Connection) -> None:
    store.write(start("01aa-1"), start("01aa-2"), start("01ab-1"))
    assert resolve_id(reader, "01AB") == "01ab-1"
    with pytest.raises(ValueError, match=r"several .* 01aa-1, 01aa-2$"):
        resolve_id(reader, "01aa")
    with pytest.raises(ValueError, match="no interception"):
        resolve_id(reader, "01%")
    with pytest.raises(ValueError, match="is needed"):
        resolve_id(reader, " ")


def test_a_search_gives_its_first_records_before_it_has_all(
    store: Store, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the time to the first record nor the memory grows with what is found."""
    monkeypatch.setattr(search, "FIRST_CHUNK", 2)
    monkeypatch.setattr(search, "LARGEST_CHUNK", 4)
    monkeypatch.setattr(selection, "NARROW", 0)
    keys = [store.whole(NOON + n, prompt="common") for n in range(40)]
    store.index()
    keys += [store.whole(NOON + n, prompt="common") for n in range(40, 50)]
    asked: list[str] = []
    reader.set_trace_callback(lambda sql: asked.append(sql) if " MATCH " in sql else None)
    pieces = queries.after(reader, Filters(text="common"), -1)
    found = [record.interception_id for record in next(pieces)[0]]
    assert len(asked) == 1
    found += [record.interception_id for records, _ in pieces for record in records]
    assert found == keys
