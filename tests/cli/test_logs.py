from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from aigw.cli.highlight import Highlighter
from aigw.cli.record_lines import line
from aigw.records import CostBasis, Record, RecordType, Status, TokenUsage, log_object
from aigw.store.filters import Filters
from aigw.store.queries import tail
from tests.cli.reading import Command
from tests.store.rows import NOON, Store, children, end, new_store, prompt, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def following(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "aigw", "logs", "-f", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(20, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def read_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_json_is_the_structured_log(store: Store, command: Command) -> None:
    store.whole()
    expected = [log_object(r) for r in tail(store.connection, Filters(), 0)]
    assert [json.loads(text) for text in command.lines("logs", "--json")] == expected
    assert len(expected) == 7


def test_one_line_per_record_oldest_first(store: Store, command: Command) -> None:
    key = store.whole(prompt="hello\nthere")
    lines = command.lines("logs")
    assert [text.split()[3] for text in lines] == [
        "start", "prompt", "result", "thought", "tool", "tokens", "end",
    ]  # fmt: skip
    assert all(key[:13] in text for text in lines)
    assert lines[1].endswith("hello\\nthere")
    assert "\x1b" not in command.out


def test_hostile_text_is_shown_not_obeyed(store: Store, command: Command) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\r\nFAKE"
    fields: dict[str, Any] = {
        "model": evil,
        "client": evil,
        "client_session_id": evil,
        "initiator_id": evil,
    }
    store.write(
        start(evil, **fields),
        prompt(evil, evil),
        end(evil, NOON, error_type=evil, error_message=evil),
    )
    lines = command.lines("logs")
    assert len(lines) == 3
    assert all(text.isprintable() for text in lines)


def test_default_is_the_last_hundred(store: Store, command: Command) -> None:
    for n in range(20):
        store.whole(NOON + n)
    assert len(command.lines("logs")) == 100
    assert len(command.lines("logs", "-n", "0")) == 140
    assert len(command.lines("logs", "--lines", "3")) == 3


def test_types_repeat(store: Store, command: Command) -> None:
    store.whole()
    words = ("--record-type", "token_usage", "--record-type", "tool_usage", "--json")
    kinds = [json.loads(text)["record_type"] for text in command.lines("logs", *words)]
    assert kinds == ["tool_usage", "token_usage"]


def test_filters_reach_the_store(store: Store, command: Command) -> None:
    key = store.whole(model="gpt-5", prompt="find the needle")
    store.whole(status=Status.FAILED, provider="openai", client_session_id="other")
    words = (
        "--interception", key[:35], "--model", "gpt*", "--provider", "anthropic", "--client",
        "claude code", "--initiator", "local", "--session", "session-1", "--status", "completed",
        "--since", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z", "-q", "need*",
    )  # fmt: skip
    assert len(command.lines("logs", *words)) == 1
    assert command.lines("logs", *words[:-1], "absent") == []


@pytest.mark.parametrize("shown", ["session-2", "session-22", "last"])
def test_a_session_by_the_start_of_its_id(store: Store, command: Command, shown: str) -> None:
    store.whole(client_session_id="session-1")
    key = store.whole(client_session_id="session-22")
    for words in (("logs", "--json"), ("export",)):
        lines = [json.loads(text) for text in command.lines(*words, "--session", shown)]
        assert {each["interception_id"] for each in lines} == {key}
        assert command.run(*words, "--session", "session") == 1
        assert "several sessions begin with 'session'" in command.err
        assert command.run(*words, "--session", "absent\x1b") == 1
        assert "there is no session 'absent\\x1b'" in command.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--record-type", "tokens"), 2, "interception_start, interception_end, token_usage"),
        (("--status", "done"), 2, "completed, failed, aborted, running"),
        (("--since", "soon"), 2, "--since"),
        (("-q", "!!"), 2, "nothing to search for"),
        (("--lines=-1",), 2, "0"),
        (("--interception", "zz"), 1, "no interception 'zz'"),
    ],
)
def test_wrong_usage(command: Command, words: tuple[str, ...], code: int, message: str) -> None:
    assert command.run("logs", *words) == code
    assert message in command.err
    assert command.out == ""


def test_missing_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(tmp_path / "none.db", capsys)
    assert command.run("logs") == 1
    assert "there is no database" in command.err


@pytest.mark.parametrize("width", [20, 40, 80])
def test_lines_fit_the_terminal(width: int) -> None:
    records: list[Record] = [start("id"), *children("id", NOON, "\u4e2d" * 100), end("id", NOON)]
    for record in records:
        text = line(record, width=width, colour=False)
        head = 30
        assert cell_len(text) <= max(width, head)


def test_colour_ends_where_the_line_ends() -> None:
    for record in [start("id"), *children("id", NOON, "text"), end("id", NOON)]:
        text = line(record, width=80, colour=True)
        assert text.count("\x1b[0m") * 2 == text.count("\x1b[")


def test_a_search_is_highlighted_on_a_terminal(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "x " * 300 + "\x1b[2J Parsing a Caf\u00e9 parser"
    store.whole(prompt=text)
    assert "\x1b" not in command.lines("logs", "-q", "pars* cafe")[0]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    (shown,) = command.lines("logs", "-q", "pars* cafe")
    for word in ("Parsing", "Caf\u00e9", "parser"):
        assert f"\x1b[1m{word}\x1b[0m" in shown
    assert "\x1b[2J" not in shown
    assert "\u2026" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in command.lines("logs", "-q", "pars* cafe")[0]


@pytest.mark.parametrize("width", [20, 45, 80])
def test_highlighted_lines_fit_the_terminal(width: int) -> None:
    matches = Highlighter("needle call file let")
    for record in children("id", NOON, "\u4e2d" * 30 + " needle \n" + "\u4e2d" * 30):
        text = line(record, width=width, colour=True, matches=matches)
        plain = re.sub(r"\x1b\[[\d;]*m", "", text)
        assert cell_len(plain) <= max(width, 30)


def test_costs_are_shown() -> None:
    usage = next(r for r in children("id", NOON, "") if isinstance(r, TokenUsage))
    for cost, basis, shown in (
        (12_345, CostBasis.WIRE, ", $0.0123"),
        (12_345, CostBasis.ESTIMATED, ", ~$0.0123"),
        (3, CostBasis.WIRE, ", <$0.0001"),
        (0, CostBasis.WIRE, ", $0.0000"),
        (None, CostBasis.UNPRICED, ", no price"),
    ):
        record = replace(usage, cost_micros=cost, cost_basis=basis)
        assert line(record, width=None, colour=False).endswith(shown)
    ended = line(end("id", NOON, cost_micros=2_500_000), width=None, colour=False)
    assert ended.endswith("ms, $2.5000")


def test_follow_shows_a_record_within_a_quarter_second(store: Store) -> None:
    store.whole()
    words = ("--db", str(store.path), "--json", "--record-type", "prompt_usage")
    with following(*words) as process:
        assert json.loads(read_line(process.stdout))["prompt"] == "hello"
        delays = []
        for n in range(5):
            began = time.monotonic()
            store.whole(prompt=str(n))
            assert json.loads(read_line(process.stdout))["prompt"] == str(n)
            delays.append(time.monotonic() - began)
        # A busy machine may keep it twice in five times.
        assert sorted(delays)[1] < 0.25


def test_follow_waits_for_the_session(store: Store) -> None:
    words = ("--db", str(store.path), "--record-type", RecordType.PROMPT_USAGE)
    with following(*words, "--session", "to-come") as process:
        # Whether it comes before or after the follower has looked, it is shown.
        store.whole(client_session_id="another")
        store.whole(client_session_id="to-come", prompt="at last")
        assert "at last" in read_line(process.stdout)


def test_follow_waits_for_the_database_and_ends_quietly(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    with following("--db", str(path), "--record-type", RecordType.PROMPT_USAGE) as process:
        assert "waiting for a database" in read_line(process.stderr)
        with new_store(path) as store:
            store.whole(prompt="at last")
        assert "at last" in read_line(process.stdout)
        # A shell starts background jobs with SIGINT ignored, and so do their children start.
        if os.name != "nt" and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130
            assert process.stderr is not None
            assert process.stderr.read() == ""


@pytest.mark.skipif(os.name == "nt", reason="no SIGPIPE semantics on Windows")
def test_closed_pipe_is_quiet(store: Store) -> None:
    for n in range(300):
        store.whole(NOON + n, prompt="x" * 500)
    with subprocess.Popen(
        [sys.executable, "-m", "aigw", "logs", "-n", "0", "--db", str(store.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        read_line(process.stdout)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
