"""A running daemon takes up a changed configuration, and drops nothing."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from aigw import clock
from aigw.store.key_changes import revoke_key
from tests.e2e.asking import CHAT, JSON_HEADERS, held_stream
from tests.e2e.control import METRICS, at, bearer, metric, new_key, providers_text
from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.polling import until
from tests.e2e.raw import Connection, Headers, ask

if TYPE_CHECKING:
    from tests.simulator import Simulator

Model = Callable[[str], str]
posix = pytest.mark.skipif(os.name == "nt", reason="SIGHUP")

KEYS = ("sk-canary-before-0123456789", "sk-canary-after-01234567890")
STORM = 50


def replace_text(path: Path, text: str) -> None:
    """Write a file as configuration tools do: a reader sees the old one or the new one, whole."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


class Site:
    """A daemon with a configuration file and a key in another file."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.simulator = simulator
        self.config = folder / "config.toml"
        self.key = folder / "openai.key"
        self.key.write_text(KEYS[0])
        self.configure()
        urls = (simulator.openai_url, simulator.anthropic_url)
        options = ("--config", str(self.config), "--log-filter", ".*", *METRICS)
        self.daemon = Daemon(folder, *urls, *options)

    def configure(self, *lines: str) -> None:
        """Write the file."""
        text = ("[aibridge]", 'openai_key = "file:openai.key"', *lines)
        replace_text(self.config, "\n".join(text))

    def aigw(self, *words: str) -> tuple[int, str, str]:
        """Run a command on the daemon's database."""
        done = run_aigw(self.daemon.folder, *words, "--db", str(self.daemon.database))
        return done.returncode, done.stdout, done.stderr

    def status(self) -> dict[str, Any]:
        """What `aigw status --json` says."""
        code, out, err = self.aigw("status", "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    def key_sent(self, name: str) -> str:
        """Ask once; the credential that the provider saw."""
        answer = ask(self.daemon.port, "POST", CHAT.path, CHAT.body(name), JSON_HEADERS)
        assert answer.status == 200
        (received,) = self.simulator.matching(name.encode())
        return sent_key(received)


def sent_key(received: Any) -> str:
    (value,) = [v for n, v in received.headers if n.lower() == b"authorization"]
    text: str = value.decode().removeprefix("Bearer ")
    return text


@pytest.fixture
def site(tmp_path: Path, simulator: Simulator) -> Iterator[Site]:
    made = Site(tmp_path, simulator)
    with made.daemon:
        yield made


def test_a_key_and_the_retention_change(site: Site, model: Model) -> None:
    assert site.key_sent(model("text")) == KEYS[0]
    assert site.status()["retention"] == "60d"
    site.key.write_text(KEYS[1])
    site.configure('retention = "3d"', "[aigw]", 'max_body_size = "2MiB"')
    code, out, err = site.aigw("reload")
    assert (code, out) == (0, "reloaded: the configuration is in use\n")
    assert err == "Warning: changed, but needs a restart: max_body_size\n"
    assert site.key_sent(model("text")) == KEYS[1]
    found = site.status()
    assert found["retention"] == "3d"
    assert found["reload"]["ok"] is True
    assert found["reload"]["needs_restart"] == ["max_body_size"]
    assert [each["hint"] for each in found["providers"][0]["keys"]] == ["sk-c...7890"]
    held = site.daemon.log + json.dumps(found)
    assert "canary" not in held
    assert json.loads(site.daemon.note_path.read_bytes())["control_token"] not in held


def test_a_bad_file_keeps_the_old_configuration(site: Site, model: Model) -> None:
    site.key.write_text(KEYS[1])
    site.configure('retention = "soon"', "max_concurrency = -1")
    code, out, err = site.aigw("reload")
    assert code == 1
    assert out == ""
    assert f"{site.config}:3: aibridge.retention" in err
    assert f"{site.config}:4: aibridge.max_concurrency" in err
    assert site.key_sent(model("text")) == KEYS[0]
    found = site.status()
    assert found["reload"]["ok"] is False
    assert len(found["reload"]["problems"]) == 2
    assert found["retention"] == "60d"
    assert "the configuration stays as it was" in site.daemon.log
    assert "Traceback" not in site.daemon.log
    code, out, _ = site.aigw("reload", "--json")
    assert code == 1
    assert json.loads(out)["problems"] == found["reload"]["problems"]


@posix
def test_a_request_in_flight_keeps_its_provider(site: Site, model: Model) -> None:
    name = model("words-20")
    gate = held_stream(site.simulator, CHAT, name)
    with Connection(site.daemon.port) as connection:
        connection.send("POST", CHAT.path, CHAT.body(name, stream=True), JSON_HEADERS)
        answer = connection.receive_head()
        assert gate.reached.wait(30)
        site.key.write_text(KEYS[1])
        site.daemon.signal(signal.SIGHUP)
        until(lambda: "is in use" in site.daemon.log, what="the reload")
        assert site.key_sent(model("text")) == KEYS[1]
        gate.release()
        connection.receive_body(answer)
    assert answer.complete
    assert CHAT.terminal in answer.body
    assert site.daemon.when_ended(name).status == "completed"


class Load:
    """Clients that ask one request after the other until told to stop."""

    def __init__(
        self,
        site: Site,
        model: Model,
        clients: int,
        paths: tuple[str, ...] = (CHAT.path,),
        headers: Headers | None = None,
    ) -> None:
        self._paths = itertools.cycle(paths)
        self._headers = JSON_HEADERS + (headers or [])
        self.names: list[str] = []
        self.failures: list[str] = []
        self._site = site
        self._model = model
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with Connection(self._site.daemon.port) as connection:
            while not self._over.is_set():
                name = self._model("words-9")
                body = CHAT.body(name, stream=True)
                connection.send("POST", next(self._paths), body, self._headers)
                answer = connection.receive()
                self.names.append(name)
                if answer.status != 200 or CHAT.terminal not in answer.body:
                    self.failures.append(f"{name}: {answer}")


@posix
def test_a_storm_of_reloads_drops_nothing(site: Site, model: Model) -> None:
    with Load(site, model, clients=3) as load:
        until(lambda: len(load.names) > 20, what="some load")
        for number in range(STORM):
            replace_text(site.key, KEYS[number % 2])
            site.configure(f'retention = "{number + 1}d"')
            site.daemon.signal(signal.SIGHUP)
            asked = len(load.names)
            until(lambda before=asked: len(load.names) > before, what="the next request")
        code, _, err = site.aigw("reload")
        assert code == 0, err
    assert load.failures == []
    assert site.status()["retention"] == f"{STORM}d"
    recorded = {each.start["model"]: each for each in site.daemon.interceptions()}
    assert set(recorded) == set(load.names)
    assert {each.status for each in recorded.values()} == {"completed"}
    keys = set()
    for name in load.names:
        (received,) = site.simulator.matching(name.encode())
        keys.add(sent_key(received))
    assert keys == set(KEYS)
    assert "Traceback" not in site.daemon.log


POOL = [f"sk-canary-pool-{letter}-0123456789" for letter in "abc"]
"""Keys of which each reload of the storm takes another two."""


@posix
def test_a_storm_of_everything_drops_nothing(site: Site, model: Model) -> None:
    token, key_id = new_key(site.daemon.database, "lasting")
    paths = (CHAT.path, at(CHAT, "changing"))
    site.configure(*_everything(site, 0))
    assert site.aigw("reload")[0] == 0
    with Load(site, model, 3, paths, bearer(token)) as load:
        for number in range(1, STORM):
            site.configure(*_everything(site, number))
            site.daemon.signal(signal.SIGHUP)
            new_key(site.daemon.database, f"key{number}")
            if number % 3 == 0:
                revoke_key(site.daemon.database, f"key{number - 1}", clock.now())
            asked = len(load.names)
            until(lambda before=asked: len(load.names) > before, what="the next request")
        code, _, err = site.aigw("reload")
        assert code == 0, err
    assert load.failures == []
    found = site.status()
    assert found["limits"] == {"max_concurrency": 50 + STORM - 1, "rate_limit": 9000 + STORM - 1}
    assert found["in_flight"] == 0
    recorded = {each.start["model"]: each for each in site.daemon.interceptions()}
    assert set(recorded) == set(load.names)
    assert {each.status for each in recorded.values()} == {"completed"}
    assert {each.start["api_key_id"] for each in recorded.values()} == {key_id}
    keys = set()
    for name in load.names:
        (received,) = site.simulator.matching(name.encode())
        keys.add(sent_key(received))
    assert keys == {KEYS[0], *POOL}
    assert "Traceback" not in site.daemon.log


def _everything(site: Site, number: int) -> tuple[str, ...]:
    """Providers that change, come and go; limits that are never reached; breakers on and off."""
    keys = [POOL[number % 3], POOL[(number + 1) % 3]]
    common = {"type": "openai", "base_url": site.simulator.openai_url}
    providers: list[dict[str, Any]] = [{"name": "changing", "keys": keys, **common}]
    if number % 2:
        providers.append({"name": "sometimes", "enabled": number % 4 == 1, **common})
    return (
        f"max_concurrency = {50 + number}",
        f"rate_limit = {9000 + number}",
        f"circuit_breaker_enabled = {'true' if number % 2 else 'false'}",
        providers_text(providers),
    )


def test_all_problems_are_told_at_once(site: Site, model: Model) -> None:
    before = metric(site.daemon, "providers_last_reload_success_timestamp_seconds")
    assert metric(site.daemon, "providers_last_reload_timestamp_seconds") == before > 0
    providers: list[dict[str, Any]] = [
        {"name": "one", "type": "openia"},
        {"name": "two", "type": "azure"},
        {"name": "two", "type": "openai", "keys": ["file:not-there.key"]},
        {"name": "four", "type": "openai", "key_cooldown": "soon"},
    ]
    site.configure('retention = "soon"', "rate_limit = -1", providers_text(providers))
    code, out, err = site.aigw("reload")
    assert (code, out) == (1, "")
    wanted = (
        "aibridge.retention",
        "aibridge.rate_limit",
        "openia",
        "base_url",
        "duplicate provider name",
        "not-there.key",
        "key_cooldown",
    )
    for word in wanted:
        assert word in err, word
        assert word in site.daemon.log, word
    assert len(site.status()["reload"]["problems"]) >= len(wanted)
    assert metric(site.daemon, "providers_last_reload_success_timestamp_seconds") == before
    assert metric(site.daemon, "providers_last_reload_timestamp_seconds") > before
    assert site.key_sent(model("text")) == KEYS[0]
    site.configure(providers_text([{"name": "four", "type": "openrouter", "enabled": False}]))
    code, _, err = site.aigw("reload")
    assert code == 0, err
    after = metric(site.daemon, "providers_last_reload_success_timestamp_seconds")
    assert after == metric(site.daemon, "providers_last_reload_timestamp_seconds") > before
    assert metric(site.daemon, "provider_info", provider_name="four", status="disabled") == 1
    assert metric(site.daemon, "provider_info", provider_name="openai", status="enabled") == 1
    answer = ask(site.daemon.port, "GET", "/four/v1/models")
    assert answer.status == 403
    assert b"switched off" in answer.body


def test_retention_in_force_at_once(site: Site, model: Model) -> None:
    name = model("text")
    site.key_sent(name)
    site.daemon.when_ended(name)
    site.configure('retention = "1ms"')
    assert site.aigw("reload")[0] == 0
    until(lambda: site.daemon.recorded(name) == [], what="pruning")


def test_it_is_not_for_other_programs(site: Site) -> None:
    for headers in ([], [(b"X-Aigw-Control", b"guessed")]):
        path = "/api/v2/aibridge/reload"
        answer = ask(site.daemon.port, "POST", path, b"", headers)
        assert answer.status == 403
    assert "was read again" not in site.daemon.log
    assert site.daemon.note_path.stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_not_running(tmp_path: Path) -> None:
    done = run_aigw(tmp_path, "reload", "--db", str(tmp_path / "a.db"))
    assert done.returncode == 3
    assert "no daemon runs" in done.stderr
