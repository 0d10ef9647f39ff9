"""The list of sessions: what is on a page, in what order, with which figures, by which way."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aigw.records import Status, ToolUsage
from aigw.store import search, session_matches, session_text
from aigw.store.reader import open_reader
from aigw.store.retention import prune_batch
from aigw.store.rollup import roll_up
from aigw.store.sessions import (
    SHOWN_PROMPT,
    SessionQuery,
    UnknownCursorError,
    has_sessions,
    list_sessions,
    summarise,
)
from aigw.store.views import create_views
from tests.store.rows import DAY, HOUR, NOON, SECOND, Store, end, new_store, prompt, start

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


def ids(reader: sqlite3.Connection, **query: Any) -> list[str]:
    page = list_sessions(reader, SessionQuery(**query))
    return [session.id for session in page.sessions]


def count(reader: sqlite3.Connection, **query: Any) -> int | None:
    return list_sessions(reader, SessionQuery(**query)).count


def rolled(store: Store) -> None:
    while roll_up(store.connection):
        pass


def test_an_empty_store(reader: sqlite3.Connection) -> None:
    page = list_sessions(reader, SessionQuery())
    assert (page.count, page.sessions) == (0, [])
    assert summarise(reader, 1) is None


def test_the_figures_of_a_session(store: Store, reader: sqlite3.Connection) -> None:
    own: dict[str, Any] = {"client_session_id": "s", "initiator_id": "ann"}
    store.whole(NOON, prompt="first", **own)
    store.whole(NOON + SECOND, prompt="", plan="claude", model="gpt-5", client="", **own)
    failed = start("f", NOON + 2 * SECOND, parent_session_id="above", provider_name="mine", **own)
    sums = {"cost_micros": 7, "unpriced": 1, "estimated": 2}
    store.write(failed, end("f", NOON + 9 * SECOND, status=Status.FAILED, **sums))
    covered = start("p", NOON + 3 * SECOND, plan="claude", **own)
    store.write(
        covered,
        prompt("p", "x" * SHOWN_PROMPT + "y", NOON + 3 * SECOND),
        ToolUsage(
            interception_id="p", created_at=NOON, id="g", msg_id="", tool_call_id="c",
            tool="Grep", input="{}",
        ),
        end("p", NOON + 4 * SECOND, status=Status.ABORTED, cost_micros=11),
    )  # fmt: skip
    rolled(store)
    (found,) = list_sessions(reader, SessionQuery()).sessions
    assert (found.id, found.initiator_id, found.parent_id) == ("s", "ann", "above")
    assert found.clients == ("Claude Code",)
    assert found.providers == ("anthropic", "mine")
    assert found.models == ("claude-opus-4-5", "gpt-5")
    assert found.metadata == {"request_user_agent": "claude-cli/2", "n": [1, None, "\u00e9"]}
    assert (found.started_at, found.ended_at) == (NOON, NOON + 9 * SECOND)
    assert found.last_active_at == NOON + 9 * SECOND
    assert (found.threads, found.requests, found.running) == (4, 4, 0)
    assert (found.errors, found.aborted) == (1, 1)
    assert (found.input_tokens, found.output_tokens, found.reasoning_tokens) == (40, 80, 20)
    assert (found.cache_read_input_tokens, found.cache_write_input_tokens) == (120, 160)
    assert (found.cost_micros, found.plan_micros) == (7, 11)
    assert (found.unpriced, found.estimated) == (1, 2)
    assert list(found.tools.items()) == [("Bash", 2), ("Grep", 1)]
    assert (found.first_prompt, found.last_prompt) == ("first", "x" * SHOWN_PROMPT)
    assert summarise(reader, found.seq) == found


def test_a_running_session_has_no_end(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(NOON, client_session_id="s")
    key = store.start(NOON + HOUR, client_session_id="s", client="")
    (found,) = list_sessions(reader, SessionQuery()).sessions
    assert (found.ended_at, found.running, found.requests) == (None, 1, 2)
    assert ids(reader, status="running") == ["s"]
    assert ids(reader, status="running", model="claude*", wildcards=True) == ["s"]
    assert ids(reader, status="running", model="gpt*", wildcards=True) == []
    store.write(end(key, NOON + 2 * HOUR))
    (found,) = list_sessions(reader, SessionQuery()).sessions
    assert found.ended_at == NOON + 2 * HOUR
    assert ids(reader, status="running") == []


def test_without_prompts_and_names(store: Store, reader: sqlite3.Connection) -> None:
    key = store.start(NOON, client_session_id=None, client="", model="")
    (found,) = list_sessions(reader, SessionQuery()).sessions
    assert (found.id, found.clients, found.models, found.tools) == (key, (), (), {})
    assert (found.first_prompt, found.last_prompt, found.ended_at) == (None, None, None)


def test_a_sub_agents_prompt_is_shown_where_there_is_no_other(
    store: Store, reader: sqlite3.Connection
) -> None:
    store.whole(NOON, client_session_id="s", prompt="look", agent_id="a")

    def prompts() -> list[tuple[str, str]]:
        (found,) = list_sessions(reader, SessionQuery()).sessions
        (in_view,) = reader.execute("SELECT first_prompt, last_prompt FROM v_sessions").fetchall()
        return [(found.first_prompt, found.last_prompt), in_view]

    create_views(reader)
    assert prompts() == [("look", "look")] * 2
    store.whole(NOON, client_session_id="s", prompt="fix it")
    store.whole(NOON, client_session_id="s", prompt="look again", agent_id="a")
    assert prompts() == [("fix it", "fix it")] * 2


def test_what_a_client_asks_for_a_title_is_not_what_a_session_was_about(
    store: Store, reader: sqlite3.Connection
) -> None:
    title = "<session>\nfix it\n</session>\n\nWrite the title in the language the user wrote in."
    create_views(reader)

    def prompts() -> set[tuple[str, str]]:
        (found,) = list_sessions(reader, SessionQuery()).sessions
        (in_view,) = reader.execute("SELECT first_prompt, last_prompt FROM v_sessions").fetchall()
        return {(found.first_prompt, found.last_prompt), in_view}

    store.whole(NOON, client_session_id="s", prompt=title)
    assert prompts() == {(title, title)}
    store.whole(NOON, client_session_id="s", prompt="fix it")
    store.whole(NOON, client_session_id="s", prompt=title)
    assert prompts() == {("fix it", "fix it")}


def test_the_last_active_first(store: Store, reader: sqlite3.Connection) -> None:
    for name in ("a", "b", "c"):
        store.whole(NOON, client_session_id=name)
    store.whole(NOON - HOUR, client_session_id="old")
    rolled(store)
    # Three were active last in the same microsecond: the id decides.
    assert ids(reader) == ["c", "b", "a", "old"]
    store.whole(NOON + HOUR, client_session_id="old")
    rolled(store)
    assert ids(reader) == ["old", "c", "b", "a"]


@pytest.mark.parametrize("is_rolled", [False, True])
def test_names_ignore_case_and_stars(
    store: Store, reader: sqlite3.Connection, is_rolled: bool
) -> None:
    store.whole(
        client_session_id="S%_1", model="GPT-5", client="Codex CLI", provider="openai",
        provider_name="Mine", initiator_id="Ann",
    )  # fmt: skip
    store.whole(client_session_id="other", initiator_id="bob")
    if is_rolled:
        rolled(store)
    for query in (
        {"model": "gpt-5"},
        {"client": "codex cli"},
        {"provider": "OpenAI"},
        {"provider_name": "mine"},
        {"any_provider": "mine"},
        {"any_provider": "OPENAI"},
        {"initiator": "ann"},
        {"session_id": "s%_1"},
    ):
        assert ids(reader, **query) == ["S%_1"], query
    for name in ("model", "client", "provider", "provider_name", "session_id", "any_provider"):
        for text in ("*", "gpt*", "%", "_____", "S%", "", "gpt-5\0", "GPT-5\0x"):
            assert ids(reader, **{name: text}) == [], (name, text)
    # For a command a star is any text, and nothing else is special.
    assert ids(reader, model="G*5", wildcards=True) == ["S%_1"]
    assert ids(reader, session_id="s%*", wildcards=True) == ["S%_1"]
    assert ids(reader, session_id="o%r*", wildcards=True) == []
    assert ids(reader, initiator="B*", wildcards=True) == ["other"]


def test_all_filters_hold_for_one_interception(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(client_session_id="s", model="gpt-5", client="Codex")
    store.whole(client_session_id="s", model="claude", client="Zed")
    assert ids(reader, model="gpt-5", client="codex") == ["s"]
    assert ids(reader, model="gpt-5", client="zed") == []


def test_times(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(NOON, client_session_id="s")
    store.whole(NOON + DAY, client_session_id="s")
    rolled(store)
    last = NOON + DAY + SECOND
    for query, expected in (
        ({"started_after": NOON}, 1),
        ({"started_after": NOON + 1}, 0),
        ({"started_before": NOON}, 1),
        ({"started_before": NOON - 1}, 0),
        ({"active_since": last}, 1),
        ({"active_since": last + 1}, 0),
        ({"active_until": NOON + 1}, 1),
        ({"active_until": NOON}, 0),
    ):
        assert count(reader, **query) == expected, query


def test_a_text_in_any_record(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(client_session_id="s", prompt="Fix the parser")
    store.index()
    store.whole(NOON + 1, client_session_id="t", prompt="unindexed parser", model="gpt-5")
    rolled(store)
    assert ids(reader, text="parser") == ["t", "s"]
    assert count(reader, text="parser") == 2
    assert ids(reader, text="fix pars*") == ["s"]
    assert ids(reader, text="think", model="gpt-5") == ["t"]
    assert ids(reader, text="nothing") == []
    for text in ("", "  ", '"*" :'):
        with pytest.raises(ValueError, match="at least one word"):
            ids(reader, text=text)


def test_an_owner_sees_their_own_only(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(client_session_id="shared", initiator_id="Ann", model="gpt-5")
    store.whole(client_session_id="shared", initiator_id="ann")
    store.whole(client_session_id="other", initiator_id="bob")
    assert [s.initiator_id for s in list_sessions(reader, SessionQuery(owner="Ann")).sessions] == [
        "Ann"
    ]
    assert count(reader, owner="Ann") == 1
    assert ids(reader, owner="Ann", initiator="bob") == []
    assert ids(reader, owner="ann", model="gpt-5") == []
    with pytest.raises(UnknownCursorError, match='session "other" not found'):
        ids(reader, owner="Ann", after_session_id="other")
    # Of two with the same id one's own is meant.
    assert ids(reader, owner="Ann", after_session_id="shared") == []
    assert has_sessions(reader, "BOB")
    assert not has_sessions(reader, "bob", "Ann")
    assert not has_sessions(reader, "b*")


def test_a_cursor_of_several_users(store: Store, reader: sqlite3.Connection) -> None:
    for n, name in enumerate(("ann", "bob", "eve")):
        store.whole(NOON + n, client_session_id="shared", initiator_id=name)
    with pytest.raises(UnknownCursorError, match="several users"):
        ids(reader, after_session_id="shared")
    seen: list[str] = []
    query = SessionQuery(limit=1)
    while page := list_sessions(reader, query).sessions:
        seen.append(page[0].initiator_id)
        query = replace(query, after_session_id=page[0].id, after_active_at=page[0].last_active_at)
    assert seen == ["eve", "bob", "ann"]


def test_paging_by_offset(store: Store, reader: sqlite3.Connection) -> None:
    for n in range(9):
        store.whole(NOON + n // 3, client_session_id=f"s{n}")
    expected = [f"s{n}" for n in (8, 7, 6, 5, 4, 3, 2, 1, 0)]
    assert ids(reader, offset=2, limit=4) == expected[2:6]
    assert ids(reader, offset=9) == []
    assert ids(reader, offset=2, limit=4, text="hello", is_counted=False) == expected[2:6]
    assert ids(reader, offset=2, limit=4, client="claude code") == expected[2:6]


@pytest.mark.parametrize(
    "query", [{}, {"client": "claude code"}, {"text": "hello"}, {"model": "gpt-5"}], ids=str
)
def test_paging_shows_each_session_once_while_others_come_and_go_on(
    store: Store, reader: sqlite3.Connection, query: dict[str, Any]
) -> None:
    known = [f"s{n}" for n in range(40)]
    for n, name in enumerate(known):
        model = "gpt-5" if n % 4 else "gpt-4"
        # Many were active last at the same time.
        store.whole(NOON + n // 7, client_session_id=name, model=model)
    rolled(store)
    store.index()
    wanted = [name for n, name in enumerate(known) if n % 4 or query.get("model") != "gpt-5"]
    seen: list[str] = []
    asked = SessionQuery(limit=3, is_counted=False, **query)
    while page := list_sessions(reader, asked).sessions:
        seen += [session.id for session in page]
        last = page[-1]
        asked = replace(asked, after_session_id=last.id, after_active_at=last.last_active_at)
        # One that was shown goes on, and a new one begins: both are before the cursor now.
        for name in (last.id, f"new{len(seen)}"):
            store.whole(NOON + HOUR + len(seen), client_session_id=name, model="gpt-5")
        rolled(store)
    assert sorted(seen) == sorted(wanted)


def test_by_the_id_alone_while_new_ones_come(store: Store, reader: sqlite3.Connection) -> None:
    known = [f"s{n}" for n in range(20)]
    for n, name in enumerate(known):
        store.whole(NOON + n // 7, client_session_id=name)
    rolled(store)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while page := ids(reader, limit=3, **cursor):
        seen += page
        cursor = {"after_session_id": page[-1]}
        store.whole(NOON + HOUR + len(seen), client_session_id=f"new{len(seen)}")
    assert sorted(seen) == sorted(known)
    with pytest.raises(UnknownCursorError, match='session "gone" not found'):
        ids(reader, after_session_id="gone")


def test_pruned_sessions_are_gone(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(NOON, client_session_id="old")
    store.whole(NOON + DAY, client_session_id="new")
    rolled(store)
    prune_batch(store.connection, NOON + HOUR)
    assert ids(reader) == ["new"]
    assert count(reader, model="claude-opus-4-5") == 1


def test_hostile_texts(store: Store, reader: sqlite3.Connection) -> None:
    names = ["'; DROP TABLE sessions; --", '"', "a\0b", "%", "\u202e\U0001f600", "x" * 100_000, "*"]
    for n, name in enumerate(names):
        store.whole(NOON + n, client_session_id=name, model=name)
    rolled(store)
    for name in names:
        assert ids(reader, session_id=name) == [name]
        assert ids(reader, model=name) == [name]
        assert name not in ids(reader, after_session_id=name)


class Crowd:
    """A store of sessions of many kinds, and the answers by going through all that was written."""

    def __init__(self, store: Store, seed: int) -> None:
        self.path = store.path
        self.rows: list[dict[str, Any]] = []
        chance = random.Random(seed)
        for n in range(150):
            row = {
                "client_session_id": f"s{chance.randrange(40)}",
                "initiator_id": chance.choice(["ann", "bob"]),
                "model": chance.choice(["gpt-5", "gpt-4", "claude"]),
                "client": chance.choice(["Codex", "Zed"]),
                "provider_name": chance.choice(["mine", "theirs"]),
                "provider": "openai",
                "prompt": chance.choice(["alpha", "beta", "gamma delta"]),
                "status": chance.choices(list(Status), (8, 2, 1))[0],
                "at": NOON + n * HOUR // 3,
            }
            row["running"] = n > 130 and chance.random() < 0.3
            self.rows.append(row)
            fields = {
                k: v for k, v in row.items() if k not in ("running", "status", "prompt", "at")
            }
            if row["running"]:
                key = store.start(row["at"], **fields)
                store.write(prompt(key, row["prompt"], row["at"]))
            else:
                store.whole(row["at"], prompt=row["prompt"], status=row["status"], **fields)
            if n == 120:
                rolled(store)
                store.index()
        # What came last has neither been rolled up nor indexed, but for the last activity.
        store.connection.execute(
            "UPDATE sessions SET last_active_at = (SELECT max(max(started_at, ifnull(ended_at, 0)))"
            " FROM interceptions WHERE session_seq = sessions.seq)"
        )

    def expected(self, query: dict[str, Any]) -> list[tuple[str, str]]:
        matching: set[tuple[str, str]] = set()
        last: dict[tuple[str, str], int] = {}
        began: dict[tuple[str, str], int] = {}
        query = dict(query)
        started_after = query.pop("started_after", NOON)
        for row in self.rows:
            session = (row["client_session_id"], row["initiator_id"])
            began.setdefault(session, row["at"])
            ended = row["at"] + (0 if row["running"] else SECOND)
            last[session] = max(last.get(session, 0), ended)
            if self._matches(row, query):
                matching.add(session)
        matching = {session for session in matching if began[session] >= started_after}
        return sorted(matching, key=lambda session: (last[session], session[0]), reverse=True)

    def _matches(self, row: dict[str, Any], query: dict[str, Any]) -> bool:
        for name, wanted in query.items():
            if name == "text":
                # Each has a thought, a tool call and its result as well, unless it is running.
                words = row["prompt"] + ("" if row["running"] else " think")
                fits = wanted in words
            elif name == "status":
                fits = (
                    row["running"]
                    if wanted == "running"
                    else (not row["running"] and row["status"] == wanted)
                )
            elif name in ("owner", "initiator"):
                fits = row["initiator_id"] == wanted
            elif name == "any_provider":
                fits = wanted in (row["provider"], row["provider_name"])
            else:
                fits = row[name].lower() == wanted
            if not fits:
                return False
        return True


QUERIES: list[dict[str, Any]] = [
    {},
    {"owner": "ann"},
    {"model": "gpt-5"},
    {"model": "nothing"},
    {"model": "gpt-5", "client": "zed"},
    {"provider": "openai", "initiator": "bob"},
    {"provider_name": "mine", "status": "failed"},
    {"any_provider": "theirs", "model": "claude"},
    *({"status": status} for status in ("completed", "failed", "aborted", "running", "unheard-of")),
    {"model": "gpt-5", "started_after": NOON + 10 * HOUR},
    {"status": "completed", "started_after": NOON + 2 * HOUR},
    {"text": "alpha"},
    {"text": "think"},
    {"text": "think", "started_after": NOON + 2 * HOUR},
    {"text": "nothing"},
    {"text": "delta", "model": "gpt-5"},
    {"text": "beta", "status": "running"},
    {"text": "think", "owner": "bob", "status": "aborted"},
]

# Bounds under which each of the ways is taken, in a store of this size.
WAYS: dict[str, dict[str, int]] = {
    "as it is": {},
    "nothing is few": {"WALKED": 0, "NARROWED": -1, "RARE": -1, "SEARCHED_FIRST": 0},
    "walking ends early": {
        "WALKED": 7,
        "NARROWED": -1,
        "RARE": 20,
        "FIRST_BATCH": 1,
        "SEARCHED_FIRST": 12,
        "FIRST_CHUNK": 2,
        "LARGEST_CHUNK": 4,
    },
    "narrowed": {"WALKED": 0, "NARROWED": 60, "RARE": 3, "FIRST_BATCH": 3},
}


@pytest.fixture(params=WAYS)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, bound in WAYS[request.param].items():
        for module in (session_matches, session_text, search):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, bound)


@pytest.fixture(scope="module", params=[1, 2])
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    path = tmp_path_factory.mktemp("crowd") / "aigw.db"
    with new_store(path) as store:
        return Crowd(store, request.param)


@pytest.fixture
def crowd_reader(crowd: Crowd) -> Iterator[sqlite3.Connection]:
    with closing(open_reader(crowd.path)) as connection:
        yield connection


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("query", QUERIES, ids=str)
@pytest.mark.parametrize("is_counted", [True, False])
def test_each_way_finds_the_same(
    crowd: Crowd, crowd_reader: sqlite3.Connection, query: dict[str, Any], is_counted: bool
) -> None:
    expected = crowd.expected(query)
    asked = SessionQuery(limit=5, is_counted=is_counted, **query)
    found: list[tuple[str, str]] = []
    while True:
        page = list_sessions(crowd_reader, asked)
        assert page.count == (len(expected) if is_counted else None)
        found += [(session.id, session.initiator_id) for session in page.sessions]
        if len(page.sessions) < 5:
            break
        last = page.sessions[-1]
        asked = replace(asked, after_session_id=last.id, after_active_at=last.last_active_at)
    assert found == expected
    by_offset = list_sessions(
        crowd_reader, SessionQuery(limit=4, offset=3, is_counted=is_counted, **query)
    )
    assert [(s.id, s.initiator_id) for s in by_offset.sessions] == expected[3:7]
