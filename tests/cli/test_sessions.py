from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aigw.cli.complete import complete_session_id
from aigw.cli.pen import cells
from aigw.records import Status
from tests.store.conversation import Conversation
from tests.store.rows import DAY, NOON, Store

if TYPE_CHECKING:
    from tests.cli.reading import Command


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "130")


def activity(store: Store) -> None:
    """What the store's upkeep works out within half a second."""
    store.connection.execute(
        "UPDATE sessions SET last_active_at ="
        " (SELECT max(i.started_at) FROM interceptions AS i WHERE i.session_seq = sessions.seq)"
    )


def test_the_table(store: Store, command: Command) -> None:
    talk = Conversation(store, "alpha-session-1", initiator_id="ann")
    figures = {"cost_micros": 1_500_000, "unpriced": 1}
    talk.say("first words", calls={"c1": {}, "c2": {}}, figures=figures)
    talk.say(results={"c1": "", "c2": ""}, status=Status.FAILED, figures={"cost_micros": 0})
    talk.say("last words", plan="claude", figures={"cost_micros": 250_000, "estimated": 1})
    child = Conversation(store, "beta", parent_session_id="alpha-session-1")
    child.at = NOON + DAY
    child.say("sub")
    activity(store)
    lines = command.lines("sessions")
    assert lines[0].split("  ")[0] == "last active"
    row = " ".join(lines[3].split())
    assert "alpha-session Claude Code ann 3 2 300 $1.50 + plan $0.25*~ 2 1" in row
    assert lines[4] == "  ? first words -> last words"
    assert "> beta" in lines[1]
    assert lines[2] == "  ? sub"
    assert any(line.startswith("* ") for line in lines)
    assert any(line.startswith("~ ") for line in lines)


def test_what_has_no_price_is_not_free(store: Store, command: Command) -> None:
    Conversation(store, "a").say("x", figures={"cost_micros": 0, "unpriced": 1})
    Conversation(store, "b").say("x", figures={"cost_micros": 0, "unpriced": 0})
    Conversation(store, "c").say("x", plan="claude", figures={"cost_micros": 0, "unpriced": 1})
    rows = [line.split() for line in command.lines("sessions") if "Claude Code" in line]
    assert {row[2]: row[-3] for row in rows} == {"a": "-*", "b": "$0.00", "c": "-*"}


def test_what_a_client_puts_before_a_prompt_is_left_out(store: Store, command: Command) -> None:
    Conversation(store).say("<current_datetime>2026-11-29</current_datetime>\n\nfix it")
    assert command.lines("sessions")[2] == "  ? fix it"


def test_json(store: Store, command: Command) -> None:
    Conversation(store, "one").say("x", calls={"c1": {}})
    Conversation(store, "two", parent_session_id="one").say("y")
    found = [json.loads(line) for line in command.lines("sessions", "--json")]
    assert {each["id"]: each["parent_id"] for each in found} == {"one": None, "two": "one"}
    one = next(each for each in found if each["id"] == "one")
    assert one["tools"] == {"Bash": 1}
    assert one["token_usage_summary"]["input_tokens"] == 10
    assert one["initiator"]["username"] == "local"


def test_how_many(store: Store, command: Command) -> None:
    for n in range(5):
        talk = Conversation(store, f"s{n}")
        talk.at += n * DAY
        talk.say("x")
    activity(store)
    lines = command.lines("sessions", "-n", "2")
    assert "s4" in lines[1]
    assert "s3" in lines[3]
    assert lines[-1] == "There are more sessions: -n 0 lists all."
    assert "There are more" not in command.lines("sessions", "-n", "5")[-1]
    assert len(command.lines("sessions", "-n", "0")) == 11
    assert command.run("sessions", "-n", "2", "--json") == 0
    assert len(command.out.splitlines()) == 2
    assert "There are more" in command.err


def test_all_of_more_than_are_read_at_once(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aigw.cli.sessions.AT_ONCE", 3)
    for n in range(8):
        Conversation(store, f"s{n}").say("x")
    for number, count in (("0", 8), ("7", 7), ("3", 3)):
        assert command.run("sessions", "-n", number, "--json") == 0
        ids = [json.loads(line)["id"] for line in command.out.splitlines()]
        assert len(ids) == len(set(ids)) == count


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("--provider", "openai"), {"b"}),
        (("--model", "GPT*"), {"b"}),
        (("--client", "codex"), {"b"}),
        (("--initiator", "ann"), {"a"}),
        (("--status", "failed"), {"a"}),
        (("-q", "needle"), {"a"}),
        (("--since", "2026-01-02"), {"b"}),
        (("--until", "2026-01-02"), {"a"}),
        (("--provider", "openai", "--status", "failed"), set()),
    ],
)
def test_filters(
    store: Store, command: Command, filters: tuple[str, ...], expected: set[str]
) -> None:
    Conversation(store, "a", initiator_id="ann").say("a needle", status=Status.FAILED)
    other = Conversation(
        store, "b", provider="openai", provider_name="oai", model="gpt-5", client="Codex"
    )
    other.at = NOON + DAY
    other.say("hay")
    activity(store)
    found = [json.loads(line)["id"] for line in command.lines("sessions", "--json", *filters)]
    assert set(found) == expected
    if not expected:
        assert command.lines("sessions", *filters) == ["No session matches."]


def test_shown_ids_are_enough(store: Store, command: Command) -> None:
    names = ["session-number-1", "session-number-12", "session-number-2"]
    for name in names:
        Conversation(store, name).say(f"prompt of {name}")
    lines = command.lines("sessions")
    for row, prompt in zip(lines[1::2], lines[2::2], strict=True):
        shown = row.split()[2]
        text = command.lines("session", shown)
        assert text[0].split()[1] == prompt.split()[-1]


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_hostile_text_and_columns(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    evil = "\x1b[2J\u202e\t\n\x00\u6f22\u5b57e\u0301"
    for n, text in enumerate((evil, evil * 200, "plain")):
        talk = Conversation(store, f"s{n} {text[:20]}", client=text, initiator_id=text, model=text)
        talk.say(text)
        talk.say(text + "x", calls={"c": {"tool": text}})
    lines = command.lines("sessions")
    assert all(line.isprintable() for line in lines)
    rows = lines[1::2]
    # The figures of all rows end in the same column.
    assert len({cells(row) for row in rows}) == 1
    assert cells(lines[0]) == cells(rows[0])
    assert max(map(cells, lines[2::2])) <= int(columns)


def test_an_empty_store(command: Command) -> None:
    assert command.lines("sessions") == ["No session matches."]
    assert command.lines("sessions", "--json") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--status", "odd"), "--status 'odd' is not known"),
        (("--since", "soon"), "--since"),
        (("-q", "!"), "--query"),
        (("-n", "-1"), "-n"),
    ],
)
def test_wrong_usage(command: Command, words: tuple[str, ...], message: str) -> None:
    assert command.run("sessions", *words) == 2
    assert message in command.err


def test_completion(store: Store, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    del command
    monkeypatch.setenv("AIGW_DB", str(store.path))
    for name in ("lasting", "work-1", "work-2", "other"):
        Conversation(store, name).say("x")
    assert complete_session_id("work") == ["work-1", "work-2"]
    assert complete_session_id("la") == ["last", "lasting"]
    assert set(complete_session_id("")) == {"last", "lasting", "work-1", "work-2", "other"}
