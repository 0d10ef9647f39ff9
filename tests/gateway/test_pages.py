from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from aigw import __version__
from aigw.gateway import pages as pages_module
from aigw.gateway.pages import database_bytes
from aigw.store import writing_thread
from aigw.tasks import spawn
from tests.gateway.assembly import Gateway, gateway
from tests.gateway.client import LONG
from tests.gateway.test_server import CHAT, ask
from tests.simulator import Gate, Script, Simulator
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
        "gateway_keys", "in_flight", "database", "database_bytes", "records_written", "retention",
        "reload", "limits", "breakers", "providers", "last_error",
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
            "status": "ready",
            "key": "client's own",
            "keys": [],
        },
        {
            "name": "anthropic",
            "type": "anthropic",
            "base_url": running.simulator.url,
            "enabled": True,
            "status": "ready",
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
