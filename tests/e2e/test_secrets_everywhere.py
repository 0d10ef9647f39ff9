"""One daemon with a canary for each secret there is, everything switched on, and all going wrong.

No secret may be found in anything that the daemon writes or shows, and each reaches its own provider
and no other: every provider is a simulator of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.asking import JSON_HEADERS
from tests.e2e.bedrock import REGION, table
from tests.e2e.daemon import Daemon, fetch, run_aigw
from tests.e2e.polling import until
from tests.e2e.raw import Headers, ask
from tests.simulator import Script, Simulator, sigv4

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Model = Callable[[str], str]

OPENAI = "sk-proj-canary-openai-9c41aa0e"
POOL = ("sk-canary-pool-one-17d3bb2f", "sk-canary-pool-two-88e0cc3a")
ANTHROPIC = "sk-ant-canary-anthropic-5512dd4b"
AWS_ID = "AKIACANARY0000000001"
AWS_SECRET = "canary/aws+secret/0123456789abcdefghijkl"
AWS_TOKEN = "canary-aws-session-token//55aa+=="
COPILOT = "gho_canary-copilot-user-21f6ee5c"
CLIENT = "sk-canary-client-own-6607ff6d"
STATIC = "canary-static-header-3418aa7e"
CANARIES = (OPENAI, *POOL, ANTHROPIC, AWS_SECRET, AWS_TOKEN, COPILOT, CLIENT, STATIC)

PATHS = {
    "openai": "/openai/v1/chat/completions",
    "pool": "/pool/v1/responses",
    "anthropic": "/anthropic/v1/messages",
    "aws": "/aws/v1/messages",
    "copilot": "/copilot/chat/completions",
}
MAY_SEE: dict[str, set[str]] = {
    "openai": {OPENAI},
    "pool": {*POOL, STATIC},
    "anthropic": {ANTHROPIC, CLIENT},
    # AWS is shown a signature, and the token that goes with it.
    "aws": {AWS_TOKEN},
    "copilot": {COPILOT},
}


@dataclass
class Site:
    """The daemon, a simulator for each provider, and the key of a user."""

    daemon: Daemon
    providers: dict[str, Simulator]
    configuration: tuple[str, ...]
    key: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def aigw(self, *words: str) -> CompletedProcess[str]:
        """Run a command as the operator does, with the daemon's configuration."""
        return run_aigw(self.daemon.folder, *words, environment=ENVIRONMENT)

    def headers(self, name: str, *, own: bool = False) -> Headers:
        """A request's, with the gateway key; `own`: and the client's credential for a provider."""
        key = self.key.encode()
        if name == "copilot":
            token = f"Bearer {COPILOT}".encode()
            return [*JSON_HEADERS, (b"X-Coder-AI-Governance-Token", key), (b"Authorization", token)]
        if own:
            mine = (b"X-Api-Key", CLIENT.encode())
            return [*JSON_HEADERS, (b"X-Coder-AI-Governance-Token", key), mine]
        return [*JSON_HEADERS, (b"Authorization", b"Bearer " + key)]

    def ask(self, name: str, model: str, *, stream: bool = False, own: bool = False) -> int:
        """One request; what the gateway says is kept to be looked through."""
        content = [{"role": "user", "content": "hello"}]
        field_name = "input" if name == "pool" else "messages"
        fields = {"model": model, field_name: content, "max_tokens": 9, "stream": stream}
        body = json.dumps(fields).encode()
        headers = self.headers(name, own=own)
        answer = ask(self.daemon.port, "POST", PATHS[name], body, headers)
        self.bodies.append(answer.body + repr(answer.headers).encode())
        return answer.status


ENVIRONMENT = {
    "CANARY_POOL_ONE": POOL[0],
    "CANARY_STATIC": STATIC,
    "CODER_AIBRIDGE_ANTHROPIC_KEY": ANTHROPIC,
    "CANARY_AWS_SECRET": AWS_SECRET,
    "CANARY_AWS_TOKEN": AWS_TOKEN,
}


def _configuration(folder: Path, providers: dict[str, Simulator]) -> str:
    (folder / "openai.key").write_text(f"{OPENAI}\n")
    (folder / "openai.key").chmod(0o600)
    pool = {
        "base_url": providers["pool"].openai_url,
        "keys": ["env:CANARY_POOL_ONE", POOL[1]],
        "headers": {"X-Corp": "env:CANARY_STATIC"},
        "key_cooldown": "1s",
    }
    aws = {
        "bedrock_base_url": providers["aws"].url,
        "bedrock_region": REGION,
        "bedrock_access_key": AWS_ID,
        "bedrock_access_key_secret": "env:CANARY_AWS_SECRET",
        "bedrock_session_token": "env:CANARY_AWS_TOKEN",
    }
    lines = ["[aibridge]", 'openai_key = "file:openai.key"', ""]
    return (
        "\n".join(lines)
        + table("openai", "pool", pool)
        + table("bedrock", "aws", aws)
        + table("copilot", "copilot", {"base_url": providers["copilot"].url})
        + table("openai-compat", "dead", {"base_url": "http://127.0.0.1:9", "key": OPENAI})
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("secrets")
    sigv4.KEYS[AWS_ID] = (AWS_SECRET, AWS_TOKEN)
    with ExitStack() as stack:
        providers = {name: stack.enter_context(Simulator()) for name in PATHS}
        daemon = Daemon(
            folder,
            providers["openai"].openai_url,
            providers["anthropic"].anthropic_url,
            "--aibridge-structured-logging",
            *("--log-json", str(folder / "log.json"), "--log-filter", ".*"),
            *("--prometheus-enable", "--prometheus-address", "127.0.0.1:0"),
            *("--aibridge-dump-dir", str(folder / "dumps")),
            *("--aibridge-circuit-breaker-enabled",),
            *("--aibridge-circuit-breaker-failure-threshold", "100"),
            configuration=_configuration(folder, providers),
            environment=ENVIRONMENT,
        )
        stack.enter_context(daemon)
        made = Site(daemon, providers, ("--config", str(folder / "config.toml")))
        created = run_aigw(folder, "keys", "create", "ann", "--db", str(daemon.database))
        made.key = next(word for word in created.stdout.split() if word.startswith("aigw_"))
        yield made
    del sigv4.KEYS[AWS_ID]


def _model(make: Model, name: str, features: str) -> str:
    model = make(features)
    return f"anthropic.{model}" if name == "aws" else model


def _provoke(site: Site, make: Model) -> None:
    """Everything that can come of a request, at each provider."""
    for name, simulator in site.providers.items():
        lost = _model(make, name, "text")
        simulator.always(Script(ending="reset"), match=_names(lost))
        assert site.ask(name, lost) == 502
        # Keys that are refused or limited rest a while: so these come last.
        for stream in (False, True):
            for features in ("tools-2", "error-400", "error-403", "error-500", "cut", "error-429"):
                site.ask(name, _model(make, name, features), stream=stream)
        _repeat(site, name, _model(make, name, "text"), MAY_SEE[name] - {CLIENT})
    site.ask("anthropic", make("text"), own=True)
    _repeat(site, "anthropic", make("text"), {CLIENT}, own=True)
    port, own = site.daemon.port, site.headers("anthropic", own=True)
    for path in ("/dead/v1/chat/completions", "/dead/v1/models", "/nowhere", "/openai/v1/files"):
        site.bodies.append(ask(port, "POST", path, b"{", site.headers("openai")).body)
        site.bodies.append(ask(port, "POST", path, b"{}", own).body)
    wrong: Headers = [(b"Authorization", f"Bearer {CLIENT}".encode())]
    site.bodies.append(ask(port, "POST", PATHS["openai"], b"{}", wrong).body)
    for path in ("/openai/v1/models", "/pool/v1/models", "/anthropic/v1/models"):
        assert ask(port, "GET", f"{path}?key={site.key}", headers=site.headers("openai")).status


def _repeat(site: Site, name: str, model: str, secrets: set[str], *, own: bool = False) -> None:
    """Ask a provider that repeats what it was sent."""
    simulator = site.providers[name]
    message = f"Incorrect API key provided: {' '.join(secrets)}"
    body = json.dumps({"error": {"message": message}}).encode()
    simulator.script(Script(status=401, body=body), match=_names(model))
    site.ask(name, model, own=own)
    site.bodies.pop()  # the provider's own words, relayed as they are
    simulator.clear_scripts()


def _names(model: str) -> Callable[[object], bool]:
    token = model.rpartition("+")[2].encode()
    return lambda request: token in request  # type: ignore[operator]


def test_no_secret_is_found_anywhere(site: Site, model: Model) -> None:
    _provoke(site, model)
    for simulator in site.providers.values():
        assert simulator.requests
    done = site.aigw("reload", "--db", str(site.daemon.database))
    assert done.returncode == 0, done.stderr
    count = len(site.daemon.interceptions())
    until(lambda: len(_dumps(site)) >= count - len(site.providers), what="the dumps")
    places = {**_files(site), **_pages(site), "errors": b"".join(site.bodies)}
    token = json.loads(site.daemon.note_path.read_bytes())["control_token"]
    assert len(token) > 20
    for place, content in places.items():
        for secret in (*CANARIES, site.key, token):
            assert secret.encode() not in content, f"{secret} is in {place}"
    note = site.daemon.note_path.read_bytes()
    for secret in (*CANARIES, site.key):
        assert secret.encode() not in note
    _check_providers(site, token)
    assert site.daemon.stop() == 0
    for place, content in _files(site).items():
        for secret in (*CANARIES, site.key, token):
            assert secret.encode() not in content, f"{secret} is in {place} after the stop"
    site.daemon.start()


def _check_providers(site: Site, token: str) -> None:
    """Each secret has reached its own provider, and no other."""
    for name, simulator in site.providers.items():
        seen = b"".join(request.head + request.framed for request in simulator.requests)
        for secret in MAY_SEE[name]:
            assert secret.encode() in seen, f"{secret} has not reached {name}"
        for secret in {*CANARIES, site.key, token} - MAY_SEE[name]:
            assert secret.encode() not in seen, f"{secret} has reached {name}"


def _dumps(site: Site) -> list[Path]:
    return list((site.daemon.folder / "dumps").rglob("*.har"))


def _files(site: Site) -> dict[str, bytes]:
    """Every file that the daemon has written, but for its note."""
    folder = site.daemon.folder
    given = {folder / "config.toml", folder / "openai.key", site.daemon.note_path}
    files = [path for path in folder.rglob("*") if path.is_file() and path not in given]
    assert {"aigw.db", "log.json", "daemon.err", "daemon.out"} <= {path.name for path in files}
    assert _dumps(site)
    return {str(path): path.read_bytes() for path in files}


def _pages(site: Site) -> dict[str, bytes]:
    daemon, key = site.daemon, site.headers("openai")
    database = ("--db", str(daemon.database))
    pages = {}
    for path in ("/api/v2/aibridge/status", "/api/v2/aibridge/interceptions?limit=1000", "/readyz"):
        pages[path] = ask(daemon.port, "GET", path, headers=key).body
        pages[f"{path}, open"] = fetch(daemon.address + path)[1]
    status, pages["metrics"] = fetch(f"http://{daemon.metrics_address}/metrics")
    assert status == 200
    assert b"provider" in pages["metrics"]
    for command in (
        ("status", *database),
        ("status", "--json", *database),
        ("logs", "--json", "-n", "0", *database),
        ("keys", "list", "--json", *database),
        ("providers", "list", "--json", *site.configuration, *database),
        ("providers", "list", "--origin", *site.configuration, *database),
        ("providers", "test", "pool", "--json", *site.configuration),
        ("providers", "test", "dead", *site.configuration),
        ("config", "show", "--json", *site.configuration),
        ("config", "show", "--origin", *site.configuration),
    ):
        done = site.aigw(*command)
        assert done.returncode == (1 if "dead" in command else 0), done.stderr
        pages[f"aigw {' '.join(command)}"] = (done.stdout + done.stderr).encode()
    listed = next(text for name, text in pages.items() if name.startswith("aigw providers list"))
    assert b"AKIA...0001" in listed
    if os.name != "nt":
        command_line = Path(f"/proc/{daemon.process.pid}/cmdline")
        if command_line.exists():
            pages["ps"] = command_line.read_bytes()
    return pages
