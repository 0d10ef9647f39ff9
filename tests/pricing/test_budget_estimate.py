"""What is reserved for a request, and what of it has no price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from aigw.pricing.budget_estimate import (
    CONTINUED_TOKENS,
    DEFAULT_CALLS,
    LONGEST_ID,
    MOST_CALLS,
    MOST_INPUT_TOKENS,
    MOST_RESPONSES,
    SEARCHED_TOKENS,
    EarlierResponses,
    most_calls,
    most_input,
)
from aigw.pricing.price import Price, Rates, cost_micros, lacking, most_micros
from aigw.pricing.pricer import Pricer
from aigw.provider_settings import ProviderSettings
from aigw.store.database import open_for_writing
from aigw.wire.facts import RequestFacts, UsageFact

PRICE = Price(rates=Rates(input=1_000_000, output=2_000_000, web_search=10_000_000))
WEB, FILES, CODE = "web_search_requests", "file_search_requests", "code_interpreter_calls"


def offering(*tools: dict[str, Any]) -> RequestFacts:
    return RequestFacts(tools=[msgspec.Raw(msgspec.json.encode(tool)) for tool in tools])


@pytest.mark.parametrize(
    ("asked", "reserved"), [(None, DEFAULT_CALLS), (0, 0), (3, 3), (10**9, MOST_CALLS)]
)
def test_calls_are_bounded(asked: int | None, reserved: int) -> None:
    facts = offering({"type": "web_search", "max_uses": asked})
    assert most_calls(facts) == {WEB: reserved}


def test_calls_are_reserved_at_their_price_and_those_without_one_not_at_all() -> None:
    assert most_micros(PRICE, 100, 50) == 200
    assert most_micros(PRICE, 100, 50, calls={WEB: 3}) == 30_200
    assert most_micros(PRICE, 100, 50, calls={WEB: 3, FILES: 2, CODE: 1}) == 30_200


@pytest.mark.parametrize(
    ("service", "tool", "part"),
    [
        ("", WEB, None),
        ("", FILES, " for calls of the tool file_search"),
        ("", CODE, " for calls of the tool code_interpreter"),
        ("flex", WEB, " in the class of service 'flex'"),
    ],
)
def test_what_has_no_price_is_what_makes_an_answer_unpriced(
    service: str, tool: str, part: str | None
) -> None:
    assert lacking(PRICE, service, [tool]) == part
    usage = UsageFact(1, 1, extra={tool: 1}, service_tier=service)
    assert (cost_micros(PRICE, usage) is None) is (part is not None)


def test_a_price_of_input_only_is_none() -> None:
    assert lacking(Price(rates=Rates(input=1)), "", ()) == ""


@pytest.fixture
def pricer(tmp_path: Path) -> Pricer:
    path = tmp_path / "aigw.db"
    open_for_writing(path, "normal").close()
    kinds = {"openai": "openai", "anthropic": "anthropic", "ollama": "openai-compat"}
    providers = {
        name: ProviderSettings(type=kind, name=name, base_url="") for name, kind in kinds.items()
    }
    made = Pricer(path, providers)
    made.load()
    return made


def test_listed_models_have_a_price_for_searches(pricer: Pricer) -> None:
    """As agents ask for them: Codex with each request, Claude Code with some."""
    facts = offering({"type": "web_search"})
    for provider, model in (("openai", "gpt-5"), ("anthropic", "claude-sonnet-4-5")):
        assert pricer.lacking(provider, model, facts) is None
        without = pricer.estimate_micros(provider, model, 0, 0, facts)
        assert pricer.estimate_micros(provider, model, 0, 0, facts, {WEB: 8}) == 80_000
        assert without == 0
    assert pricer.lacking("openai", "gpt-5", RequestFacts(service_tier="priority")) is None
    pricer.close()


def test_the_older_search_is_reserved_at_its_own_price(pricer: Pricer) -> None:
    facts = offering({"type": "web_search_preview", "max_uses": 2})
    for model, micros in (("gpt-4o", 50_000), ("gpt-5", 20_000)):
        assert pricer.lacking("openai", model, facts) is None
        calls = most_calls(facts)
        assert pricer.estimate_micros("openai", model, 0, 0, facts, calls) == micros
    assert most_input(0, most_calls(facts)) == 1 + 2 * SEARCHED_TOKENS
    facts = offering({"type": "image_generation"})
    assert pricer.lacking("openai", "gpt-5", facts) == " for calls of the tool image_generation"
    pricer.close()


def test_what_is_not_known_has_no_price(pricer: Pricer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pricer.lacking("ollama", "llama3", RequestFacts()) == ""
    assert pricer.lacking("openai", "", RequestFacts()) == ""
    monkeypatch.setattr(Pricer, "_quote", lambda *_: 1 / 0)
    assert pricer.lacking("openai", "gpt-5", RequestFacts()) == ""
    pricer.close()


def test_earlier_responses_are_remembered_the_latest_only() -> None:
    earlier = EarlierResponses()
    earlier.add("", 7)
    earlier.add("r" * (LONGEST_ID + 1), 7)
    assert earlier.tokens("") == earlier.tokens("r" * (LONGEST_ID + 1)) == CONTINUED_TOKENS
    for number in range(MOST_RESPONSES):
        earlier.add(f"resp_{number}", number)
    # One that is billed in parts is one, and is again among the latest.
    earlier.add("resp_0", 5)
    earlier.add("resp_new", 10**12)
    assert earlier.tokens("resp_0") == 5
    assert earlier.tokens("resp_1") == CONTINUED_TOKENS
    assert earlier.tokens("resp_2") == 2
    assert earlier.tokens("resp_new") == MOST_INPUT_TOKENS
