from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from aigw.store.lock import DaemonLock, Runtime
from tests.cli.reading import Command
from tests.store.rows import NOON, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@contextmanager
def daemon(path: Path, body: bytes) -> Iterator[str]:
    """Answers one path as a daemon does, with its lock and note."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/api/v2/aibridge/status"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(body if found else b"")

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    lock = DaemonLock(path)
    lock.acquire()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        lock.publish(Runtime(pid=os.getpid(), address=address, started_at=NOON, version="1.0"))
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()
            lock.release()


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
    with daemon(store.path, json.dumps(ANSWER).encode()) as address:
        lines = command.lines("status")
        assert lines[0] == f"running at {address}"
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
