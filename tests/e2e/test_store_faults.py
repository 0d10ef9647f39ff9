"""What happens to requests when the store cannot be written, opened or trusted."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.e2e.asking import (
    APIS,
    CHAT,
    EVENT_STREAM,
    JSON_HEADERS,
    MESSAGES,
    RESPONSES,
    check_error,
    stream_events,
)
from tests.e2e.daemon import Daemon, fetch
from tests.e2e.polling import until
from tests.e2e.raw import Answer, Connection, ask
from tests.simulator import Gate, Script, Simulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file systems")


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Hold the write lock, as a backup or a person with a shell might."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def _all_ended(daemon: Daemon) -> bool:
    return all(each.end is not None for each in daemon.interceptions())


def test_requests_wait_for_a_locked_store(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    names = [model("tools-2") for _ in range(12)]
    with ThreadPoolExecutor(len(names)) as pool:
        with _locked(daemon.database):
            asked = [
                pool.submit(
                    ask,
                    daemon.port,
                    "POST",
                    APIS[turn % 3].path,
                    APIS[turn % 3].body(name, stream=turn % 2 == 0),
                    JSON_HEADERS,
                )
                for turn, name in enumerate(names)
            ]
            with pytest.raises(TimeoutError):
                until(lambda: any(each.done() for each in asked), 0.5)
            assert not any(simulator.matching(name.encode()) for name in names)
        answers = [each.result(20) for each in asked]
    assert all(answer.status == 200 and answer.complete for answer in answers)
    for name in names:
        found = daemon.only(name)
        assert found.status == "completed"
        assert found.token_usages
        assert found.prompts


def test_an_end_waits_for_a_locked_store(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    name, gate = model("words-9"), Gate()
    events = stream_events(simulator, MESSAGES, name)
    script = Script(headers=EVENT_STREAM, body=events, framing="chunked", hold={3: gate})
    simulator.script(script, match=name.encode())
    seen = b""
    with Connection(daemon.port) as connection:
        connection.send("POST", MESSAGES.path, MESSAGES.body(name, stream=True), JSON_HEADERS)
        answer = connection.receive_head()
        assert gate.reached.wait(30)
        with _locked(daemon.database):
            gate.release()
            connection.socket.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                while data := connection.read_some():
                    seen += data
                raise AssertionError("the answer ended")
            assert b"message_stop" not in seen
            assert daemon.only(name).end is None
        connection.socket.settimeout(10)
        while b"message_stop" not in seen:
            seen += connection.read_some()
        assert daemon.only(name).status == "completed"
    assert answer.status == 200


def test_a_store_locked_for_long_refuses_new_requests(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    names = [model("text") for _ in APIS]
    with ThreadPoolExecutor(4) as pool:
        with _locked(daemon.database):
            asked = [
                pool.submit(_ask_patiently, daemon.port, api.path, api.body(name))
                for api, name in zip(APIS, names, strict=True)
            ]
            ready = pool.submit(fetch, f"{daemon.address}/readyz")
            for api, each in zip(APIS, asked, strict=True):
                check_error(each.result(30), api.provider, 503)
            assert ready.result(30)[0] == 503
        assert not any(simulator.matching(name.encode()) for name in names)
        again = model("text")
        assert ask(daemon.port, "POST", CHAT.path, CHAT.body(again)).status == 200
    assert daemon.only(again).status == "completed"
    assert fetch(f"{daemon.address}/readyz")[0] == 200


def test_fail_open_serves_all_the_same(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon("--store-fail-open")
    names = [model("tools-2") for _ in APIS]
    with ThreadPoolExecutor(3) as pool, _locked(daemon.database):
        asked = [
            pool.submit(_ask_patiently, daemon.port, api.path, api.body(name, stream=True))
            for api, name in zip(APIS, names, strict=True)
        ]
        for api, each in zip(APIS, asked, strict=True):
            answer = each.result(30)
            assert (answer.status, answer.complete) == (200, True)
            assert api.terminal in answer.body
    until(lambda: len(daemon.interceptions()) == 3 and _all_ended(daemon), 20, "what was carried")
    for name in names:
        assert len(daemon.only(name).tool_usages) == 2


def _ask_patiently(port: int, path: str, body: bytes) -> Answer:
    with Connection(port, timeout=30) as connection:
        connection.send("POST", path, body, JSON_HEADERS)
        return connection.receive()


def _fill_until_refused(daemon: Daemon, model: Model) -> list[str]:
    """Ask with large prompts until the store takes no more; the models of what was answered."""
    answered: list[str] = []
    for _ in range(200):
        name = model("text")
        body = RESPONSES.body(name, prompt=os.urandom(50_000).hex())
        answer = _ask_patiently(daemon.port, RESPONSES.path, body)
        if answer.status != 200 or not answer.complete:
            assert answer.status in {200, 503}
            return answered
        answered.append(name)
    raise AssertionError("the store never got full")


def _check_kept(daemon: Daemon, answered: list[str]) -> None:
    assert len(answered) >= 3
    for name in answered:
        found = daemon.only(name)
        assert found.status == "completed"
        assert len(found.prompts) == 1
        assert len(found.token_usages) == 1


@posix
def test_a_file_size_limit(simulator: Simulator, start_daemon: StartDaemon, model: Model) -> None:
    # In blocks of 512 bytes (dash) or 1024 (bash): 2 or 4 MB.
    daemon = start_daemon(wrapper=["sh", "-c", 'ulimit -f 4096; exec "$@"', "sh"])
    answered = _fill_until_refused(daemon, model)
    assert daemon.process.poll() is None
    name = model("text")
    answer = _ask_patiently(daemon.port, CHAT.path, CHAT.body(name, prompt="x" * 90_000))
    check_error(answer, "openai", 503)
    assert simulator.matching(name.encode()) == []
    assert fetch(f"{daemon.address}/healthz")[0] == 200
    _check_kept(daemon, answered)
    assert "Traceback" not in daemon.log


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mounting, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_and_then_room_again(
    small_disk: Path, simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon(database=small_disk / "aigw.db")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 1_000_000)
    answered = _fill_until_refused(daemon, model)
    refused = model("text")
    answer = _ask_patiently(daemon.port, MESSAGES.path, MESSAGES.body(refused))
    if answer.status != 200:
        check_error(answer, "anthropic", 503)
        assert simulator.matching(refused.encode()) == []
    filler.unlink()
    name = model("text")
    assert _ask_patiently(daemon.port, CHAT.path, CHAT.body(name)).status == 200
    _check_kept(daemon, [*answered, name])
    assert daemon.stop() == 0
    with contextlib.closing(sqlite3.connect(daemon.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _refused_start(daemon: Daemon, *expected: str) -> None:
    """The daemon must end with 1 and one clear line."""
    daemon.spawn()
    assert daemon.wait(20) == 1
    lines = [line for line in daemon.log.splitlines() if line.strip()]
    assert len(lines) == 1, daemon.log
    for pattern in expected:
        assert re.search(pattern, lines[0], re.IGNORECASE), lines[0]


@posix
def test_a_folder_that_cannot_be_written(start_daemon: StartDaemon, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    daemon = start_daemon(ready=False, database=folder / "aigw.db", **_without_rights(folder))
    folder.chmod(0o500)
    _refused_start(daemon, r"cannot write|permission|read-only", re.escape(str(folder)), "--db")


@posix
def test_a_database_that_cannot_be_written(start_daemon: StartDaemon, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    first = start_daemon(database=folder / "aigw.db")
    assert first.stop() == 0
    daemon = start_daemon(ready=False, database=folder / "aigw.db", **_without_rights(folder))
    for path in folder.iterdir():
        path.chmod(0o400)
    folder.chmod(0o500)
    _refused_start(daemon, r"cannot|permission|read-?only", re.escape(str(folder)))


def _without_rights(folder: Path) -> dict[str, object]:
    """Modes do not bind root: its daemon gets the folder by way of a read-only mount."""
    if os.geteuid() != 0:
        return {}
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    wrapper = ["unshare", "-m", "sh", "-c", script, str(folder)]
    probe = [*wrapper, "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("root needs the right to mount")
    return {"wrapper": wrapper}


@pytest.mark.parametrize(
    "content",
    [b"this is no database at all, not even a little", b"SQLite format 3\0" + b"?" * 5000],
)
def test_a_file_that_is_no_database(start_daemon: StartDaemon, content: bytes) -> None:
    daemon = start_daemon(ready=False)
    daemon.database.write_bytes(content)
    _refused_start(
        daemon, re.escape(str(daemon.database)), r"not a (valid )?database|corrupt|malformed"
    )
    assert daemon.database.read_bytes() == content


def test_a_database_with_a_broken_page(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon()
    for _ in range(20):
        ask(daemon.port, "POST", CHAT.path, CHAT.body(model("text"), prompt="x" * 5000))
    assert daemon.stop() == 0
    damaged = bytearray(daemon.database.read_bytes())
    damaged[4096:] = b"\xff" * (len(damaged) - 4096)
    daemon.database.write_bytes(bytes(damaged))
    (daemon.folder / "daemon.err").unlink()
    _refused_start(daemon, re.escape(str(daemon.database)), "corrupt|malformed|damaged")


def test_a_database_of_a_newer_version(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(ready=False)
    with contextlib.closing(sqlite3.connect(daemon.database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    _refused_start(daemon, "99", "newer", "upgrade")


def test_a_second_daemon_on_the_same_database(start_daemon: StartDaemon) -> None:
    first = start_daemon()
    second = start_daemon(ready=False, database=first.database)
    _refused_start(second, "another", str(first.process.pid), re.escape(first.address))
    assert fetch(f"{first.address}/readyz")[0] == 200
    assert first.note_path.exists()


def test_a_port_in_use(start_daemon: StartDaemon) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = start_daemon(ready=False, http_address=address)
        _refused_start(daemon, re.escape(address), "in use", "--http-address")
    assert not daemon.note_path.exists()
