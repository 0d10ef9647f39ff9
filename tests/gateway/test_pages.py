from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aigw import __version__, clock
from aigw.errors import AuthError
from aigw.gateway import pages as pages_module
from aigw.gateway.configuration import Configuration, ReloadOutcome
from aigw.gateway.pages import LOCAL, DaemonFacts, Pages, Viewer, database_bytes
from aigw.gateway.tls import ListenerTls, TlsFiles
from aigw.provider_settings import ProviderSettings
from aigw.providers.call import ApiKey
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider
from aigw.providers.types import TYPES
from aigw.secrets import Secret
from aigw.store import writing_thread
from aigw.store.key_changes import NewKey, create_key
from aigw.store.key_ring import KeyRing
from aigw.store.writer import Writer
from aigw.tasks import spawn
from aigw.telemetry.metrics import Metrics
from tests.certificates import new_pair
from tests.gateway.assembly import CONTROL_TOKEN, Gateway, Standing, gateway
from tests.gateway.client import LONG
from tests.gateway.test_server import CHAT, ask
from tests.simulator import Gate, Script, Simulator
from tests.store.rows import NOON, children, end, start
from tests.store.writing import Locked


async def status(running: Gateway, prefix: str = "/api/v2/aibridge") -> dict[str, object]:
    answer = await ask(running, "GET", f"{prefix}/status")
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    found: dict[str, object] = json.loads(answer.body)
    return found


async def test_health(running: Gateway) -> None:
    answer = await ask(running, "GET", "/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")


async def test_ready(running: Gateway) -> None:
    answer = await ask(running, "GET", "/readyz")
    assert (answer.status, json.loads(answer.body)) == (200, {"ready": True})


async def test_not_ready_while_the_store_cannot_write(
    running: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_thread, "RETRY_SECONDS", 0.02)
    with Locked(running.database):
        answer = await ask(running, "GET", "/readyz")
        assert answer.status == 503
        assert "locked" in json.loads(answer.body)["message"]
        found = await status(running)
        error = found["last_error"]
        assert isinstance(error, dict)
        assert "locked" in error["message"]
        assert error["time"].endswith("Z")
    assert (await ask(running, "GET", "/readyz")).status == 200


async def test_not_ready_while_the_store_takes_too_long(
    running: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "READY_SECONDS", 0.05)
    with Locked(running.database):
        answer = await ask(running, "GET", "/readyz")
    assert answer.status == 503
    assert "did not answer" in json.loads(answer.body)["message"]


async def test_status_has_the_documented_fields(running: Gateway) -> None:
    found = await status(running)
    assert list(found) == [
        "version", "pid", "started_at", "uptime_seconds", "listening", "tls", "open_mode",
        "gateway_keys", "gateway_keys_working", "in_flight", "database", "database_bytes", "records_written", "retention",
        "reload", "limits", "budgets",
        "breakers", "providers", "last_error",
    ]  # fmt: skip
    assert found["version"] == __version__
    assert found["pid"] == os.getpid()
    assert found["database"] == str(running.database)
    assert found["retention"] == "60d"
    assert found["last_error"] is None
    assert found["in_flight"] == 0
    assert found["records_written"] == 0
    assert found["providers"] == [
        {
            "name": "openai",
            "type": "openai",
            "base_url": f"{running.simulator.url}/v1",
            "enabled": True,
            "status": "enabled",
            "key": "client's own",
            "keys": [],
        },
        {
            "name": "anthropic",
            "type": "anthropic",
            "base_url": running.simulator.url,
            "enabled": True,
            "status": "enabled",
            "key": "client's own",
            "keys": [],
        },
    ]
    assert await status(running, "/api/v2/ai-gateway") == found | {
        "uptime_seconds": (await status(running))["uptime_seconds"]
    }


async def test_status_counts(running: Gateway) -> None:
    await ask(running, "POST", "/openai/v1/chat/completions", CHAT)
    found = await status(running)
    # Start, prompt, usage, end.
    assert found["records_written"] == 4
    gate = Gate()
    running.simulator.script(Script(body=b"{}", hold={-1: gate}))
    asking = spawn("asking", ask(running, "POST", "/openai/v1/chat/completions", CHAT))
    assert await asyncio.to_thread(gate.reached.wait, LONG)
    assert (await status(running))["in_flight"] == 1
    gate.release()
    await asking
    assert (await status(running))["in_flight"] == 0


CONTROL = [("X-Aigw-Control", CONTROL_TOKEN)]
RELOAD = "/api/v2/aibridge/reload"
NOBODY = AuthError("missing_gateway_key", "send a key")
STATUS = "/api/v2/aibridge/status"
READ = "/api/v2/aibridge/interceptions"
ADMIN = Viewer("ada", is_admin=True)
USER = Viewer("bob")


@pytest.mark.parametrize("prefix", ["/api/v2/aibridge", "/api/v2/ai-gateway"])
async def test_reload(tmp_path: Path, simulator: Simulator, prefix: str) -> None:
    refused = ReloadOutcome(at=1_700_000_000_000_000, ok=False, problems=("a is wrong", "b too"))
    control = Standing(Configuration(providers={}, described={}), last=refused)
    async with gateway(tmp_path, simulator, control=control) as running:
        answer = await ask(running, "POST", f"{prefix}/reload", b"", CONTROL)
        assert answer.status == 200
        expected = {
            "at": "2023-11-14T22:13:20.000000Z",
            "ok": False,
            "problems": ["a is wrong", "b too"],
            "needs_restart": [],
        }
        assert json.loads(answer.body) == expected
        assert (await status(running))["reload"] == expected
    assert control.reloads == 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Aigw-Control", "")],
        [("X-Aigw-Control", CONTROL_TOKEN[:-1])],
        [("X-Aigw-Control", CONTROL_TOKEN + "x")],
        [("X-Aigw-Control", "h\u00e9")],
        [("Authorization", f"Bearer {CONTROL_TOKEN}")],
    ],
)
async def test_reload_needs_the_control_token(
    tmp_path: Path, simulator: Simulator, headers: list[tuple[str, str]]
) -> None:
    control = Standing(Configuration(providers={}, described={}))
    async with gateway(tmp_path, simulator, control=control) as running:
        answer = await ask(running, "POST", RELOAD, b"", headers)
        assert answer.status == 403
        assert "aigw reload" in json.loads(answer.body)["message"]
        assert b"canary" not in answer.received
    assert control.reloads == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_reload_by_other_methods_is_no_page(running: Gateway, method: str) -> None:
    assert (await ask(running, method, RELOAD, b"", CONTROL)).status == 404


async def test_an_empty_token_lets_nobody_in(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "aigw.db")
    facts = DaemonFacts(tmp_path / "aigw.db", 1)
    standing = Standing(Configuration(providers={}, described={}))
    pages = Pages(facts, writer, Metrics(), standing, KeyRing(facts.database))
    for headers in ({}, {"X-Aigw-Control": ""}):
        assert not pages.is_control(make_mocked_request("POST", RELOAD, headers))


async def page(
    running: Gateway, path: str, viewer: Viewer | AuthError, *, control: bool = False
) -> int | None:
    headers = dict(CONTROL) if control else {}
    answer = await running.pages.respond(make_mocked_request("GET", path, headers), path, viewer)
    return None if answer is None else answer.status


async def test_who_sees_which_page(running: Gateway) -> None:
    # Health is nobody's secret; a load balancer has no key.
    for path in ("/healthz", "/readyz"):
        assert await page(running, path, NOBODY) == 200
    for path, viewer, expected in (
        (STATUS, NOBODY, 401),
        (STATUS, USER, 403),
        (STATUS, ADMIN, 200),
        (STATUS, LOCAL, 200),
        (READ, NOBODY, 401),
        (READ, USER, 200),
        (READ, ADMIN, 200),
        ("/api/v2/aibridge/nonsense", USER, None),
        ("/nonsense", NOBODY, None),
    ):
        assert await page(running, path, viewer) == expected, (path, viewer)
    for path in (STATUS, READ):
        assert await page(running, path, NOBODY, control=True) == 200


async def test_status_of_an_access_controlled_gateway(tmp_path: Path, simulator: Simulator) -> None:
    async with gateway(tmp_path, simulator) as running:
        assert (await status(running))["open_mode"] is True
        create_key(running.database, NewKey(name="k", user="k"), clock.now())
        shown = await running.pages.respond(
            make_mocked_request("GET", STATUS, dict(CONTROL)), STATUS, NOBODY
        )
        assert isinstance(shown, web.Response)
        found = json.loads(shown.body)  # type: ignore[arg-type]
        assert (found["open_mode"], found["gateway_keys"], found["gateway_keys_working"]) == (
            False,
            1,
            1,
        )


async def test_status_of_a_configuration(tmp_path: Path, simulator: Simulator) -> None:
    pair = new_pair(tmp_path)
    keys = [ApiKey(Secret(f"sk-canary-{n}-0123456789012"), ("A", "{}")) for n in ("one", "two")]
    home = Provider(TYPES["openai"], "home", "https://h.example/v1", KeyPool(keys))
    described = {
        "home": ProviderSettings(type="openai", name="home"),
        "off": ProviderSettings(
            type="azure", name="off", base_url="https://a.example", enabled=False
        ),
    }
    configuration = Configuration(
        providers={"home": home}, described=described, max_concurrency=3, rate_limit=4
    )
    control = Standing(configuration, tls=ListenerTls(TlsFiles(pair.cert, pair.key)))
    breaker = {"provider": "home", "model": "m", "state": "open", "seconds": 12}
    async with gateway(tmp_path, simulator, control=control, breakers=lambda: [breaker]) as running:
        found = await status(running)
    assert found["listening"] == "http://127.0.0.1:0"
    assert found["retention"] == "for ever"
    assert found["limits"] == {"max_concurrency": 3, "rate_limit": 4}
    assert found["breakers"] == [breaker]
    assert found["tls"] == {"expires": f"{control.tls.leaf.expires:%Y-%m-%dT%H:%M:%SZ}"}  # type: ignore[union-attr]
    assert found["providers"] == [
        {
            "name": "home",
            "type": "openai",
            "base_url": "https://h.example/v1",
            "enabled": True,
            "status": "enabled",
            "key": "configured",
            "keys": [
                {"hint": "sk-c...9012", "state": "available", "seconds": 0.0},
                {"hint": "sk-c...9012", "state": "available", "seconds": 0.0},
            ],
        },
        {
            "name": "off",
            "type": "azure",
            "base_url": "https://a.example",
            "enabled": False,
            "status": "disabled",
            "key": "client's own",
            "keys": [],
        },
    ]


def test_facts_hide_the_token(tmp_path: Path) -> None:
    facts = DaemonFacts(tmp_path / "a.db", 1, control_token=CONTROL_TOKEN)
    assert "canary" not in f"{facts!r} {facts}"


async def test_status_does_not_show_keys(tmp_path: Path, simulator: Simulator) -> None:
    async with gateway(tmp_path, simulator, key="sk-canary-status-1234567") as running:
        answer = await ask(running, "GET", "/api/v2/aibridge/status")
        assert b"canary" not in answer.received
        assert [p["key"] for p in json.loads(answer.body)["providers"]] == ["configured"] * 2


async def test_the_read_api_is_served(running: Gateway) -> None:
    await ask(running, "POST", "/openai/v1/chat/completions", CHAT)
    answer = await ask(running, "GET", "/api/v2/aibridge/interceptions?limit=5")
    assert answer.status == 200
    assert json.loads(answer.body)["count"] == 1
    answer = await ask(running, "GET", "/api/v2/aibridge/interceptions?limit=0")
    assert answer.status == 400


def test_the_size_of_a_database(tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    assert database_bytes(database) == 0
    database.write_bytes(b"x" * 10)
    assert database_bytes(database) == 10
    database.with_name("aigw.db-wal").write_bytes(b"x" * 5)
    assert database_bytes(database) == 15


async def test_one_user_gets_a_few_answers_at_a_time(running: Gateway) -> None:
    # Enough of them that an answer takes a while.
    for number in range(300):
        key = running.recorder.new_id(NOON + number)
        first = start(key, NOON + number, client_session_id=f"session-{number}")
        running.writer.post([first, *children(key, NOON, "hello"), end(key, NOON)])
    await running.writer.commit([])
    target = "/api/v2/aibridge/sessions?limit=300"
    asked = [spawn("ask", ask(running, "GET", target)) for _ in range(20)]
    most = 0
    while not all(task.done() for task in asked):
        most = max(most, sum(thread.name == "read-api" for thread in threading.enumerate()))
        await asyncio.sleep(0)
    assert [task.result().status for task in asked] == [200] * 20
    assert 0 < most <= pages_module.READS_AT_ONCE
