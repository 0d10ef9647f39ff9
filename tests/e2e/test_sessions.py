"""A session as a coding agent makes one, recorded over real HTTP, and what the commands show of it."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from aigw.records import CALL_ID_LIMIT
from tests.e2e.agent import Agent, called, returned, said, thought
from tests.e2e.daemon import run_aigw

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.daemon import Daemon
    from tests.simulator import Simulator

CALLERS = "Find all callers of parse().\n  Report file and line."


@pytest.fixture
def recorded(gateway: Daemon, simulator: Simulator) -> str:
    """Parallel tools, one failing; a sub-agent whose first request fails; an aborted answer that is
    asked for again; and a second prompt with a call that is never answered. Its id."""
    session_id = str(uuid.uuid4())
    main, sub = (Agent(gateway, simulator, session_id) for _ in range(2))
    main.turn(
        [said("Fix the parser.\nIt fails on tabs.")],
        [
            thought("First a look around."),
            called("toolu_1", "Bash", command="ls"),
            called("toolu_2", "Read", file_path="parser.py"),
        ],
    )
    main.turn(
        [returned("toolu_1", "parse.py"), returned("toolu_2", "no such file", is_error=True)],
        [called("toolu_3", "Task", description="callers", prompt=CALLERS)],
    )
    sub.refused([said(CALLERS)], 529, "overloaded_error")
    sub.turn([said(CALLERS)], [called("toolu_4", "Grep", pattern="parse(")])
    sub.turn([returned("toolu_4", "main.py:7")], [said("One: main.py:7")])
    report = [returned("toolu_3", "One: main.py:7")]
    main.aborted(report, [said("The parser is"), said("fixed")])
    main.turn(report, [said("The parser is fixed.")])
    main.turn([said("Thanks. Now the changelog.")], [called("toolu_5", "Edit", file_path="LOG")])
    return session_id


def show(gateway: Daemon, folder: Path, *words: str) -> str:
    done = run_aigw(folder, *words, "--db", str(gateway.database), environment={"COLUMNS": "120"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tree(recorded: str, gateway: Daemon, tmp_path: Path) -> None:
    text = show(gateway, tmp_path, "session", recorded)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for fact in (
        f"session {recorded}",
        "client Claude Code",
        "requests 8 requests in 4 threads, 1 failed, 1 aborted",
        "tools Bash 1, Edit 1, Grep 1, Read 1, Task 1 (1 error)",
    ):
        assert fact in lines
    tree = text.split("\n\n", 1)[1]
    marks = [
        "Fix the parser.", "It fails on tabs.", "1 thought",
        "$ Bash command: ls", "=> 8 bytes: parse.py",
        "$ Read file_path: parser.py", "=> error, 12 bytes: no such file",
        "$ Task description: callers",
        "Find all callers of parse().", "failed 529, overloaded_error: try again",
        "again, after", "Find all callers of parse().",
        "$ Grep pattern: parse(", "=> 9 bytes: main.py:7",
        "aborted 200", "again, after",
        "Thanks. Now the changelog.", "$ Edit file_path: LOG", "=> not answered",
    ]  # fmt: skip
    position = 0
    for mark in marks:
        found = tree.find(mark, position)
        assert found >= 0, f"{mark!r} is not after {tree[:position]!r}"
        position = found + len(mark)
    # The sub-agent is deeper than the call that started it, and the next prompt is not.
    indents = {
        mark: len(line) - len(line.lstrip())
        for line in tree.splitlines()
        for mark in ("$ Task", "$ Grep", "Thanks")
        if mark in line
    }
    assert indents["Thanks"] < indents["$ Task"] < indents["$ Grep"]


def test_in_full(recorded: str, gateway: Daemon, tmp_path: Path) -> None:
    text = show(gateway, tmp_path, "session", recorded, "--tools", "--thoughts")
    assert "First a look around." in text
    assert "        prompt: Find all callers of parse().\n          Report file" in text


def test_the_object(recorded: str, gateway: Daemon, tmp_path: Path) -> None:
    found = json.loads(show(gateway, tmp_path, "session", recorded, "--json"))
    assert found["id"] == recorded
    assert (found["thread_count"], found["requests"], found["tool_errors"]) == (4, 8, 1)
    main, dead, sub, changelog = found["threads"]
    assert main["prompt"] == "Fix the parser.\nIt fails on tabs."
    assert [dead["prompt"], sub["prompt"]] == [CALLERS, CALLERS]
    task = main["agentic_actions"][1]
    origin = {"interception_id": task["id"], "tool_call_id": "toolu_3"}
    assert [thread["origin"] for thread in found["threads"]] == [None, origin, origin, None]
    assert (dead["retry_of"], sub["retry_of"]) == (None, dead["id"])
    assert [step["status"] for step in main["agentic_actions"]] == [
        "completed",
        "completed",
        "aborted",
        "completed",
    ]
    aborted, again = main["agentic_actions"][2:]
    assert again["retry_of"] == aborted["id"]
    assert main["token_usage"]["cache_read_input_tokens"] >= 60_000
    assert changelog["agentic_actions"][0]["tool_calls"][0]["result"] is None
    assert _results(main) == [
        ("Bash", "parse.py", False),
        ("Read", "no such file", True),
        ("Task", "One: main.py:7", False),
    ]


def _results(thread: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [
        (call["tool"], call["result"]["content"], call["result"]["is_error"])
        for step in thread["agentic_actions"]
        for call in step["tool_calls"]
    ]


def test_in_the_list(recorded: str, gateway: Daemon, tmp_path: Path) -> None:
    lines = show(gateway, tmp_path, "sessions", "-q", "changelog", "--json").splitlines()
    (found,) = (each for line in lines if (each := json.loads(line))["id"] == recorded)
    assert found["first_prompt"].startswith("Fix the parser.")
    assert found["last_prompt"] == "Thanks. Now the changelog."
    assert (found["threads"], found["errors"], found["aborted"]) == (4, 1, 1)


def test_a_call_of_a_very_long_id(gateway: Daemon, simulator: Simulator, tmp_path: Path) -> None:
    """A request of megabytes of id must not make megabytes of index and of every page."""
    session_id, call_id = str(uuid.uuid4()), "toolu_" + "x" * 300_000
    agent = Agent(gateway, simulator, session_id)
    agent.turn([said("go")], [called(call_id, "Bash", command="ls")])
    agent.turn([returned(call_id, "found")], [said("done")])
    first, second = gateway.recorded(agent.model)
    kept = second.start["correlating_tool_call_id"]
    assert len(kept) == CALL_ID_LIMIT
    assert first.tool_usages[0]["tool_call_id"] == second.tool_results[0]["tool_call_id"] == kept
    shown = json.loads(show(gateway, tmp_path, "session", session_id, "--json"))
    (thread,) = shown["threads"]
    assert thread["agentic_actions"][0]["tool_calls"][0]["result"]["content"] == "found"
