"""The daemon from its start to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.e2e.asking import (
    APIS,
    CHAT,
    JSON_HEADERS,
    MESSAGES,
    Api,
    held_stream,
)
from tests.e2e.daemon import Daemon, clean_environment, run_aigw
from tests.e2e.polling import until
from tests.e2e.raw import Connection, ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import StartDaemon
    from tests.simulator import Simulator

Model = Callable[[str], str]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def test_the_banner(start_daemon: StartDaemon, simulator: Simulator) -> None:
    daemon = start_daemon(environment={"CODER_AIBRIDGE_OPENAI_KEY": "sk-secret-of-the-banner"})
    banner = until(lambda: daemon.log if "aigw logs" in daemon.log else "", what="the banner")
    for expected in (
        daemon.address,
        str(daemon.database),
        simulator.openai_url.rstrip("/"),
        simulator.anthropic_url.rstrip("/"),
        "ANTHROPIC_BASE_URL",
        "OPENAI_BASE_URL",
    ):
        assert expected in banner
    assert "sk-secret" not in banner
    assert banner.count("is ready") == 1
    assert (daemon.folder / "daemon.out").read_bytes() == b""


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@posix
def test_a_stop_lets_an_answer_finish(
    simulator: Simulator, start_daemon: StartDaemon, model: Model, api: Api, number: int
) -> None:
    daemon = start_daemon()
    name = model("think+tools-2+words-20")
    gate = held_stream(simulator, api, name)
    with Connection(daemon.port) as connection:
        connection.send("POST", api.path, api.body(name, stream=True), JSON_HEADERS)
        answer = connection.receive_head()
        assert gate.reached.wait(30)
        daemon.signal(number)
        until(lambda: not _accepts(daemon), what="the end of accepting")
        assert daemon.process.poll() is None
        gate.release()
        connection.receive_body(answer)
    assert answer.complete
    assert api.terminal in answer.body
    assert daemon.wait() == 0
    found = daemon.only(name)
    assert found.status == "completed"
    assert found.token_usages
    assert not daemon.note_path.exists()


def _accepts(daemon: Daemon) -> bool:
    try:
        Connection(daemon.port).socket.close()
    except OSError:
        return False
    return True


@posix
def test_a_stop_does_not_wait_for_idle_connections(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon()
    with Connection(daemon.port) as connection:
        connection.send("POST", CHAT.path, CHAT.body(model("text")))
        assert connection.receive().status == 200
        started = time.monotonic()
        assert daemon.stop() == 0
        # It would wait for half a minute.
        assert time.monotonic() - started < 15


@posix
@pytest.mark.parametrize("patience", ["1s", "0"])
def test_a_stop_waits_for_a_bounded_time(
    simulator: Simulator, start_daemon: StartDaemon, model: Model, patience: str
) -> None:
    daemon = start_daemon("--shutdown-timeout", patience)
    name = model("words-20")
    gate = held_stream(simulator, MESSAGES, name)
    with Connection(daemon.port) as connection:
        connection.send("POST", MESSAGES.path, MESSAGES.body(name, stream=True), JSON_HEADERS)
        answer = connection.receive_head()
        assert gate.reached.wait(30)
        assert daemon.stop(10) == 0
        connection.receive_body(answer)
    assert not answer.complete
    found = daemon.only(name)
    assert found.status == "aborted"
    assert found.ended["error_type"] == "gateway_stopped"
    assert found.prompts


@posix
def test_a_second_signal_ends_at_once(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    done, held = model("text"), model("words-20")
    ask(daemon.port, "POST", CHAT.path, CHAT.body(done), JSON_HEADERS)
    gate = held_stream(simulator, CHAT, held)
    with Connection(daemon.port) as connection:
        connection.send("POST", CHAT.path, CHAT.body(held, stream=True), JSON_HEADERS)
        assert gate.reached.wait(30)
        daemon.signal(signal.SIGTERM)
        until(lambda: not _accepts(daemon), what="the end of accepting")
        daemon.signal(signal.SIGTERM)
        # The answer is still held: the first signal's patience is half a minute.
        daemon.wait(15)
    assert "Traceback" not in daemon.log
    assert daemon.only(done).status == "completed"
    assert daemon.only(held).status in {"running", "aborted"}


def test_not_enabled(tmp_path: Path) -> None:
    done = run_aigw(tmp_path, "serve", "--db", str(tmp_path / "a.db"))
    assert done.returncode == 2
    assert "--aibridge-enabled" in done.stderr
    assert "CODER_AIBRIDGE_ENABLED" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a.db").exists()


def test_other_listeners_than_loopback_are_refused(tmp_path: Path) -> None:
    options = ("--db", str(tmp_path / "a.db"), "--http-address", "0.0.0.0:0")
    done = run_aigw(tmp_path, "serve", "--aibridge-enabled", *options)
    assert done.returncode in {1, 2}
    assert "127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["flag", "variable", "file"])
def test_it_can_be_enabled_in_three_ways(tmp_path: Path, form: str) -> None:
    command = [sys.executable, "-m", "aigw", "serve", "--http-address", "127.0.0.1:0"]
    database = tmp_path / "a.db"
    environment = {}
    if form == "flag":
        command += ["--aibridge-enabled=true", "--db", str(database)]
    elif form == "variable":
        environment = {"CODER_AIBRIDGE_ENABLED": "true", "AIGW_DB": str(database)}
    else:
        path = tmp_path / "config.yaml"
        path.write_text(f"aibridge:\n  enabled: true\naigw:\n  db: {database}\n")
        command += ["--config", str(path)]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=clean_environment(tmp_path, environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            note = database.with_name("a.db.daemon.json")
            until(note.exists, 20, "readiness")
        finally:
            process.terminate()
        assert process.wait(20) == 0


def test_records_of_a_killed_daemon_are_closed_by_the_next(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    name = model("words-9")
    gate = held_stream(simulator, CHAT, name)
    with Connection(daemon.port) as connection:
        connection.send("POST", CHAT.path, CHAT.body(name, stream=True), JSON_HEADERS)
        assert gate.reached.wait(30)
        daemon.kill()
    assert daemon.only(name).end is None
    assert run_aigw(daemon.folder, "status", "--db", str(daemon.database)).returncode == 3
    daemon.start()
    assert daemon.only(name).status == "aborted"
    assert run_aigw(daemon.folder, "status", "--db", str(daemon.database)).returncode == 0
