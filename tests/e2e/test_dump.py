"""HAR files of a running daemon: which there are, what is in them, and what is not."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from tests.e2e.asking import CHAT, JSON_HEADERS
from tests.e2e.bedrock import REGION, table
from tests.e2e.daemon import Daemon
from tests.e2e.polling import until
from tests.e2e.raw import Headers, ask
from tests.simulator import Script, Simulator, sigv4
from tests.telemetry.har import entries_of

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]

POOL = ["sk-canary-first-0123456789aaaa", "sk-canary-second-0123456789bbbb"]
ANTHROPIC_KEY = "sk-ant-canary-0123456789cccc"
CLIENT_KEY = "sk-canary-client-0123456789dddd"
QUERY = "query-canary-0123456789"
STATIC = "static-canary-0123456789eeee"
CANARIES = [*POOL, ANTHROPIC_KEY, CLIENT_KEY, QUERY, STATIC, sigv4.SECRET_KEY]


class Site:
    """A daemon that dumps."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.dumps = folder / "dumps"
        aws = {
            "bedrock_base_url": simulator.url,
            "bedrock_region": REGION,
            "bedrock_access_key": sigv4.ACCESS_KEY,
            "bedrock_access_key_secret": sigv4.SECRET_KEY,
        }
        pool = {"base_url": simulator.openai_url, "keys": POOL, "headers": {"X-Corp": STATIC}}
        configuration = table("openai", "openai", pool) + table("bedrock", "aws", aws)
        self.daemon = Daemon(
            folder,
            "",
            simulator.anthropic_url,
            *("--aibridge-dump-dir", str(self.dumps), "--aibridge-anthropic-key", "env:ANT"),
            configuration=configuration,
            environment={"ANT": ANTHROPIC_KEY},
        )

    def files(self) -> list[Path]:
        """The dumps that are written, oldest first."""
        return sorted(self.dumps.rglob("*.har"), key=lambda path: path.name)

    def entries(self, mark: str) -> list[dict[str, Any]]:
        """The entries of the one dump in whose name or folder a text is."""

        def look() -> list[Path]:
            return [path for path in self.files() if mark in str(path)]

        (path,) = until(look, what=f"the dump of {mark}")
        return entries_of(path.read_bytes())


@pytest.fixture(scope="module")
def site(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("dump"), simulator)
    with made.daemon:
        yield made


@pytest.fixture
def fresh(simulator: Simulator, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own."""
    made = Site(tmp_path, simulator)
    with made.daemon:
        yield made


def _header(message: dict[str, Any], name: str) -> str:
    (value,) = [each["value"] for each in message["headers"] if each["name"].lower() == name]
    text: str = value
    return text


@pytest.mark.parametrize("stream", [False, True])
def test_one_file_for_each_interception(
    simulator: Simulator, site: Site, model: Model, stream: bool
) -> None:
    before = len(site.files())
    for _ in range(3):
        name = model("tools-2+gzip")
        body = CHAT.body(name, stream=stream)
        answer = ask(site.daemon.port, "POST", CHAT.path, body, JSON_HEADERS)
        assert answer.status == 200
        found = site.daemon.when_ended(name)
        (entry,) = site.entries(found.id)
        assert entry["_interception_id"] == found.id
        assert entry["_provider"] == "openai"
        assert entry["_model"] == name
        assert entry["request"]["url"] == f"{simulator.openai_url}chat/completions"
        (arrived,) = simulator.matching(name.encode())
        assert json.loads(entry["request"]["postData"]["text"]) == arrived.json()
        assert entry["response"]["status"] == 200
        assert "get_weather" in entry["response"]["content"]["text"]
        assert _header(entry["request"], "authorization") == "Bearer sk-c...aaaa"
    assert len(site.files()) == before + 3
    written = [path for path in site.files() if path.parent.name.startswith("sim-tools-2")]
    assert {path.parent.parent.name for path in written} == {"openai"}


def test_attempts_are_entries(simulator: Simulator, site: Site, model: Model) -> None:
    name = model("text")
    limit = Script(
        status=429,
        headers=[("Retry-After", "60")],
        body=b'{"error":{"code":"rate_limit_exceeded"}}',
    )
    simulator.script(limit, match=name.encode())
    assert ask(site.daemon.port, "POST", CHAT.path, CHAT.body(name), JSON_HEADERS).status == 200
    found = site.daemon.when_ended(name)
    assert found.ended["attempts"] == 2
    assert found.ended["served_hint"] == "sk-c...bbbb"
    first, second = site.entries(found.id)
    assert (first["_attempt"], second["_attempt"]) == (1, 2)
    assert (first["response"]["status"], second["response"]["status"]) == (429, 200)
    assert "rate_limit_exceeded" in first["response"]["content"]["text"]
    hints = [_header(entry["request"], "authorization") for entry in (first, second)]
    assert hints == ["Bearer sk-c...aaaa", "Bearer sk-c...bbbb"]
    assert first["request"]["postData"] == second["request"]["postData"]


def test_what_bedrock_said_is_dumped_as_it_was(site: Site, model: Model) -> None:
    name = f"anthropic.{model('think+tools-2')}"
    with anthropic.Anthropic(
        base_url=f"{site.daemon.address}/aws", api_key=CLIENT_KEY, max_retries=0
    ) as client:
        stream = client.messages.create(
            model=name, max_tokens=9, messages=[{"role": "user", "content": "x"}], stream=True
        )
        assert list(stream)
    (entry,) = site.entries(site.daemon.when_ended(name).id)
    assert entry["request"]["url"].endswith("/invoke-with-response-stream")
    assert json.loads(entry["request"]["postData"]["text"])["anthropic_version"]
    assert _header(entry["response"], "content-type") == "application/vnd.amazon.eventstream"
    signature = _header(entry["request"], "authorization")
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIA...")
    assert sigv4.SECRET_KEY not in json.dumps(entry)


def test_what_is_passed_through(simulator: Simulator, fresh: Site) -> None:
    port = fresh.daemon.port
    assert ask(port, "GET", f"/openai/v1/models?key={QUERY}&a=b").status == 200
    assert ask(port, "POST", "/anthropic/v1/messages/count_tokens", b'{"x":1}').status == 200
    (entry,) = fresh.entries("models")
    assert entry["request"]["method"] == "GET"
    assert entry["request"]["url"].startswith(f"{simulator.openai_url}models?key=")
    assert "_interception_id" not in entry
    assert len(json.loads(entry["response"]["content"]["text"])["data"]) == 3
    (entry,) = fresh.entries("count_tokens")
    assert entry["request"]["postData"]["text"] == '{"x":1}'
    assert _header(entry["request"], "x-api-key") == "sk-a...cccc"
    assert {path.parent.name for path in fresh.files()} == {"passthrough"}
    assert fresh.daemon.interceptions() == []


@pytest.mark.parametrize("features", ["cut", "reset", "break", "error-500", "html-502"])
def test_failures_are_dumped(site: Site, model: Model, features: str) -> None:
    name = model(f"words-50+{features}")
    ask(site.daemon.port, "POST", CHAT.path, CHAT.body(name, stream=True), JSON_HEADERS)
    found = site.daemon.when_ended(name)
    assert found.status == "failed"
    (entry,) = site.entries(found.id)
    assert bool(entry["response"].get("_error")) is (features in {"cut", "reset"})


def test_an_answer_that_does_not_come(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon(ready=False)
    folder = daemon.folder / "dumps"
    options = ("--aibridge-openai-base-url", "http://127.0.0.1:9")
    dead = start_daemon("--aibridge-dump-dir", str(folder), *options, urls=False)
    name = model("text")
    assert ask(dead.port, "POST", CHAT.path, CHAT.body(name), JSON_HEADERS).status == 502
    (path,) = until(lambda: list(folder.rglob("*.har")), what="the dump")
    (entry,) = entries_of(path.read_bytes())
    assert entry["response"]["status"] == 0
    assert "127.0.0.1:9" in entry["response"]["_error"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_modes(site: Site, model: Model) -> None:
    name = model("text")
    ask(site.daemon.port, "POST", CHAT.path, CHAT.body(name), JSON_HEADERS)
    assert site.entries(site.daemon.when_ended(name).id)
    for path in (site.dumps, *site.dumps.rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_no_credential_is_in_a_dump(simulator: Simulator, fresh: Site, model: Model) -> None:
    own: Headers = [
        (b"Authorization", f"Bearer {CLIENT_KEY}".encode()),
        (b"X-Api-Key", CLIENT_KEY.encode()),
    ]
    quoted = Script(
        status=401,
        headers=[("X-Echo", f"{POOL[0]} {STATIC}")],
        body=json.dumps({"error": {"message": f"bad key {POOL[0]} {STATIC}"}}).encode(),
    )
    name = model("text")
    simulator.script(quoted, match=name.encode())
    path = f"{CHAT.path}?key={QUERY}"
    assert ask(fresh.daemon.port, "POST", path, CHAT.body(name), JSON_HEADERS + own).status == 200
    for other in ("/anthropic/v1/messages", "/aws/v1/messages"):
        body = CHAT.body(f"anthropic.{model('tools-2')}", stream=True)
        ask(fresh.daemon.port, "POST", other, body, JSON_HEADERS + own)
    ask(fresh.daemon.port, "GET", "/openai/v1/models", headers=own)
    assert len(simulator.matching(STATIC.encode())) >= 3
    until(lambda: len(fresh.files()) == 4, what="the dumps")
    for file in fresh.files():
        for canary in CANARIES:
            assert canary.encode() not in file.read_bytes(), (canary, file)


def test_a_stop_writes_what_waits(fresh: Site, model: Model) -> None:
    names = [model("text") for _ in range(20)]
    for name in names:
        ask(fresh.daemon.port, "POST", CHAT.path, CHAT.body(name), JSON_HEADERS)
    assert fresh.daemon.stop() == 0
    assert len(fresh.files()) == len(names)
    fresh.daemon.start()
