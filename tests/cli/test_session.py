from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import pytest

from aigw.cli.pen import Pen, cells
from aigw.cli.session_lines import Tree
from aigw.records import Status
from aigw.store import text_room
from aigw.store.reader import reading
from aigw.store.session_tree import find_session, read_session
from tests.store.conversation import Conversation
from tests.store.rows import NOON, Store

if TYPE_CHECKING:
    from tests.cli.reading import Command

HOSTILE = "\x1b[2J\x1b]0;title\x07\u202eevil\u2066\t\r\x00\x9b31m\u200f"
WIDE = "\u6f22\u5b57\U0001f600e\u0301"


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_what_a_plan_covers_alone_costs_nothing(store: Store, command: Command) -> None:
    Conversation(store).say("fix it", figures={"cost_micros": 12_300, "unpriced": 0}, plan="claude")
    lines = command.lines("session", "session-1")
    assert "cost        $0.0123 at list price covered by a plan" in lines


def task(prompt: str) -> dict[str, str]:
    return {"tool": "Task", "prompt": prompt}


def test_the_tree(store: Store, command: Command) -> None:
    talk = Conversation(store)
    figures = {"cost_micros": 12_300, "context_window": 200, "unpriced": 0}
    talk.say("fix it", calls={"c1": {"command": "ls -la"}, "t1": task("look")}, figures=figures)
    talk.say("look", figures=figures | {"unpriced": 1, "cost_micros": 0})
    talk.say(
        results={"c1": "no such file", "t1": "seen"},
        errors=frozenset({"c1"}),
        figures=figures,
        plan="claude",
    )
    lines = command.lines("session", "session-1")
    tree = "\n".join(lines)
    assert "session     session-1" in lines
    assert (
        "cost        $0.0123, and $0.0123 at list price covered by a plan (1 token record unpriced)"
        in lines
    )
    assert "tools       Bash 1, Task 1 (1 error)" in lines
    call = next(line for line in lines if "$ Bash" in line)
    assert call == "    $ Bash command: ls -la  => error, 12 bytes: no such file"
    assert "context 40%" in tree
    assert "$0.0123 list price (claude plan)" in tree
    step = next(line for line in lines if "  # " in line)
    assert "claude-opus-4-5  10 in, 30 cache read, 40 cache write, 20 out" in step
    indent = {line.strip()[0:1]: len(line) - len(line.lstrip()) for line in lines if "look" in line}
    assert indent["?"] == 4


def test_without_an_id_it_is_the_last(store: Store, command: Command) -> None:
    Conversation(store, "early").say("x")
    late = Conversation(store, "late")
    late.at = NOON * 2 - NOON // 2
    late.say("y")
    store.connection.execute("UPDATE sessions SET last_active_at = started_at")
    assert "session     late" in command.lines("session")
    assert command.lines("session", "last") == command.lines("session")


def test_trouble_is_told(store: Store, command: Command) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"c1": {}})
    failed = talk.say(
        results={"c1": "x"},
        status=Status.FAILED,
        figures={"status_code": 529, "error_type": "overloaded_error", "error_message": "busy"},
    )
    talk.say(results={"c1": "x"}, status=Status.ABORTED, figures={"status_code": 200})
    talk.say(results={"c1": "x"}, running=True)
    text = "\n".join(command.lines("session", "session-1"))
    assert "requests    4 requests in 1 thread, 1 failed, 1 aborted, 1 running" in text
    assert "failed 529, overloaded_error: busy" in text
    assert f"aborted 200  again, after {failed[:13]}" in text
    assert "running  again, after" in text
    assert "(running)" in text


def test_full_text_on_demand(store: Store, command: Command) -> None:
    talk = Conversation(store)
    long = "line\n" * 500 + "the end"
    talk.say("go", calls={"c1": {"command": "cat " + "x" * 500, "n": 1}}, thought="I think\nso")
    talk.say(results={"c1": long})
    short = command.lines("session", "session-1")
    assert max(map(len, short)) <= 100
    assert any("1 thought" in line for line in short)
    assert any(line.rstrip().endswith("\u2026") for line in short if "$ Bash" in line)
    full = "\n".join(command.lines("session", "session-1", "--tools", "--thoughts"))
    assert "x" * 500 in full
    assert "n: 1" in full
    assert full.count("        line\n") == 500
    assert "the end" in full
    assert "~ thinking\n      I think\n      so" in full


def test_a_long_prompt_is_counted(store: Store, command: Command) -> None:
    Conversation(store).say("\n".join(f"line {n}" for n in range(10)))
    lines = command.lines("session", "session-1")
    assert sum("line " in line for line in lines) == 4
    assert any("(6 more lines: aigw show session-1-000" in line for line in lines)
    found = command.lines("session", "session-1", "-q", '"line 8"')
    assert any("line 8" in line for line in found)


def test_pages(store: Store, command: Command) -> None:
    talk = Conversation(store)
    ids = [talk.say(f"prompt {n}") for n in range(5)]
    lines = command.lines("session", "session-1", "--limit", "2")
    assert sum("? " in line for line in lines) == 2
    assert lines[-1] == (
        f"These are 1 to 2 of 5 threads: go on with `aigw session {ids[0]} --after {ids[1]}`."
    )
    lines = command.lines("session", ids[0], "--limit", "2", "--after", ids[1])
    assert lines[-1].startswith("These are 3 to 4 of 5 threads: go on with")
    assert f"--before {ids[2]}" in lines[-1]
    assert [n for n in range(5) if any(f"prompt {n}" in line for line in lines)] == [2, 3]
    lines = command.lines("session", ids[0], "--limit", "2", "--after", ids[3])
    assert "go on" not in lines[-1]
    everything = command.lines("session", "session-1")
    assert "These are" not in everything[-1]


def test_too_much_text_for_a_page(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Conversation(store).say("x" * 2000)
    assert "Texts are cut" not in command.lines("session", "session-1")[-1]
    monkeypatch.setattr(text_room, "ROOM", 1000)
    assert command.lines("session", "session-1")[-1].startswith("Texts are cut to 1,000 characters")
    assert command.json("session", "session-1", "--json")["texts_cut_at"] == 1000


def test_search(store: Store, command: Command) -> None:
    talk = Conversation(store)
    talk.say("find the needle")
    talk.say("nothing here")
    assert len(command.lines("session", "session-1", "-q", "needle")) > 15
    lines = command.lines("session", "session-1", "-q", "NEEDLE", "--matching")
    assert "1 thread of 2 with a match." in lines
    assert not any("nothing here" in line for line in lines)
    # No colours without a terminal.
    assert not any("\x1b" in line for line in lines)
    lines = command.lines("session", "session-1", "-q", "absent", "--matching")
    assert lines[-1] == "0 threads of 2 with a match."
    found = command.json("session", "session-1", "-q", "needle", "--matching", "--json")
    assert [thread["prompt"] for thread in found["threads"]] == ["find the needle"]


def drawn(store: Store, *, colour: bool, query: str | None = None, width: int = 80) -> list[str]:
    from aigw.cli.highlight import Highlighter

    highlighter = None if query is None else Highlighter(query)
    with reading(store.path) as connection:
        found = read_session(connection, find_session(connection, "last").seq, families=True)
    pen = Pen(width, colour=colour, highlighter=highlighter)
    return list(Tree(found, pen, thoughts=True, tools=False).lines())


def test_matches_are_bold_also_behind_an_escape(store: Store) -> None:
    talk = Conversation(store)
    talk.say("\x1bneedle", calls={"c1": {"command": "x " * 200 + "needle"}})
    lines = drawn(store, colour=True, query="needle")
    (prompt,) = (line for line in lines if "\\e" in line)
    assert "\x1b[1mneedle\x1b[0m" in prompt
    # What matches far behind is brought into sight.
    (call,) = (line for line in lines if "not answered" in line)
    assert "\x1b[1mneedle\x1b[0m" in call
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    assert plain == drawn(store, colour=False, query="needle")


@pytest.mark.parametrize(
    "text", [HOSTILE, WIDE * 300, "a\u0301\u0301" * 5000, "x" * 1_000_000, "\n\t" * 99]
)
@pytest.mark.parametrize("flags", [[], ["--tools", "--thoughts"], ["-q", "evil"]], ids=str)
def test_hostile_text(store: Store, command: Command, text: str, flags: list[str]) -> None:
    talk = Conversation(store, model=text[:200], client=text[:200], agent_id=text[:200])
    talk.say(
        text,
        thought=text,
        calls={"c1": {"tool": text[:300], text[:50]: text}, "t1": task(f"sub {text}")},
        figures={"error_message": text, "error_type": text},
        status=Status.FAILED,
    )
    talk.say(f"sub {text}")
    talk.say(text, results={"c1": text, "unknown": text})
    lines = command.lines("session", "session-1", *flags)
    for line in lines:
        assert line.isprintable(), repr(line)
        assert not any(unicodedata.bidirectional(c) in ("RLO", "LRI", "PDI") for c in line)
    if not flags:
        tree = lines[lines.index("") :]
        assert max(map(cells, tree)) <= 100
        assert max(map(len, tree)) < 5000


@pytest.mark.parametrize("width", [10, 40, 80, 200])
def test_columns_hold_at_any_width(store: Store, width: int) -> None:
    talk = Conversation(store, model=WIDE * 30)
    prompt = "go " + WIDE * 100
    for depth in range(30):
        talk.say(prompt, calls={f"t{depth}": task(f"level {depth} " + WIDE * 100)})
        prompt = f"level {depth} " + WIDE * 100
    lines = drawn(store, colour=False, width=width)
    tree = lines[lines.index("") :]
    assert max(map(cells, tree)) <= max(40, width)
    # However deep, each thread is there.
    assert sum("? " in line for line in tree) == 30


def test_odd_arguments(store: Store, command: Command) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"c1": {}})
    for odd in ("", "not json", "[1, 2]", '"text"', "{}", '{"a": {"b": [1]}}', "[" * 100_000):
        store.connection.execute("UPDATE tool_usages SET input = ?", (odd,))
        for flags in ([], ["--tools"]):
            assert any("$ Bash" in line for line in command.lines("session", "session-1", *flags))
    store.connection.execute("""UPDATE tool_usages SET input = '{"a": {"b": [1]}, "c": "d e"}'""")
    assert any(
        '$ Bash a: {"b": [1]}, c: d e' in line for line in command.lines("session", "session-1")
    )


def test_a_text_for_a_free_form_tool_is_shown_as_it_is(store: Store, command: Command) -> None:
    caller = Conversation(store).say("go", calls={"c1": {}})
    script = '"const a = \\"x\\";\\ntext(a)"'
    store.connection.execute("UPDATE tool_usages SET input = ?", (script,))
    line = next(line for line in command.lines("session", "session-1") if "$ Bash" in line)
    assert line == '    $ Bash const a = "x"; text(a)  => not answered'
    whole = command.lines("session", "session-1", "--tools")
    assert whole[-3:] == ['        const a = "x";', "        text(a)", "      => not answered"]
    assert command.lines("show", caller)[-2:] == ['  const a = "x";', "  text(a)"]


def test_child_sessions_and_their_parent(store: Store, command: Command) -> None:
    Conversation(store).say("go")
    Conversation(store, "child", parent_session_id="session-1").say("sub")
    lines = command.lines("session", "session-1")
    assert any(line.startswith("> session child  1 request") for line in lines)
    assert "started by  session-1" in command.lines("session", "child")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nowhere",), 1, "there is no session 'nowhere'"),
        (("\x1b[2J",), 1, "there is no session"),
        (("session-1", "--limit", "0"), 2, "--limit must be from 1 to 1000"),
        (("session-1", "--after", "x", "--before", "y"), 2, "exclude each other"),
        (("session-1", "--after", "nope"), 1, "no thread of this session"),
        (("session-1", "-q", "!!"), 2, "--query: nothing to search for"),
        (("session-1", "--matching"), 2, "-q WORDS"),
        (("session-1", "--initiator", "eve"), 1, "there is no session"),
    ],
)
def test_wrong_usage(
    store: Store, command: Command, words: tuple[str, ...], code: int, message: str
) -> None:
    Conversation(store).say("x")
    assert command.run("session", *words) == code
    assert message in command.err
    assert "\x1b" not in command.err
    assert command.out == ""


def test_agents_nested_deeper_than_anybody_reads(store: Store, command: Command) -> None:
    talk = Conversation(store)
    for depth in range(400):
        talk.say(f"level {depth}", calls={f"t{depth}": task(f"level {depth + 1}")})
    lines = command.lines("session", "session-1")
    assert sum("? " in line for line in lines) == 400
    assert sum("started by a call of" in line for line in lines) == 400 // 21
