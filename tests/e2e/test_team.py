"""A gateway for a team, set up as a new operator would: keys, TLS, a listener for others, limits."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from tests.certificates import Pair, key_text, new_key, new_pair
from tests.e2e.control import credentials_seen
from tests.e2e.daemon import Daemon, run_aigw

if TYPE_CHECKING:
    from tests.simulator import Simulator

Model = Callable[[str], str]
CENTRAL = "sk-central-canary-0123456789"
HELLO: Any = [{"role": "user", "content": "hello"}]
posix = pytest.mark.skipif(os.name == "nt", reason="file modes")


class Team:
    """The operator's folder: database, certificate, environment, and the daemon for others."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        self.database = folder / "aigw.db"
        self.pair = new_pair(folder)
        self.environment = {
            "CODER_AIBRIDGE_OPENAI_KEY": CENTRAL,
            "CODER_AIBRIDGE_ANTHROPIC_KEY": CENTRAL,
            "CODER_TLS_CERT_FILE": str(self.pair.cert),
            "CODER_TLS_KEY_FILE": str(self.pair.key),
        }
        self.daemon = Daemon(
            folder,
            simulator.openai_url,
            simulator.anthropic_url,
            http_address="0.0.0.0:0",
            environment=self.environment,
        )

    def aigw(self, *words: str) -> tuple[int, str, str]:
        done = run_aigw(self.folder, *words, "--db", str(self.database))
        return done.returncode, done.stdout.strip(), done.stderr

    def key(self, name: str, *words: str) -> str:
        code, out, err = self.aigw("keys", "create", name, *words)
        assert code == 0, err
        return out

    def openai(self, token: str, trusted: Path | None = None) -> openai.OpenAI:
        """As a colleague does whose machine trusts the certificate by SSL_CERT_FILE."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(trusted or self.pair.cert))
            return openai.OpenAI(
                base_url=self.daemon.openai_url, api_key=token, max_retries=0, timeout=20
            )

    def anthropic(self, token: str) -> anthropic.Anthropic:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(self.pair.cert))
            return anthropic.Anthropic(
                base_url=self.daemon.anthropic_url, auth_token=token, max_retries=0, timeout=20
            )


@pytest.fixture
def team(tmp_path: Path, simulator: Simulator) -> Iterator[Team]:
    made = Team(tmp_path, simulator)
    yield made
    if made.daemon._process is not None:
        made.daemon.kill()


def test_the_set_up(team: Team, simulator: Simulator, model: Model) -> None:
    # Without a key it does not start, and says what to do.
    team.daemon.spawn()
    assert team.daemon.wait() == 2
    assert "aigw keys create NAME" in team.daemon.log
    assert not team.database.exists()
    # So the operator makes keys, one of them for a script that shall not take all there is.
    ada = team.key("ada", "--user", "ada@example.com")
    script = team.key("script", "--rate-limit", "1", "--expires", "90d")
    team.daemon.start()
    assert team.daemon.address == f"https://127.0.0.1:{team.daemon.port}"
    names = [model("words-9") for _ in range(3)]
    with team.openai(ada) as client:
        stream = client.chat.completions.create(model=names[0], messages=HELLO, stream=True)
        assert list(stream)[-1].choices[0].finish_reason == "stop"
        for _ in range(3):
            assert client.models.list().data
    with (
        team.anthropic(ada) as messages,
        messages.messages.stream(model=names[1], max_tokens=50, messages=HELLO) as events,
    ):
        assert events.get_final_text()
    with team.openai(script) as client:
        assert client.responses.create(model=names[2], input="hello").output_text
        with pytest.raises(openai.RateLimitError) as limited:
            _ask_often(client)
        assert limited.value.response.headers["retry-after"] == "1"
    with (
        team.openai("sk-not-a-gateway-key") as client,
        pytest.raises(openai.AuthenticationError, match="aigw keys create NAME"),
    ):
        client.models.list()
    for name in names:
        seen = credentials_seen(simulator.wait_for(name.encode()))
        assert list(seen.values()) in ([CENTRAL], [f"Bearer {CENTRAL}"])
    who = {
        found.start["model"]: found.start["initiator_id"] for found in team.daemon.interceptions()
    }
    assert [who[name] for name in names] == ["ada@example.com", "ada@example.com", "script"]
    code, out, err = team.aigw("status", "--json")
    assert code == 0, err
    status = json.loads(out)
    assert (status["open_mode"], status["gateway_keys"]) == (False, 2)
    assert status["tls"]["expires"]
    assert team.daemon.stop() == 0
    everything = team.daemon.log + out + team.aigw("logs", "--json", "-n", "0")[1]
    for token in (ada, script, CENTRAL):
        assert token not in everything
        assert token.encode() not in team.database.read_bytes()


def _ask_often(client: openai.OpenAI) -> None:
    for _ in range(3):
        client.responses.create(model="sim-text", input="hello")


def test_a_certificate_that_nobody_vouched_for(team: Team, tmp_path: Path) -> None:
    token = team.key("ada")
    team.daemon.start()
    other = new_pair(tmp_path, "other")
    with team.openai(token, trusted=other.cert) as client, pytest.raises(openai.APIConnectionError):
        client.models.list()
    assert team.daemon.stop() == 0
    assert "Traceback" not in team.daemon.log


def _free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _mismatched(folder: Path) -> Pair:
    pair = new_pair(folder)
    pair.key.write_bytes(key_text(new_key()))
    return pair


def _expired(folder: Path) -> Pair:
    day = timedelta(days=1)
    return new_pair(folder, starts=-3 * day, ends=-day)


def _garbled(folder: Path) -> Pair:
    pair = new_pair(folder)
    pair.cert.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    return pair


def _half(folder: Path) -> Pair:
    pair = new_pair(folder)
    return Pair(pair.cert, Path())


def _unreadable(folder: Path) -> Pair:
    pair = new_pair(folder)
    pair.key.unlink()
    # A folder cannot be read as a file, whoever the test runs as.
    pair.key.mkdir()
    return pair


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_expired, "expired on"),
        (_half, "needs both"),
        (_unreadable, "cannot read"),
        (_garbled, "tls.pem"),
        (_mismatched, "does not belong to the certificate"),
    ],
)
def test_a_bad_certificate_starts_nothing(
    tmp_path: Path, make: Callable[[Path], Pair], told: str
) -> None:
    pair = make(tmp_path)
    port = _free_port()
    database = tmp_path / "made" / "aigw.db"
    options = ["--db", str(database), "--http-address", f"127.0.0.1:{port}"]
    options += ["--tls-cert-file", str(pair.cert)]
    if pair.key != Path():
        options += ["--tls-key-file", str(pair.key)]
    done = run_aigw(tmp_path, "serve", "--aibridge-enabled", *options)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not database.parent.exists()
    # Nothing was ever bound there: the port is as free as before.
    with closing(socket.socket()) as again:
        again.bind(("127.0.0.1", port))
