"""Budgets over real HTTP: which request is the last, however many run, and however they end."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aigw.pricing.budget import Budget, Period, Scope, Unit, Who
from aigw.pricing.budget_gate import BudgetGate
from aigw.pricing.budget_settings import BudgetSettings, Refusal
from aigw.pricing.budget_table import set_budget, unset_budgets
from aigw.providers.provider import Provider
from aigw.providers.types import ANTHROPIC, COPILOT
from aigw.store.database import open_for_writing
from tests.gateway.assembly import Gateway, gateway
from tests.gateway.client import LONG, Client, Headers
from tests.pricing.tariff import Tariff, budget
from tests.simulator import Gate, Script, Simulator

JSON_TYPE = ("Content-Type", "application/json")
CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
LOCAL = Who("local", "Unknown")
RATE = 10
"""Micro-dollars a token."""


@asynccontextmanager
async def budgeted(
    folder: Path, simulator: Simulator, *budgets: Budget, patience: float = LONG, **more: Any
) -> AsyncIterator[tuple[Gateway, BudgetGate]]:
    """A gateway with budgets, in which a token costs `RATE`."""
    open_for_writing(folder / "aigw.db", "normal").close()
    for each in budgets:
        set_budget(folder / "aigw.db", each)
    tariff = Tariff(RATE)
    gate = BudgetGate(tariff, patience=patience)
    async with gateway(folder, simulator, gate=gate, pricing=tariff, **more) as running:
        yield running, gate


def body(model: str = "sim-text", *, stream: bool = False, most: int = 50) -> bytes:
    messages = [{"role": "user", "content": "hi"}]
    fields = {"model": model, "messages": messages, "max_tokens": most, "stream": stream}
    return json.dumps(fields).encode()


async def ask(running: Gateway, target: str = CHAT, content: bytes = b"", **more: Any) -> Client:
    headers: Headers = [JSON_TYPE, *more.pop("headers", ())]
    async with Client(running.port) as client:
        await client.send("POST", target, content or body(), headers)
        await client.answer()
        return client


async def cost_of_one(folder: Path, simulator: Simulator) -> int:
    folder.mkdir()  # noqa: ASYNC240 (a test's own folder)
    async with budgeted(folder, simulator) as (running, _):
        assert (await ask(running)).status == 200
        (row,) = await running.ended(1)
        return int(row["cost_micros"])


def spent(running: Gateway) -> int:
    connection = open_for_writing(running.database, "normal")
    try:
        return int(
            connection.execute("SELECT ifnull(sum(cost_micros), 0) FROM token_usages").fetchone()[0]
        )
    finally:
        connection.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not holds():  # noqa: ASYNC110 (what is awaited tells nobody of its changes)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("more", "passing"), [(0, 3), (1, 4), (-1, 3)])
async def test_a_loop_stops_at_the_right_request(
    tmp_path: Path, simulator: Simulator, more: int, passing: int
) -> None:
    cost = await cost_of_one(tmp_path / "one", simulator)
    limit = budget(amount=3 * cost + more)
    async with budgeted(tmp_path, simulator, limit) as (running, _):
        asked = len(simulator.requests)
        statuses = [(await ask(running)).status for _ in range(6)]
        assert statuses == [200] * passing + [403] * (6 - passing)
        # The provider was not asked, and what was refused is recorded.
        assert len(simulator.requests) == asked + passing
        rows = await running.ended(6)
        assert [row["error_type"] for row in rows[passing:]] == ["budget_exceeded"] * (6 - passing)
        assert rows[-1]["status_code"] == 403
        assert rows[-1]["cost_micros"] == 0


async def test_the_refusal_says_what_is_spent_and_when_it_begins_anew(
    tmp_path: Path, simulator: Simulator
) -> None:
    limit = budget(amount=10_000)
    async with budgeted(tmp_path, simulator, limit) as (running, _):
        while (answer := await ask(running)).status == 200:
            pass
        assert answer.status == 403
        assert answer.header("x-should-retry") == "false"
        error = json.loads(answer.body)["error"]
        assert error["code"] == "budget_exceeded"
        assert error["message"].startswith(
            "AI budget of US$0.01 exceeded. Please contact an administrator for more details. "
            "(Budget of each user per month: US$0.0"
        )
        assert "T00:00:00Z" in error["message"]
        answer = await ask(running, MESSAGES)
        found = json.loads(answer.body)
        assert (answer.status, found["type"]) == (403, "error")
        assert found["error"]["type"] == "permission_error"


async def test_tokens_and_a_billing_error_by_choice(tmp_path: Path, simulator: Simulator) -> None:
    limit = budget(amount=1, unit=Unit.TOKENS)
    choice = BudgetSettings(refusal=Refusal.BILLING_ERROR)
    async with budgeted(tmp_path, simulator, limit, budgets=choice) as (running, _):
        assert (await ask(running)).status == 200
        for target in (CHAT, MESSAGES):
            answer = await ask(running, target)
            error = json.loads(answer.body)["error"]
            assert (answer.status, error["type"]) == (429, "billing_error")
            assert error["code"] == "billing_error"
            assert error["message"].startswith("AI budget of 1 token exceeded. Please contact")
            assert answer.header("x-should-retry") == "false"
            assert answer.header("Retry-After") is None


async def test_lists_and_counting_stay_free(tmp_path: Path, simulator: Simulator) -> None:
    async with budgeted(tmp_path, simulator, budget(amount=0)) as (running, _):
        assert (await ask(running)).status == 403
        assert (await ask(running, "/anthropic/v1/messages/count_tokens")).status == 200
        async with Client(running.port) as client:
            await client.send("GET", "/openai/v1/models")
            assert (await client.answer()).status == 200


async def test_a_hundred_at_once_overrun_by_one_at_most(
    tmp_path: Path, simulator: Simulator
) -> None:
    cost = await cost_of_one(tmp_path / "one", simulator)
    amount = 20 * cost + 1
    async with budgeted(tmp_path, simulator, budget(amount=amount)) as (running, gate):
        answers = await asyncio.gather(*(ask(running) for _ in range(100)))
        statuses = [answer.status for answer in answers]
        # All that there was room for went through, though each had reserved much more.
        assert statuses.count(200) == 21
        assert statuses.count(403) == 79
        await running.ended(100)
        assert amount <= spent(running) < amount + cost
        assert gate.waiting == 0


@pytest.mark.parametrize(
    "model", ["sim-error-500", "sim-error-401", "sim-cut", "sim-reset", "sim-break", "sim-html-502"]
)
async def test_failures_give_back_what_they_reserved(
    tmp_path: Path, simulator: Simulator, model: str
) -> None:
    # Room for one reservation at a time, and nearly none of it spent.
    async with budgeted(tmp_path, simulator, budget(amount=100_000)) as (running, gate):
        content = body(model, stream=True, most=9_999)
        await asyncio.gather(*(ask(running, CHAT, content) for _ in range(10)))
        answer = await ask(running, CHAT, body(most=9_999))
        assert answer.status == 200
        pots = gate.ledger.pots(LOCAL, gate._now())
        assert [pot.reserved for pot in pots] == [0]


async def held(simulator: Simulator, name: str) -> Gate:
    gate = Gate()
    events = [b'data: {"id":"x","choices":[{"delta":{"content":"a"}}]}\n\n'] * 3
    script = Script(
        headers=[("Content-Type", "text/event-stream")],
        body=[*events, b"data: [DONE]\n\n"],
        framing="chunked",
        hold={2: gate},
    )
    simulator.script(script, match=name.encode())
    return gate


async def test_who_waits_goes_on_when_there_is_room(tmp_path: Path, simulator: Simulator) -> None:
    async with budgeted(tmp_path, simulator, budget(amount=100_000)) as (running, gate):
        stop = await held(simulator, "sim-held")
        async with Client(running.port) as first, Client(running.port) as gone:
            await first.send("POST", CHAT, body("sim-held", stream=True, most=20_000), [JSON_TYPE])
            await first.until(lambda: b"delta" in first.received)
            # One that leaves while it waits, and ten that stay.
            await gone.send("POST", CHAT, body(most=9_000), [JSON_TYPE])
            await until(lambda: gate.waiting == 1)
            others = [asyncio.ensure_future(ask(running)) for _ in range(10)]  # noqa: TID251
            await until(lambda: gate.waiting == 11)
            await gone.leave()
            await until(lambda: gate.waiting == 10)
            asked = len(simulator.requests)
            stop.release()
            answers = await asyncio.gather(*others)
            assert [answer.status for answer in answers] == [200] * 10
            assert len(simulator.requests) == asked + 10
            await first.answer()
        pots = gate.ledger.pots(LOCAL, gate._now())
        assert [pot.reserved for pot in pots] == [0]


async def test_a_client_that_leaves_gives_back_what_it_reserved(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with budgeted(tmp_path, simulator, budget(amount=100_000)) as (running, gate):
        stop = await held(simulator, "sim-held")
        async with Client(running.port) as first:
            await first.send("POST", CHAT, body("sim-held", stream=True, most=20_000), [JSON_TYPE])
            await first.until(lambda: b"delta" in first.received)
            waiting = asyncio.ensure_future(ask(running))  # noqa: TID251
            await until(lambda: gate.waiting == 1)
            await first.leave()
            assert (await waiting).status == 200
        stop.release()


async def test_who_waits_too_long_is_told_that_the_rest_is_reserved(
    tmp_path: Path, simulator: Simulator
) -> None:
    limit = budget(amount=100_000)
    async with budgeted(tmp_path, simulator, limit, patience=0.05) as (running, _):
        stop = await held(simulator, "sim-held")
        async with Client(running.port) as first:
            await first.send("POST", CHAT, body("sim-held", stream=True, most=20_000), [JSON_TYPE])
            await first.until(lambda: b"delta" in first.received)
            answer = await ask(running)
            assert answer.status == 403
            message = json.loads(answer.body)["error"]["message"]
            assert "US$0.00 spent, US$0." in message
            assert "reserved for requests that run now" in message
            # What has no price need not wait for dollars.
            assert (await ask(running, CHAT, body("sim-text+free"))).status == 200
            stop.release()
            await first.answer()
        assert (await ask(running)).status == 200


async def test_changes_reach_a_gateway_that_runs(tmp_path: Path, simulator: Simulator) -> None:
    async with budgeted(tmp_path, simulator) as (running, gate):
        for _ in range(3):
            assert (await ask(running)).status == 200
        # What was spent before the budget was there counts.
        await running.ended(3)
        made = set_budget(running.database, budget(amount=spent(running)))
        async with asyncio.timeout(1.0):
            await until(lambda: len(gate.ledger.rules.budgets) == 1)
        assert (await ask(running)).status == 403
        set_budget(running.database, budget(amount=spent(running) + 1))
        async with asyncio.timeout(1.0):
            await until(lambda: gate.ledger.rules.budgets[0].amount > made.amount)
        assert [(await ask(running)).status for _ in range(2)] == [200, 403]
        unset_budgets(running.database, {made.id})
        await until(lambda: not gate.ledger.rules)
        assert (await ask(running)).status == 200


async def test_a_new_budget_counts_what_is_recorded_while_it_is_read(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with budgeted(tmp_path, simulator) as (running, gate):
        going = True

        async def load() -> None:
            while going:
                await ask(running)

        tasks = [asyncio.ensure_future(load()) for _ in range(8)]  # noqa: TID251
        zones = ("UTC", "Europe/Berlin", "Asia/Tokyo", "America/New_York")
        for number, zone in enumerate(zones):
            made = budget(amount=10**12, time_zone=zone, period=list(Period)[number % 3])
            set_budget(running.database, made)
            await until(lambda: any(b.time_zone == zone for b in gate.ledger.rules.budgets))  # noqa: B023
        going = False
        await asyncio.gather(*tasks)
        await running.writer.commit([])
        pots = gate.ledger.pots(LOCAL, gate._now())
        assert len(pots) == 3
        assert {pot.spent for pot in pots} == {spent(running)}
        assert {pot.reserved for pot in pots} == {0}


async def test_shared_pots_and_sessions_count_by_themselves(
    tmp_path: Path, simulator: Simulator
) -> None:
    limit = budget(Scope.SESSION, "*", amount=1, unit=Unit.TOKENS)
    async with budgeted(tmp_path, simulator, limit) as (running, _):

        def session(name: str) -> Headers:
            return [("User-Agent", "claude-cli/2.0"), ("X-Claude-Code-Session-Id", name)]

        one, other = session("one"), session("other")
        statuses = [
            (await ask(running, MESSAGES, headers=who)).status for who in (one, one, other, other)
        ]
        assert statuses == [200, 403, 200, 403]
        assert (await ask(running, MESSAGES)).status == 200


async def test_a_plan_spends_tokens_and_no_dollars_but_nothing_is_nothing(
    tmp_path: Path, simulator: Simulator
) -> None:
    providers = {
        "anthropic": Provider(ANTHROPIC, "anthropic", simulator.url),
        "copilot": Provider(COPILOT, "copilot", f"{simulator.url}/v1"),
    }
    login: Headers = [("Authorization", "Bearer sk-ant-oat01-0123456789")]
    paid: Headers = [("X-Api-Key", "sk-ant-api03-0123456789")]
    copilot = "/copilot/chat/completions"
    limit = budget(amount=1)
    async with budgeted(tmp_path, simulator, limit, providers=providers) as (running, gate):

        async def statuses() -> list[int]:
            asked = ((MESSAGES, login), (copilot, login), (MESSAGES, paid))
            return [(await ask(running, where, headers=who)).status for where, who in asked]

        # Dollars are spent by who pays for tokens; what a plan covers goes on.
        assert await statuses() == [200, 200, 200]
        assert await statuses() == [200, 200, 403]
        set_budget(running.database, budget(amount=0))
        await until(lambda: gate.ledger.rules.budgets[0].amount == 0)
        assert await statuses() == [403, 403, 403]
        error = json.loads((await ask(running, copilot, headers=login)).body)["error"]
        assert error["code"] == "budget_exceeded"
        set_budget(running.database, budget(amount=10**12))
        set_budget(running.database, budget(amount=1, unit=Unit.TOKENS))
        await until(lambda: len(gate.ledger.rules.budgets) == 2)
        # Tokens count whoever pays, also those from before.
        assert await statuses() == [403, 403, 403]


@pytest.mark.parametrize("way", ["unknown coding", "too long"])
async def test_what_cannot_be_read_is_not_free(
    tmp_path: Path, simulator: Simulator, way: str
) -> None:
    coding, blanks = ("gzip", 17 * 1024 * 1024) if way == "too long" else ("x-own", 0)
    content = gzip.compress(body() + b" " * blanks)
    headers: Headers = [("Content-Encoding", coding)]
    async with budgeted(tmp_path, simulator, budget()) as (running, _):
        answer = await ask(running, CHAT, content, headers=headers)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "unreadable_body")
        (row,) = await running.ended(1)
        assert row["error_type"] == "unreadable_body"
        assert not simulator.requests
        # What can be read goes on.
        readable = gzip.compress(body())
        assert (
            await ask(running, CHAT, readable, headers=[("Content-Encoding", "gzip")])
        ).status == 200


async def test_what_is_made_in_the_background_cannot_be_counted(
    tmp_path: Path, simulator: Simulator
) -> None:
    target = "/openai/v1/responses"
    content = json.dumps({"model": "sim-text", "input": "later", "background": True}).encode()
    async with budgeted(tmp_path, simulator, budget(Scope.USER, "eve")) as (running, gate):
        # Nobody holds this user to a budget.
        assert (await ask(running, target, content)).status == 200
        set_budget(running.database, budget(amount=10**12))
        await until(lambda: len(gate.ledger.rules.budgets) == 2)
        answer = await ask(running, target, content)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"]) == (403, "background_not_counted")
        assert len(simulator.requests) == 1
