"""Which credential goes where, and that no secret is found anywhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.asking import APIS, CHAT, JSON_HEADERS, MESSAGES, Api
from tests.e2e.daemon import Daemon, fetch, run_aigw
from tests.e2e.raw import Connection, Headers, ask
from tests.simulator import Received, Script, Simulator

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]

OPENAI_KEY = "sk-proj-canary-openai-4f9b27d1c8"
ANTHROPIC_KEY = "sk-ant-canary-anthropic-77c1e0aa52"
BEARER = "client-bearer-canary-5519fe20ab"
API_KEY = "client-api-key-canary-90ce41d7bb"
GOVERNANCE = "governance-canary-1b6f1d33c2"
COOKIE = "cookie-canary-aa8c2097f1"
QUERY = "query-canary-3e7d90cc41"
NETRC = "netrc-canary-c0c0a1b2d3"
PROXY = "proxy-canary-e11f78a3c9"
SECRETS = [OPENAI_KEY, ANTHROPIC_KEY, BEARER, API_KEY, GOVERNANCE, COOKIE, QUERY, NETRC, PROXY]

LEAKY = {
    "OPENAI_API_KEY": "leak-openai-key",
    "OPENAI_ORG_ID": "leak-org",
    "OPENAI_PROJECT_ID": "leak-project",
    "OPENAI_BASE_URL": "http://leak.invalid/",
    "ANTHROPIC_API_KEY": "leak-anthropic-key",
    "ANTHROPIC_AUTH_TOKEN": "leak-auth-token",
    "ANTHROPIC_BASE_URL": "http://leak.invalid/",
    "ANTHROPIC_CUSTOM_HEADERS": "X-Leak: leak-header",
}


@dataclass
class Site:
    """A daemon with a simulator for each provider, so that a misdirected secret shows."""

    daemon: Daemon
    openai: Simulator
    anthropic: Simulator

    def provider(self, api: Api) -> Simulator:
        return self.anthropic if api.provider == "anthropic" else self.openai


def _site(folder: Path, central: bool) -> Iterator[Site]:
    (folder / ".netrc").write_text(f"machine 127.0.0.1 login someone password {NETRC}\n")
    (folder / ".netrc").chmod(0o600)
    environment = dict(LEAKY)
    if central:
        environment["CODER_AIBRIDGE_OPENAI_KEY"] = OPENAI_KEY
        environment["CODER_AIBRIDGE_ANTHROPIC_KEY"] = ANTHROPIC_KEY
    with Simulator() as openai, Simulator() as anthropic:
        daemon = Daemon(
            folder,
            openai.openai_url,
            anthropic.anthropic_url,
            "--aibridge-structured-logging",
            *("--log-json", str(folder / "log.json"), "--log-filter", ".*"),
            *("--prometheus-enable", "--prometheus-address", "127.0.0.1:0"),
            environment=environment,
        )
        with daemon:
            yield Site(daemon, openai, anthropic)


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _site(tmp_path_factory.mktemp("central"), central=True)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _site(tmp_path_factory.mktemp("own"), central=False)


_BEARER = (b"Authorization", f"Bearer {BEARER}".encode())
_LOWER = (b"authorization", f"bearer  {BEARER}".encode())
_BASIC = (b"Authorization", b"Basic Zm9vOmJhcg==")
_API_KEY = (b"X-Api-Key", API_KEY.encode())
CLIENTS: dict[str, Headers] = {
    "none": [],
    "bearer": [_BEARER],
    "api key": [_API_KEY],
    "both": [_BEARER, _API_KEY],
    "odd bearer": [_LOWER],
    "basic": [_BASIC],
}
by_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


def _credentials(request: Received) -> dict[str, list[str]]:
    return {name: request.values(name) for name in ("authorization", "x-api-key")}


@by_api
@pytest.mark.parametrize("headers", CLIENTS.values(), ids=CLIENTS.keys())
def test_a_central_key_replaces_whatever_the_client_sent(
    central: Site, model: Model, api: Api, headers: Headers
) -> None:
    name = model("text")
    answer = ask(central.daemon.port, "POST", api.path, api.body(name), JSON_HEADERS + headers)
    assert answer.status == 200
    seen = _credentials(central.provider(api).wait_for(name.encode()))
    if api.provider == "anthropic":
        assert seen == {"authorization": [], "x-api-key": [ANTHROPIC_KEY]}
        hint = "sk-a...aa52"
    else:
        assert seen == {"authorization": [f"Bearer {OPENAI_KEY}"], "x-api-key": []}
        hint = "sk-p...d1c8"
    start = central.daemon.only(name).start
    assert (start["credential_kind"], start["credential_hint"]) == ("centralized", hint)


@pytest.mark.parametrize("headers", CLIENTS.values(), ids=CLIENTS.keys())
def test_so_it_does_where_requests_are_passed_through(central: Site, headers: Headers) -> None:
    port = central.daemon.port
    assert ask(port, "GET", "/openai/v1/models", headers=headers).status == 200
    expected = {"authorization": [f"Bearer {OPENAI_KEY}"], "x-api-key": []}
    assert _credentials(central.openai.requests[-1]) == expected
    assert ask(port, "GET", "/anthropic/v1/models", headers=headers).status == 200
    expected = {"authorization": [], "x-api-key": [ANTHROPIC_KEY]}
    assert _credentials(central.anthropic.requests[-1]) == expected


@by_api
@pytest.mark.parametrize(
    ("client", "kind", "hint"),
    [
        ("none", "", ""),
        ("bearer", "byok", "clie...20ab"),
        ("api key", "byok", "clie...d7bb"),
        ("odd bearer", "byok", "clie...20ab"),
    ],
)
def test_without_a_central_key_the_client_s_own_goes_on(
    own: Site, model: Model, api: Api, client: str, kind: str, hint: str
) -> None:
    name = model("text")
    headers = CLIENTS[client]
    ask(own.daemon.port, "POST", api.path, api.body(name), JSON_HEADERS + headers)
    request = own.provider(api).wait_for(name.encode())
    sent = [(key.lower(), value) for key, value in headers]
    arrived = [
        (key.lower(), value)
        for key, value in request.headers
        if key.lower() in {b"authorization", b"x-api-key"}
    ]
    assert arrived == sent
    start = own.daemon.only(name).start
    assert (start["credential_kind"], start["credential_hint"]) == (kind, hint)


@pytest.mark.parametrize("which", ["central", "own"])
@by_api
def test_nothing_of_the_gateway_s_own_leaks_upstream(
    request: pytest.FixtureRequest, model: Model, api: Api, which: str
) -> None:
    site: Site = request.getfixturevalue(which)
    name = model("text")
    headers: Headers = [
        (b"X-Coder-AI-Governance-Token", GOVERNANCE.encode()),
        (b"Coder-Session-Token", GOVERNANCE.encode()),
    ]
    ask(site.daemon.port, "POST", api.path, api.body(name), headers)
    arrived = site.provider(api).wait_for(name.encode())
    for secret in [GOVERNANCE, NETRC, *LEAKY.values(), "leak"]:
        assert secret.encode() not in arrived
    if which == "own":
        assert _credentials(arrived) == {"authorization": [], "x-api-key": []}


def test_no_secret_is_found_anywhere(central: Site, own: Site, model: Model) -> None:
    headers: Headers = [
        _BEARER,
        _API_KEY,
        (b"X-Coder-AI-Governance-Token", GOVERNANCE.encode()),
        (b"Cookie", f"session={COOKIE}".encode()),
        (b"Proxy-Authorization", f"Basic {PROXY}".encode()),
    ]
    for site in (central, own):
        bodies = _provoke(site, model, headers)
        places = {**_files(site.daemon), **_pages(site.daemon), "errors": b"".join(bodies)}
        assert len(places) > 8
        for place, content in places.items():
            for secret in SECRETS:
                assert secret.encode() not in content, f"{secret} is in {place}"
    seen = b"".join(each.head + each.framed for each in central.openai.requests)
    assert OPENAI_KEY.encode() in seen
    assert ANTHROPIC_KEY.encode() not in seen
    seen = b"".join(each.head + each.framed for each in central.anthropic.requests)
    assert ANTHROPIC_KEY.encode() in seen
    assert OPENAI_KEY.encode() not in seen
    assert NETRC.encode() not in seen


def _provoke(site: Site, model: Model, headers: Headers) -> list[bytes]:
    """Requests of every outcome; the bodies of the gateway's own answers."""
    port = site.daemon.port
    bodies = []
    for api in APIS:
        for features in ("tools-2", "error-401", "error-500", "cut", "break"):
            for stream in (False, True):
                body = api.body(model(features), stream=stream)
                ask(port, "POST", f"{api.path}?key={QUERY}", body, headers)
        name = model("text")
        lost = Script(ending="reset")
        site.provider(api).script(lost, lost, match=name.encode())
        answer = ask(port, "POST", f"{api.path}?key={QUERY}", api.body(name), headers)
        assert answer.status == 502
        bodies.append(answer.body)
        site.provider(api).clear_scripts()
        bodies.append(ask(port, "GET", f"{api.path}?key={QUERY}", headers=headers).body)
    bodies += [
        ask(port, "GET", f"{path}?key={QUERY}", headers=headers).body
        for path in ("/openai/v1/files", "/nowhere", "/anthropic/v1/x")
    ]
    bodies.append(ask(port, "GET", "/openai/v1/models", headers=[*headers, (b"Origin", b"x")]).body)
    return bodies


def _files(daemon: Daemon) -> dict[str, bytes]:
    """Every file the daemon has written."""
    files = [path for path in daemon.folder.rglob("*") if path.is_file() and path.name != ".netrc"]
    assert {"aigw.db", "aigw.db-wal", "log.json", "daemon.err"} <= {path.name for path in files}
    return {str(path): path.read_bytes() for path in files}


def _pages(daemon: Daemon) -> dict[str, bytes]:
    paths = ("/api/v2/aibridge/status", "/api/v2/aibridge/interceptions?limit=1000", "/readyz")
    pages = {path: fetch(daemon.address + path)[1] for path in paths}
    status, metrics = fetch(f"http://{daemon.metrics_address}/metrics")
    assert status == 200
    assert b"coder_aibridged_interceptions_total" in metrics
    for command in (("status",), ("logs", "-n", "0"), ("logs", "--json", "-n", "0")):
        done = run_aigw(daemon.folder, *command, "--db", str(daemon.database))
        assert done.returncode == 0, done.stderr
        pages[f"aigw {command}"] = (done.stdout + done.stderr).encode()
    command_line = Path(f"/proc/{daemon.process.pid}/cmdline")
    if command_line.exists():
        pages["ps"] = command_line.read_bytes()
    return pages | {"metrics": metrics}


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_file_modes(central: Site) -> None:
    folder = central.daemon.folder
    names = {path.name for path in folder.iterdir()}
    made = {"aigw.db", "aigw.db-wal", "aigw.db-shm", "aigw.db.lock", "aigw.db.daemon.json"}
    assert made <= names
    for name in [*made, "log.json"]:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_a_missing_folder_is_made_for_its_owner_only(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    folder = tmp_path / "share" / "aigw"
    start_daemon(database=folder / "aigw.db")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_keys_by_reference(start_daemon: StartDaemon, simulator: Simulator, model: Model) -> None:
    daemon = start_daemon(ready=False)
    key_file = daemon.folder / "key.txt"
    key_file.write_text(f"{OPENAI_KEY}\n")
    key_file.chmod(0o600)
    referring = start_daemon(
        *("--aibridge-openai-key", f"file:{key_file}"),
        *("--aibridge-anthropic-key", f"cmd:echo {ANTHROPIC_KEY}"),
    )
    for api, expected in ((CHAT, f"Bearer {OPENAI_KEY}"), (MESSAGES, ANTHROPIC_KEY)):
        name = model("text")
        ask(referring.port, "POST", api.path, api.body(name), JSON_HEADERS)
        seen = _credentials(simulator.wait_for(name.encode()))
        assert [expected] in seen.values()
    assert OPENAI_KEY not in referring.log


def test_a_key_on_the_command_line_is_warned_about(
    start_daemon: StartDaemon, simulator: Simulator, model: Model
) -> None:
    daemon = start_daemon("--aibridge-openai-key", OPENAI_KEY)
    assert "--aibridge-openai-key" in daemon.log
    assert "ps" in daemon.log
    assert OPENAI_KEY not in daemon.log
    name = model("text")
    ask(daemon.port, "POST", CHAT.path, CHAT.body(name), JSON_HEADERS)
    seen = _credentials(simulator.wait_for(name.encode()))
    assert seen["authorization"] == [f"Bearer {OPENAI_KEY}"]


@pytest.mark.parametrize(
    "line",
    [b"Authorization: Bearer %s\x01\r\n", b"X-Api-Key: %s" + b"x" * 200_000 + b"\r\n"],
    ids=["control character", "too long"],
)
def test_a_request_that_is_not_http_is_not_quoted(start_daemon: StartDaemon, line: bytes) -> None:
    daemon = start_daemon()
    canary = b"sk-canary-in-a-broken-header"
    with Connection(daemon.port) as connection:
        connection.socket.sendall(
            b"POST /openai/v1/responses HTTP/1.1\r\nHost: localhost\r\n"
            + line.replace(b"%s", canary)
            + b"\r\n"
        )
        answer = connection.receive()
    assert answer.status == 400
    assert canary not in answer.body
    assert daemon.stop() == 0
    assert canary.decode() not in daemon.log
    assert "a request was refused with 400" in daemon.log
