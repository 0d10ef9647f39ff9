from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aigw.store.lock import DaemonLock, Runtime
from tests.cli.reading import Command
from tests.cli.running import TOKEN, daemon
from tests.store.rows import NOON, Store

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = {
    "version": "1.0",
    "pid": 42,
    "started_at": "2026-01-01T12:00:00.000000Z",
    "in_flight": 3,
    "providers": [{"name": "openai", "key": "configured\x1b[2J"}],
    "last_error": {"time": "2026-01-01T12:00:01Z", "message": "disk full"},
    "retention": "60d",
}


def test_not_running(store: Store, command: Command) -> None:
    store.whole()
    assert command.run("status") == 3
    assert command.out.startswith("not running")
    assert str(store.path) in command.out
    assert command.run("status", "--json") == 3
    found = json.loads(command.out)
    assert found["running"] is False
    assert found["interceptions"] == 1
    assert found["database_bytes"] > 0
    assert found["oldest"] == "2026-01-01T12:00:00.000000Z"


def test_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(tmp_path / "none.db", capsys)
    assert command.run("status") == 3
    assert "there is no database" in command.out
    assert list(tmp_path.iterdir()) == []


def test_running(store: Store, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with daemon(store.path, json.dumps(ANSWER).encode()) as answering:
        lines = command.lines("status")
        assert lines[0] == f"running at {answering.address}"
        assert "in flight      3" in lines
        assert "last error     2026-01-01T12:00:01Z disk full" in lines
        assert "provider       openai (key: configured\\e[2J)" in lines
        found = command.json("status", "--json")
        assert found["running"] is True
        assert found["pid"] == 42
        assert found["interceptions"] == 0


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"null"])
def test_odd_answers(store: Store, command: Command, body: bytes) -> None:
    with daemon(store.path, body):
        lines = command.lines("status")
        assert lines[0].startswith("running at")
        assert any(text.startswith("database") for text in lines)


def test_note_of_a_killed_daemon_is_not_believed(store: Store, command: Command) -> None:
    lock = DaemonLock(store.path)
    lock.acquire()
    lock.publish(Runtime(pid=1, address="http://127.0.0.1:1", started_at=NOON, version="1.0"))
    note = store.path.with_name(store.path.name + ".daemon.json").read_bytes()
    lock.release()
    store.path.with_name(store.path.name + ".daemon.json").write_bytes(note)
    assert command.run("status") == 3


WHOLE = ANSWER | {
    "listening": "https://0.0.0.0:4001",
    "tls": {"expires": "2027-01-01T00:00:00Z"},
    "open_mode": False,
    "gateway_keys": 2,
    "gateway_keys_working": 1,
    "limits": {"max_concurrency": 7, "rate_limit": 0},
    "breakers": [{"provider": "azure", "model": "m", "state": "open", "seconds": 12}],
    "reload": {
        "at": "2026-01-01T13:00:00.000000Z",
        "ok": False,
        "problems": ["a.toml:3: is wrong", "b too"],
        "needs_restart": ["db", "http_address"],
    },
    "providers": [
        {
            "name": "azure",
            "type": "azure",
            "base_url": "https://a.example/v1",
            "enabled": True,
            "status": "enabled",
            "key": "configured",
            "keys": [
                {"hint": "sk-1...9999", "state": "available", "seconds": 0.0},
                {"hint": "sk-2...9999", "state": "rate_limited", "seconds": 41.6},
            ],
        },
        {
            "name": "cloud",
            "type": "bedrock",
            "base_url": "https://b.example",
            "region": "eu-west-1",
            "status": "keys_exhausted",
            "keys": [{"hint": "AKIA...MPLE", "state": "auth_failed", "seconds": 3.0}],
        },
        {"name": "off", "type": "openai", "status": "disabled", "key": "client's own", "keys": []},
    ],
}


def test_everything_that_a_daemon_says(store: Store, command: Command) -> None:
    with daemon(store.path, json.dumps(WHOLE).encode()) as answering:
        lines = command.lines("status")
    assert answering.tokens == [TOKEN]
    for line in (
        "listening      https://0.0.0.0:4001 (certificate expires 2027-01-01T00:00:00Z)",
        "access         gateway keys: 1 working of 2",
        "limits         at most 7 requests at a time",
        (
            "provider       azure azure https://a.example/v1"
            " (keys: sk-1...9999, sk-2...9999 rate limited for 42s)"
        ),
        (
            "provider       cloud bedrock https://b.example eu-west-1"
            " (keys exhausted; keys: AKIA...MPLE auth failed for 3s)"
        ),
        "provider       off openai (disabled; key: client's own)",
        "breaker        provider azure, model m, state open, seconds 12",
        "reload         2026-01-01T13:00:00.000000Z refused, the configuration before it stays",
        "               a.toml:3: is wrong",
        "               b too",
        "needs restart  db, http_address",
    ):
        assert line in lines, line
    assert TOKEN not in "".join(lines)


def test_open_mode_and_a_good_reload(store: Store, command: Command) -> None:
    answer = WHOLE | {"open_mode": True, "tls": None, "limits": {}, "breakers": []}
    answer["reload"] = {"at": "2026-01-01T13:00:00.000000Z", "ok": True, "problems": []}
    with daemon(store.path, json.dumps(answer).encode()):
        lines = command.lines("status")
    assert "access         open mode: whoever uses this machine" in lines
    assert "reload         2026-01-01T13:00:00.000000Z ok" in lines
    assert not any(line.startswith(("limits", "breaker", "needs restart")) for line in lines)


def test_a_daemon_that_does_not_answer(store: Store, command: Command) -> None:
    with daemon(store.path, b'{"message": "no"}', status=500):
        lines = command.lines("status")
    assert any(line.startswith("problem        the daemon at") for line in lines)


def test_values_of_the_wrong_kind(store: Store, command: Command) -> None:
    for wrong in (1, "x", [], [1], {}, None, [None], [{}]):
        answer = dict.fromkeys(WHOLE, wrong)
        with daemon(store.path, json.dumps(answer).encode()):
            assert command.lines("status")
