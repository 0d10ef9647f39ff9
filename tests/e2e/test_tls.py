"""The gateway over TLS: real SDKs, rotation, and what refuses to start."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import openai
import pytest

from tests.certificates import Pair, new_pair
from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.polling import until
from tests.store.gateway_keys import insert_key
from tests.store.rows import new_store

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon
    from tests.simulator import Simulator

Model = Callable[[str], str]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return new_pair(tmp_path)


def options(pair: Pair) -> tuple[str, ...]:
    return ("--tls-cert-file", str(pair.cert), "--tls-key-file", str(pair.key))


def ask(daemon: Daemon, authority: Path, name: str) -> str | None:
    """Stream an answer with OpenAI's SDK, which trusts what is in the file."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(authority))
        client = openai.OpenAI(
            base_url=daemon.openai_url, api_key="sk-client", max_retries=0, timeout=20
        )
    with client:
        messages = [{"role": "user", "content": "hello"}]
        stream = client.chat.completions.create(model=name, messages=messages, stream=True)  # type: ignore[call-overload]
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_an_sdk_over_tls_and_a_rotation(
    start_daemon: StartDaemon, pair: Pair, tmp_path: Path, model: Model
) -> None:
    daemon = start_daemon(*options(pair))
    assert daemon.address.startswith("https://127.0.0.1:")
    assert f"is ready at {daemon.address}" in until(lambda: daemon.log, what="the banner")
    name = model("words-9")
    assert ask(daemon, pair.cert, name)
    assert daemon.when_ended(name).status == "completed"

    authority = tmp_path / "old.pem"
    authority.write_text(pair.pem)
    # The note's certificate is trusted, so the commands work whoever has signed it.
    pair.write(new_pair(tmp_path, "second", ends=timedelta(days=9)))
    done = run_aigw(daemon.folder, "reload", "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    assert f"{pair.cert} expires on" in daemon.log
    assert ask(daemon, pair.cert, model("text"))
    with pytest.raises(openai.APIConnectionError):
        ask(daemon, authority, model("text"))
    done = run_aigw(daemon.folder, "status", "--json", "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["listening"] == found["address"] == daemon.address
    assert found["tls"]["expires"]

    # Half a rotation keeps what was.
    pair.cert.write_text(authority.read_text())
    done = run_aigw(daemon.folder, "reload", "--db", str(daemon.database))
    assert done.returncode == 1
    assert "does not belong to the certificate" in done.stderr
    assert ask(daemon, tmp_path / "second.pem", model("text"))


def test_plain_http_on_the_tls_port(start_daemon: StartDaemon, pair: Pair) -> None:
    daemon = start_daemon(*options(pair))
    with socket.create_connection(("127.0.0.1", daemon.port), 10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 200" not in connection.recv(1000)
    # uvloop and asyncio each have a log line of their own for this.
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log
    assert "[error]" not in daemon.log


def refused(folder: Path, *words: str) -> str:
    """The message of a daemon that does not start, and has made nothing."""
    database = folder / "made" / "a.db"
    arguments = ("--db", str(database), "--http-address", "127.0.0.1:0", *words)
    done = run_aigw(folder, "serve", "--aibridge-enabled", *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "is ready" not in done.stderr
    assert not database.parent.exists()
    return done.stderr


def test_bad_files_start_nothing(tmp_path: Path, pair: Pair) -> None:
    assert "needs both" in refused(tmp_path, "--tls-cert-file", str(pair.cert))
    day = timedelta(days=1)
    expired = new_pair(tmp_path, "expired", starts=-3 * day, ends=-day)
    assert "expired on" in refused(tmp_path, *options(expired))
    missing = Pair(tmp_path / "none.pem", tmp_path / "none.key")
    message = refused(tmp_path, *options(missing))
    assert str(missing.cert) in message
    assert str(missing.key) in message


def test_a_listener_for_all_needs_a_gateway_key(tmp_path: Path, pair: Pair) -> None:
    for more in ((), options(pair)):
        message = refused(tmp_path, "--http-address", "0.0.0.0:0", *more)
        assert "aigw keys create NAME" in message
        assert "tls_cert_file" in message


@pytest.mark.parametrize("has_tls", [True, False])
def test_a_listener_for_all(
    simulator: Simulator, tmp_path: Path, pair: Pair, has_tls: bool
) -> None:
    folder = tmp_path / "daemon"
    folder.mkdir()
    database = folder / "aigw.db"
    with new_store(database), closing(sqlite3.connect(database)) as connection:
        insert_key(connection)
    daemon = Daemon(
        folder,
        simulator.openai_url,
        simulator.anthropic_url,
        *(options(pair) if has_tls else ()),
        http_address="0.0.0.0:0",
    )
    with daemon:
        scheme = "https" if has_tls else "http"
        # Commands on this machine reach it over loopback.
        assert daemon.address == f"{scheme}://127.0.0.1:{daemon.port}"
        banner = until(lambda: daemon.log if "aigw logs" in daemon.log else "", what="the banner")
        assert f"(listening on {scheme}://0.0.0.0:{daemon.port})" in banner
        assert "gateway keys: 1" in banner
        assert "ANTHROPIC_AUTH_TOKEN=aigw_..." in banner
        assert ("travel in clear" in banner) is not has_tls
        done = run_aigw(folder, "status", "--json", "--db", str(database))
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["listening"] == f"{scheme}://0.0.0.0:{daemon.port}"
        assert (found["open_mode"], found["gateway_keys"]) == (False, 1)


def test_the_environment_has_no_say_in_whom_commands_trust(
    start_daemon: StartDaemon, pair: Pair
) -> None:
    daemon = start_daemon(*options(pair))
    environment = {"HTTPS_PROXY": "http://127.0.0.1:9", "SSL_CERT_FILE": "/none.pem"}
    arguments = ("status", "--json", "--db", str(daemon.database))
    done = run_aigw(daemon.folder, *arguments, environment=environment)
    assert done.returncode == 0
    assert "problem" not in json.loads(done.stdout)
