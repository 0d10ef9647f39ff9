"""What budgets refuse beside what is over them, and in which words and shapes they do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigw.pricing.budget import Scope, Unit
from aigw.pricing.budget_settings import BudgetSettings, Refusal
from aigw.pricing.budget_table import set_budget
from aigw.providers.provider import Provider
from aigw.providers.types import ANTHROPIC, OPENAI
from tests.e2e.control import new_key
from tests.gateway.client import LONG, Headers
from tests.gateway.test_budgets import CHAT, MESSAGES, ask, body, budgeted
from tests.pricing.tariff import budget
from tests.simulator import Simulator

RESPONSES = "/openai/v1/responses"
REFUSING = BudgetSettings(refuses_unpriced=True)
PAID: Headers = [("X-Api-Key", "sk-ant-api03-0123456789")]
FREE_MODEL = "sim-text+free"


def error_of(answer: Any) -> dict[str, str]:
    found: dict[str, str] = json.loads(answer.body)["error"]
    return found


async def test_a_model_without_a_price_passes_unless_the_operator_says_otherwise(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with budgeted(tmp_path, simulator, budget()) as (running, _):
        assert (await ask(running, CHAT, body(FREE_MODEL))).status == 200


@pytest.mark.parametrize("target", [CHAT, MESSAGES, RESPONSES])
async def test_a_model_without_a_price_is_refused(
    tmp_path: Path, simulator: Simulator, target: str
) -> None:
    async with budgeted(tmp_path, simulator, budget(), budgets=REFUSING) as (running, _):
        answer = await ask(running, target, body(FREE_MODEL))
        error = error_of(answer)
        assert (answer.status, error["code"]) == (403, "model_not_priced")
        assert answer.header("x-should-retry") == "false"
        assert error["message"] == (
            "The model sim-text+free has no price, so a budget in dollars (each user per month) cannot "
            "count it. Set its price with `aigw prices set sim-text+free --input DOLLARS --output "
            "DOLLARS`, or have a budget in tokens in place of the one in dollars."
        )
        assert not simulator.requests
        (row,) = await running.ended(1)
        assert (row["error_type"], row["status_code"]) == ("model_not_priced", 403)
        assert (await ask(running, target, body())).status == 200


async def test_a_request_that_names_no_model_is_refused(
    tmp_path: Path, simulator: Simulator
) -> None:
    content = json.dumps({"prompt": {"id": "pmpt_1"}, "input": "hi"}).encode()
    async with budgeted(tmp_path, simulator, budget(), budgets=REFUSING) as (running, _):
        answer = await ask(running, RESPONSES, content)
        assert (answer.status, error_of(answer)["code"]) == (403, "model_not_priced")
        assert error_of(answer)["message"] == (
            "A request that names no model has no price, so a budget in dollars (each user per month) "
            "cannot count it. Name the model beside the stored prompt, or have a budget in tokens in "
            "place of the one in dollars."
        )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"service_tier": "priority"}, "The model sim-text has no price in the class of service 'priority',"),
        ({"tools": [{"type": "code_interpreter"}]}, "The model sim-text has no price for calls of the tool code_interpreter,"),
    ],
)  # fmt: skip
async def test_what_would_make_the_answer_unpriced_is_refused_too(
    tmp_path: Path, simulator: Simulator, fields: dict[str, Any], words: str
) -> None:
    content = json.dumps({"model": "sim-text", "input": "hi", **fields}).encode()
    async with budgeted(tmp_path, simulator, budget(), budgets=REFUSING) as (running, _):
        answer = await ask(running, RESPONSES, content)
        assert (answer.status, error_of(answer)["code"]) == (403, "model_not_priced")
        assert error_of(answer)["message"].startswith(words)


async def test_who_has_no_budget_in_dollars_is_not_refused(
    tmp_path: Path, simulator: Simulator
) -> None:
    others = (budget(Scope.USER, "eve"), budget(unit=Unit.TOKENS, amount=10**12))
    async with budgeted(tmp_path, simulator, *others, budgets=REFUSING) as (running, _):
        assert (await ask(running, CHAT, body(FREE_MODEL))).status == 200


async def test_a_plan_is_not_paid_by_the_token(tmp_path: Path, simulator: Simulator) -> None:
    providers = {"anthropic": Provider(ANTHROPIC, "anthropic", simulator.url)}
    login: Headers = [("Authorization", "Bearer sk-ant-oat01-0123456789")]
    async with budgeted(tmp_path, simulator, budget(), providers=providers, budgets=REFUSING) as (
        running,
        _,
    ):
        content = body(FREE_MODEL)
        assert (await ask(running, MESSAGES, content, headers=login)).status == 200
        assert (await ask(running, MESSAGES, content, headers=PAID)).status == 403


async def test_a_budget_of_nothing_says_that_it_is_spent(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with budgeted(tmp_path, simulator, budget(amount=0), budgets=REFUSING) as (running, _):
        answer = await ask(running, CHAT, body(FREE_MODEL))
        assert error_of(answer)["code"] == "budget_exceeded"


async def test_as_a_billing_error_by_the_same_choice(tmp_path: Path, simulator: Simulator) -> None:
    choice = BudgetSettings(refuses_unpriced=True, refusal=Refusal.BILLING_ERROR)
    async with budgeted(tmp_path, simulator, budget(), budgets=choice) as (running, _):
        for target in (CHAT, MESSAGES):
            answer = await ask(running, target, body(FREE_MODEL))
            error = error_of(answer)
            assert (answer.status, error["type"]) == (429, "billing_error")
            assert error["code"] == "model_not_priced"
            assert answer.header("x-should-retry") == "false"


async def test_as_a_usage_limit_codex_shows_the_text(tmp_path: Path, simulator: Simulator) -> None:
    """What Codex shows of such an answer is in a header."""
    choice = BudgetSettings(refusal=Refusal.USAGE_LIMIT)
    async with budgeted(tmp_path, simulator, budget(amount=0), budgets=choice) as (running, _):
        answer = await ask(running, RESPONSES)
        error = error_of(answer)
        assert (answer.status, error["type"]) == (429, "usage_limit_reached")
        assert error["code"] == "budget_exceeded"
        assert answer.header("x-should-retry") == "false"
        assert answer.header("x-codex-promo-message") == error["message"].rstrip(".")
        assert error["message"].startswith("AI budget of US$0.00 exceeded. Please contact")
        # In Anthropic's API such errors have a type of their own.
        answer = await ask(running, MESSAGES)
        assert (answer.status, error_of(answer)["type"]) == (429, "billing_error")
        assert answer.header("x-codex-promo-message") is None


async def test_a_name_cannot_break_the_header(tmp_path: Path, simulator: Simulator) -> None:
    choice = BudgetSettings(refuses_unpriced=True, refusal=Refusal.USAGE_LIMIT)
    async with budgeted(tmp_path, simulator, budget(), budgets=choice) as (running, _):
        answer = await ask(running, CHAT, body("free é\r\nX-Mine: 1"))
        assert answer.status == 429
        assert answer.header("X-Mine") is None
        shown = answer.header("x-codex-promo-message") or ""
        assert shown.startswith("The model free ???X-Mine: 1 has no price, so")


async def test_a_key_is_called_by_its_name_and_by_no_other_ones(
    tmp_path: Path, simulator: Simulator
) -> None:
    each = budget(Scope.KEY, "*", amount=10**9, unit=Unit.TOKENS)
    providers = {"openai": Provider(OPENAI, "openai", f"{simulator.url}/v1")}
    async with budgeted(tmp_path, simulator, each, providers=providers) as (running, gate):
        token, key_id = new_key(running.database, "laptop")
        _, other = new_key(running.database, "secret-project")
        for each_id in (key_id, other):
            set_budget(running.database, budget(Scope.KEY, each_id, amount=0))
        await until(lambda: len(gate.ledger.rules.budgets) == 3)
        headers: Headers = [
            ("X-Coder-AI-Governance-Token", token),
            ("Authorization", "Bearer sk-own-0123456789"),
        ]
        message = error_of(await ask(running, CHAT, headers=headers))["message"]
        assert "(Budget of key laptop per month: US$0.00 spent;" in message
        assert key_id not in message
        assert "secret" not in message


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not holds():  # noqa: ASYNC110 (what is awaited tells nobody of its changes)
            await asyncio.sleep(0.01)
