from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.cli.reading import Command
from tests.cli.running import daemon
from tests.store.rows import Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

AT = "2026-01-01T12:00:00.000000Z"


def outcome(*, ok: bool, **more: Any) -> bytes:
    return json.dumps({"at": AT, "ok": ok, "problems": [], "needs_restart": [], **more}).encode()


def test_reloaded(store: Store, command: Command) -> None:
    with daemon(store.path, outcome(ok=True)) as answering:
        assert command.lines("reload") == ["reloaded: the configuration is in use"]
    assert answering.requests == [("POST", "/api/v2/aibridge/reload")]


def test_what_needs_a_restart(store: Store, command: Command) -> None:
    with daemon(store.path, outcome(ok=True, needs_restart=["http_address", "db"])):
        assert command.run("reload") == 0
    assert command.out.startswith("reloaded")
    assert command.err == "Warning: changed, but needs a restart: http_address, db\n"


def test_refused_with_all_problems(store: Store, command: Command) -> None:
    with daemon(store.path, outcome(ok=False, problems=["a: is wrong", "b: too\x1b[2J"])):
        assert command.run("reload") == 1
        assert command.out == ""
        assert command.err.splitlines() == [
            "Error: a: is wrong",
            "Error: b: too\\e[2J",
            "Error: the gateway goes on with the configuration it had",
        ]


def test_json(store: Store, command: Command) -> None:
    with daemon(store.path, outcome(ok=False, problems=["a: is wrong"])):
        assert command.run("reload", "--json") == 1
        assert json.loads(command.out)["problems"] == ["a: is wrong"]
    with daemon(store.path, outcome(ok=True)):
        assert command.json("reload", "--json")["ok"] is True


def test_not_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(tmp_path / "none.db", capsys)
    assert command.run("reload") == 3
    assert "aigw serve --aibridge-enabled" in command.err
    assert list(tmp_path.iterdir()) == []


def test_an_older_daemon(store: Store, command: Command) -> None:
    with daemon(store.path, b'{"error": {"message": "route not supported"}}', status=404):
        assert command.run("reload") == 1
    assert "status 404" in command.err
