"""Budgets hold although requests cost more than their bodies show: searches, earlier responses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from aigw import clock
from aigw.pricing.budget import Unit
from aigw.pricing.budget_estimate import CONTINUED_TOKENS, DEFAULT_CALLS, SEARCHED_TOKENS
from aigw.pricing.budget_gate import BudgetGate
from tests.gateway.client import Client
from tests.gateway.test_budgets import JSON_TYPE, LOCAL, RATE, ask, budgeted, spent, until
from tests.pricing.tariff import SEARCH, budget
from tests.simulator import Gate, Script, Simulator

RESPONSES = "/openai/v1/responses"
MESSAGES = "/anthropic/v1/messages"
WEB = {"type": "web_search"}


def body(**fields: Any) -> bytes:
    return json.dumps(
        {"model": "m", "input": "hi", "max_output_tokens": 1, "max_tokens": 1, **fields}
    ).encode()


def reserved(gate: BudgetGate) -> tuple[int, int]:
    """Dollars and tokens."""
    pots = gate.ledger.pots(LOCAL, clock.now())
    found = {pot.budget.unit: pot.reserved for pot in pots}
    return found[Unit.MICROS], found[Unit.TOKENS]


def searching(searches: int, tokens: int = 10) -> Script:
    """A response with so many searches."""
    call = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    answer = {
        "id": "resp_1",
        "status": "completed",
        "output": [call] * searches,
        "usage": {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens},
    }
    return Script(headers=[("Content-Type", "application/json")], body=json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("target", "fields", "calls"),
    [
        (RESPONSES, {"tools": [WEB]}, DEFAULT_CALLS),
        (RESPONSES, {"tools": [WEB], "max_tool_calls": 3}, 3),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "max_uses": 5}]}, 5),
        (RESPONSES, {}, 0),
    ],
)
async def test_what_searches_may_cost_is_reserved(
    tmp_path: Path, simulator: Simulator, target: str, fields: dict[str, Any], calls: int
) -> None:
    gate = Gate()
    simulator.script(Script(hold={-1: gate}))
    content = body(**fields)
    limits = (budget(amount=10**9), budget(amount=10**9, unit=Unit.TOKENS))
    async with (
        budgeted(tmp_path, simulator, *limits) as (running, budgets),
        Client(running.port) as client,
    ):
        await client.send("POST", target, content, [JSON_TYPE])
        await until(gate.reached.is_set)
        dollars, tokens = reserved(budgets)
        assert tokens == len(content) // 2 + 2 + calls * SEARCHED_TOKENS
        assert dollars == tokens * RATE + calls * SEARCH
        gate.release()
        await client.answer()


async def test_a_hundred_searching_at_once_overrun_by_one_at_most(
    tmp_path: Path, simulator: Simulator
) -> None:
    """Nearly all of what such a request costs are its searches."""
    cost = 5 * SEARCH + 10 * RATE
    amount = 10 * cost + 1
    simulator.always(searching(5), match=b"resp-search")
    content = body(model="resp-search", tools=[WEB], max_tool_calls=5)
    async with budgeted(tmp_path, simulator, budget(amount=amount)) as (running, _):
        answers = await asyncio.gather(*(ask(running, RESPONSES, content) for _ in range(100)))
        statuses = [answer.status for answer in answers]
        assert (statuses.count(200), statuses.count(403)) == (11, 89)
        await running.ended(100)
        assert spent(running) == 11 * cost


async def test_a_hundred_that_continue_at_once_overrun_by_one_at_most(
    tmp_path: Path, simulator: Simulator
) -> None:
    """Nearly all of what such a request costs is the conversation that it goes on with."""
    tokens = 50_000
    simulator.always(searching(0, tokens), match=b"resp-long")
    content = body(model="resp-long", previous_response_id="resp_1")
    amount = 10 * tokens + 1
    limit = budget(amount=amount, unit=Unit.TOKENS)
    async with budgeted(tmp_path, simulator, limit) as (running, _):
        assert (await ask(running, RESPONSES, body(model="resp-long"))).status == 200
        answers = await asyncio.gather(*(ask(running, RESPONSES, content) for _ in range(100)))
        statuses = [answer.status for answer in answers]
        assert (statuses.count(200), statuses.count(403)) == (10, 90)


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"previous_response_id": "resp_1"}, 50_000),
        ({"previous_response_id": "resp_of_before"}, CONTINUED_TOKENS),
        ({"conversation": {"id": "conv_1"}}, CONTINUED_TOKENS),
    ],
)
async def test_what_an_earlier_response_stands_for_is_reserved(
    tmp_path: Path, simulator: Simulator, fields: dict[str, Any], tokens: int
) -> None:
    limits = (budget(amount=10**9), budget(amount=10**9, unit=Unit.TOKENS))
    async with budgeted(tmp_path, simulator, *limits) as (running, budgets):
        simulator.script(searching(0, 50_000))
        await ask(running, RESPONSES, body())
        gate = Gate()
        simulator.script(Script(hold={-1: gate}))
        content = body(**fields)
        async with Client(running.port) as client:
            await client.send("POST", RESPONSES, content, [JSON_TYPE])
            await until(gate.reached.is_set)
            assert reserved(budgets)[1] == len(content) // 2 + 2 + tokens
            gate.release()
            await client.answer()
