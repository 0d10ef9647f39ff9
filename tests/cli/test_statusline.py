from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from aigw import clock
from aigw.cli.status_figures import midnight
from aigw.store.rollup import roll_up
from tests.cli.reading import Command
from tests.store.rows import SECOND, Store, end, start
from tests.test_layers import loaded_by

if TYPE_CHECKING:
    from pathlib import Path


def spend(store: Store, key: str, ago: int = SECOND, **fields: Any) -> None:
    """An interception that ended a while ago."""
    names = (
        "model", "plan", "client_session_id", "agent_id", "parent_session_id", "initiator_id",
    )  # fmt: skip
    first = {name: fields.pop(name) for name in names if name in fields}
    at = clock.now() - ago
    store.write(start(key, at, **first), end(key, at, **fields))


def run(
    *words: str, given: bytes | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """The command as a client runs it, what the client says on its stdin."""
    done = subprocess.run(
        [sys.executable, "-m", "aigw", "statusline", *words],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | environ,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def said(store: Store, given: Any, *words: str) -> str:
    content = given if isinstance(given, bytes) else json.dumps(given).encode()
    done = run("--db", str(store.path), *words, given=content)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return done.stdout.rstrip("\n")


def test_the_latest_session(store: Store, command: Command) -> None:
    spend(store, "a", client_session_id="old", cost_micros=100_000)
    spend(store, "b", cost_micros=1_250_000, input_tokens=70_000, context_window=200_000)
    assert command.lines("statusline") == [
        "claude-opus-4-5 | context 35% | session $1.25, 70.1k tokens | today $1.35 | $1.35/h"
    ]
    while roll_up(store.connection):
        pass
    assert "today $1.35 | $1.35/h" in command.lines("statusline")[0]


def test_a_request_that_was_given_up_leaves_the_context_as_it_is(
    store: Store, command: Command
) -> None:
    """Its input is an estimate on the low side."""
    window: dict[str, Any] = {"context_window": 200_000, "client_session_id": "one"}
    spend(store, "a", 9 * SECOND, input_tokens=70_000, **window)
    spend(store, "b", 5 * SECOND, input_tokens=40_000, output_tokens=0, estimated=1, **window)
    words = ("statusline", "--format", "{context}")
    assert command.lines(*words) == ["35%"]
    # One that broke off in its answer tells of it: most often the provider had stated the input.
    spend(store, "c", 2 * SECOND, input_tokens=80_000, output_tokens=1, estimated=1, **window)
    assert command.lines(*words) == ["40%"]


def test_no_session_of_late(store: Store, command: Command) -> None:
    spend(store, "a", ago=3000 * SECOND, cost_micros=3)
    (line,) = command.lines("statusline", "--format", "{session_cost} {burn}")
    assert line == "- <$0.01/h"
    spend(store, "b", ago=4000 * SECOND, cost_micros=10**9)
    (line,) = command.lines("statusline", "--format", "{burn}")
    assert line == "<$0.01/h"


def test_a_session_by_its_id_with_its_sub_agents(store: Store, command: Command) -> None:
    spend(store, "a", client_session_id="one", cost_micros=10_000, model="m", context_window=1000)
    spend(store, "b", client_session_id="sub", parent_session_id="one", cost_micros=20_000)
    spend(store, "c", client_session_id="one", agent_id="x", cost_micros=40_000, model="other")
    spend(store, "d", client_session_id="two", cost_micros=80_000)
    words = (
        "--session",
        "one",
        "--format",
        "{session} {session_cost} {session_requests} {model} {context}",
    )
    assert command.lines("statusline", *words) == ["one $0.07 3 m 8%"]
    assert (
        command.json("statusline", "--json", "--session", "two")["session"]["cost_micros"] == 80_000
    )
    assert command.json("statusline", "--json", "--session", "none")["session"] is None


def test_of_two_users_sessions_of_one_id_the_one_active_last_is_shown(
    store: Store, command: Command
) -> None:
    spend(store, "a", client_session_id="one", cost_micros=10_000, initiator_id="ann", model="hers")
    spend(
        store, "b", client_session_id="one", cost_micros=20_000, initiator_id="bob", ago=60 * SECOND
    )
    # Nor does what another user's session says of itself make it a part of this one.
    claimed = {"client_session_id": "two", "parent_session_id": "one", "initiator_id": "bob"}
    spend(store, "c", cost_micros=40_000, ago=60 * SECOND, **claimed)
    words = ("--session", "one", "--format", "{session_cost} {session_requests} {model}")
    assert command.lines("statusline", *words) == ["$0.01 1 hers"]


def test_money_is_told_apart(store: Store, command: Command) -> None:
    words = ("statusline", "--format", "{session_cost}")
    spend(store, "a", plan="claude", cost_micros=2_000_000)
    assert command.lines(*words) == ["plan $2.00"]
    spend(store, "b", cost_micros=1_000_000, estimated=1)
    assert command.lines(*words) == ["~$1.00 + plan $2.00"]
    spend(store, "c", unpriced=1)
    assert command.lines(*words) == ["~$1.00 + plan $2.00 +?"]


def test_json(store: Store, command: Command) -> None:
    spend(store, "a", cost_micros=1_234_567, context_window=1000)
    found = command.json("statusline", "--json")
    assert found["model"] == "claude-opus-4-5"
    assert found["context"] == {"percent": 8.0, "tokens": 80, "window": 1000}
    assert found["session"] == {
        "id": "session-1",
        "requests": 1,
        "tokens": 100,
        "cost_micros": 1_234_567,
        "cost_usd": "1.234567",
        "plan_micros": 0,
        "plan_usd": "0.000000",
        "unpriced": 0,
        "estimated": 0,
    }
    assert found["today"]["cost_usd"] == found["last_hour"]["cost_usd"] == "1.234567"


def test_what_claude_code_says(store: Store) -> None:
    spend(store, "a", client_session_id="mine", cost_micros=1_000_000, context_window=200_000)
    spend(store, "b", client_session_id="later", cost_micros=2_000_000)
    given = {
        "session_id": "mine",
        "model": {"id": "claude-opus-4-5", "display_name": "Opus"},
        "cost": {"total_cost_usd": 9.5},
        "context_window": {"used_percentage": 42.4, "context_window_size": 200_000},
    }
    assert said(store, given).startswith("Opus | context 42% | session $1.00, ")
    assert said(store, given, "--session", "later", "--format", "{model} {session_cost}") == (
        "claude-opus-4-5 $2.00"
    )
    # Before its first request the gateway knows nothing of a session.
    assert "| session ~$9.50 | today" in said(store, given | {"session_id": "new"})


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\x00",
        b"[" * 100_000,
        b'{"model":{"display_name":7},"cost":{"total_cost_usd":"1"},"context_window":[]}',
        b'{"cost":{"total_cost_usd":NaN},"context_window":{"used_percentage":1e999}}',
        b'{"cost":{"total_cost_usd":1' + b"0" * 400 + b'},"session_id":null,"model":null}',
        b"x" * 3_000_000,
    ],
)
def test_nonsense_on_stdin_is_ignored(store: Store, given: bytes) -> None:
    spend(store, "a", cost_micros=1_000_000)
    assert said(store, given, "--format", "{model} {session_cost}") == "claude-opus-4-5 $1.00"


def test_a_share_that_nothing_has_is_unknown(store: Store) -> None:
    for share in (-1, 1001, 1e300):
        given = {"context_window": {"used_percentage": share}}
        assert said(store, given, "--format", "{context}") == "-"


def test_names_cannot_act(store: Store, command: Command) -> None:
    evil = "\x1b]0;x\x07#[fg=red]#(id)$(id)`id`%F{red}\u202e\n"
    spend(store, "a", model=evil, client_session_id=evil)
    (line,) = command.lines("statusline", "--format", "{model}{session}")
    assert not set(line) & set("\x1b\x07#$`%{}\u202e")
    assert line.isprintable()
    given = {"model": {"display_name": evil + "long" * 100}}
    line = said(store, given)
    assert not set(line) & set("\x1b\x07#`{}\u202e")
    assert len(line) < 120
    command.run("statusline", "--json")
    assert command.out.isascii()
    assert "\x1b" not in command.out


@pytest.mark.parametrize(
    "state", ["missing", "empty", "folder", "corrupt", "locked", "old", "newer"]
)
def test_never_fails_loudly(tmp_path: Path, state: str) -> None:
    path = tmp_path / "aigw.db"
    holder = sqlite3.connect(tmp_path / "other.db" if state == "missing" else ":memory:")
    if state == "empty":
        path.touch()
    elif state == "folder":
        path.mkdir()
    elif state == "corrupt":
        path.write_bytes(b"no database" * 1000)
    elif state in ("old", "newer", "locked"):
        with closing(Store(path).connection) as connection:
            if state != "locked":
                connection.execute(f"PRAGMA user_version = {1 if state == 'old' else 999}")
        if state == "locked":
            holder = sqlite3.connect(path, isolation_level=None)
            holder.execute("PRAGMA locking_mode = EXCLUSIVE")
            holder.execute("BEGIN EXCLUSIVE")
            holder.execute("UPDATE meta SET value = value")
    with closing(holder):
        done = run("--db", str(path))
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"aigw: [a-z ,]{10,60}\n", done.stdout)
        done = run("--db", str(path), "--json", "--session", "x")
        assert done.returncode == 0
        assert json.loads(done.stdout)["error"].startswith("aigw: ")


def test_wrong_configuration_is_no_failure(tmp_path: Path) -> None:
    config = tmp_path / "broken.toml"
    config.write_text("[[[ db")
    environ = {"CODER_CONFIG_PATH": str(config), "AIGW_DB": ""}
    done = run(**environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "aigw: wrong configuration, see aigw config show\n"


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals on Windows")
@pytest.mark.parametrize("kind", ["terminal", "silent pipe", "open pipe"])
def test_never_waits_for_stdin(store: Store, kind: str) -> None:
    spend(store, "a", cost_micros=1_000_000)
    reading, writing = os.openpty()[::-1] if kind == "terminal" else os.pipe()
    try:
        if kind == "open pipe":
            os.write(writing, b'{"model":"Said"}\n')
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "aigw", "statusline", "--db", str(store.path)],
            stdin=reading,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert time.monotonic() - began < 30
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Said |" if kind == "open pipe" else "claude-opus-4-5 |")
    finally:
        os.close(reading)
        os.close(writing)


def test_wrong_usage_and_help(command: Command) -> None:
    assert command.run("statusline", "--format", "{nothing}") == 2
    assert "{session_cost}" in command.err
    assert command.run("statusline", "--formt", "x") == 2
    assert "--format" in command.err
    assert command.run("statusline", "--help") == 0
    assert "{session_cost}" in command.out


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no time zone of its own")
@pytest.mark.parametrize(
    ("moment", "began"),
    [
        # The clocks of Berlin change at 01:00 UTC.
        ("2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z"),
        ("2026-03-29T00:30:00Z", "2026-03-28T23:00:00Z"),
        ("2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z"),
        ("2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z"),
        ("2026-06-01T12:00:00Z", "2026-05-31T22:00:00Z"),
    ],
)
def test_a_day_begins_at_its_own_midnight(
    moment: str, began: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def micros(text: str) -> int:
        return int(datetime.fromisoformat(text).timestamp()) * SECOND

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert midnight(micros(moment)) == micros(began)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("share", "shown"), [(250.5, True), (1e308, False), (-1, False)])
def test_an_absurd_share_is_not_shown(share: float, shown: bool, store: Store) -> None:
    text = said(store, {"context_window": {"used_percentage": share}})
    assert ("context" in text) is shown


def test_starts_without_typer(store: Store) -> None:
    loaded = loaded_by("statusline", "--db", str(store.path))
    heavy = {
        "typer",
        "rich",
        "asyncio",
        "logging",
        "msgspec",
        "aiosqlite",
        "aigw.settings",
        "aigw.records",
    }
    assert "aigw.store.usage" in loaded
    assert not loaded & heavy
