"""Exchanges that end before the answer says anything: what the provider may charge for is estimated."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aigw.providers.call import ApiKey
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider
from aigw.providers.types import OPENAI
from aigw.secrets import Secret
from tests.gateway.assembly import Gateway, gateway
from tests.gateway.client import LONG, Client
from tests.pricing.tariff import Tariff
from tests.simulator import Gate, Script, Simulator

CHAT = "/openai/v1/chat/completions"
STREAM = [("Content-Type", "text/event-stream")]
JSON_TYPE = ("Content-Type", "application/json")
KEYS = ("sk-one-0123456789", "sk-two-0123456789")
RATE = 10
PROMPT = "Tell me of the sea, and of all that is in it. " * 40


def body(prompt: str = PROMPT, **fields: Any) -> bytes:
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not holds():  # noqa: ASYNC110 (what is awaited tells nobody of its changes)
            await asyncio.sleep(0.01)


async def left(running: Gateway, gate: Gate, content: bytes) -> dict[str, Any]:
    """The row of a request whose client leaves while the provider waits at a gate."""
    async with Client(running.port) as client:
        await client.send("POST", CHAT, content, [JSON_TYPE])
        assert await asyncio.to_thread(gate.reached.wait, LONG)
        await client.leave()
        await until(lambda: running.metrics.in_flight == 0)
    gate.release()
    return (await running.ended())[0]


def usages(running: Gateway) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(running.database)) as connection:
        return connection.execute(
            "SELECT input_tokens, output_tokens, cost_basis, cost_micros FROM token_usages"
        ).fetchall()


@pytest.mark.parametrize(
    "held", [Script(), Script(headers=STREAM, framing="chunked", body=[b": hello\n\n", b"x"])]
)
async def test_its_input_is_estimated(tmp_path: Path, simulator: Simulator, held: Script) -> None:
    """Before the head; and after it, where nothing has been said yet."""
    gate = Gate()
    simulator.script(replace(held, hold={1 if held.headers else -1: gate}))
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE)) as running:
        row = await left(running, gate, body())
        assert (row["status"], row["error_type"]) == ("aborted", "client_disconnected")
        ((read, written, basis, micros),) = usages(running)
        assert len(PROMPT) // 8 <= read <= len(PROMPT) // 4
        assert (written, basis, micros) == (0, "estimated", RATE * read)
        assert (row["input_tokens"], row["estimated"], row["cost_micros"]) == (read, 1, micros)


@pytest.mark.parametrize(("status", "is_charged"), [(200, True), (500, False)])
async def test_so_it_is_where_the_provider_breaks_off_before_it_says_anything(
    tmp_path: Path, simulator: Simulator, status: int, is_charged: bool
) -> None:
    script = Script(status=status, headers=STREAM, framing="chunked", body=[b": hello\n\n", b"x"])
    simulator.script(replace(script, ending="reset", cut=12))
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE)) as running:
        async with Client(running.port) as client:
            await client.send("POST", CHAT, body(), [JSON_TYPE])
            await client.answer()
        assert (await running.ended())[0]["status"] == "failed"
        found = usages(running)
        assert [(usage[1], usage[2]) for usage in found] == [(0, "estimated")] * is_charged
        assert all(len(PROMPT) // 8 <= usage[0] <= len(PROMPT) // 4 for usage in found)


async def test_an_error_that_has_begun_costs_nothing(tmp_path: Path, simulator: Simulator) -> None:
    gate = Gate()
    simulator.script(Script(status=500, body=[b"{", b"}"], framing="chunked", hold={1: gate}))
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE)) as running:
        await left(running, gate, body())
        assert usages(running) == []


async def test_what_was_not_sent_costs_nothing(
    tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting = asyncio.Event()

    async def connect(*_: object) -> None:
        connecting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("aigw.gateway.upstream.Connector.connect", connect)
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE)) as running:
        async with Client(running.port) as client:
            await client.send("POST", CHAT, body(), [JSON_TYPE])
            await asyncio.wait_for(connecting.wait(), LONG)
            await client.leave()
            await until(lambda: running.metrics.in_flight == 0)
        assert (await running.ended())[0]["status"] == "aborted"
        assert usages(running) == []


async def test_a_request_that_was_sent_in_part_costs_nothing(tmp_path: Path) -> None:
    arrived, goes_on, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await goes_on.wait()
        writer.transport.abort()
        closed.set()

    server = await asyncio.start_server(never_reads, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with Simulator() as unused:
        url = f"http://127.0.0.1:{port}"
        async with gateway(tmp_path, unused, base_url=url, pricing=Tariff(RATE)) as running:
            async with Client(running.port) as client:
                await client.send("POST", CHAT, body("x" * 14_000_000), [JSON_TYPE])
                await asyncio.wait_for(arrived.wait(), LONG)
                await client.leave()
                await until(lambda: running.metrics.in_flight == 0)
            assert (await running.ended())[0]["status"] == "aborted"
            assert usages(running) == []
    goes_on.set()
    await asyncio.wait_for(closed.wait(), LONG)
    server.close()


def two_keys(simulator: Simulator) -> dict[str, Provider]:
    keys = [ApiKey(Secret(key), OPENAI.key_header) for key in KEYS]
    return {"openai": Provider(OPENAI, "openai", f"{simulator.url}/v1", KeyPool(keys))}


async def test_a_refused_key_before_it_is_not_counted(tmp_path: Path, simulator: Simulator) -> None:
    gate = Gate()
    refusal = Script(status=401, body=b'{"error":{"code":"invalid_api_key"}}')
    simulator.script(refusal, match=KEYS[0].encode())
    simulator.script(Script(hold={-1: gate}), match=KEYS[1].encode())
    providers = two_keys(simulator)
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE), providers=providers) as running:
        row = await left(running, gate, body())
        assert row["attempts"] == 2
        assert [usage[2] for usage in usages(running)] == ["estimated"]


async def test_a_refusal_that_is_looked_into_is_not_counted(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    refusal = Script(status=401, body=[b"{", b"}"], framing="chunked", hold={1: gate})
    simulator.script(refusal)
    providers = two_keys(simulator)
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE), providers=providers) as running:
        row = await left(running, gate, body())
        assert row["status"] == "aborted"
        assert usages(running) == []


async def test_a_closed_connection_that_was_tried_first_is_not_counted(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE)) as running:
        async with Client(running.port) as client:
            await client.send("POST", CHAT, body("hi"), [JSON_TYPE])
            await client.answer()
        simulator.script(Script(ending="close", cut=-1, only_reused=True))
        simulator.script(Script(hold={-1: gate}))
        async with Client(running.port) as client:
            await client.send("POST", CHAT, body(), [JSON_TYPE])
            assert await asyncio.to_thread(gate.reached.wait, LONG)
            await client.leave()
            await until(lambda: running.metrics.in_flight == 0)
        gate.release()
        await running.ended(2)
        assert [usage[2] for usage in usages(running)] == ["wire", "estimated"]


async def test_a_patient_class_of_service_is_estimated_at_its_price(
    tmp_path: Path, simulator: Simulator
) -> None:
    """A floor is never higher than what is charged."""
    gate = Gate()
    simulator.script(Script(hold={-1: gate}))
    async with gateway(tmp_path, simulator, pricing=Tariff(RATE)) as running:
        await left(running, gate, body(service_tier="flex"))
        with closing(sqlite3.connect(running.database)) as connection:
            (found,) = connection.execute("SELECT metadata FROM token_usages").fetchone()
    assert json.loads(found)["service_tier"] == "flex"
