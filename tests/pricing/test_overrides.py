"""Which of several given prices counts."""

from __future__ import annotations

from itertools import permutations

import pytest

from aigw.price_settings import PriceSettings
from aigw.pricing.catalogue import Catalogue
from aigw.pricing.charger import charger
from aigw.pricing.overrides import Override, configured, fitting, stored
from aigw.pricing.price import Price, Rates, Tier, cost_micros
from aigw.pricing.price_list import PriceList
from aigw.provider_settings import ProviderSettings
from aigw.store.prices import PriceSource, StoredPrice
from aigw.wire.facts import UsageFact

MODEL = "gpt-5-mini"


def given(source: str, model: str = MODEL, provider: str = "") -> Override:
    return Override(provider=provider, model=model, rates=Rates(input=1), source=source)


# From the one that counts most.
ORDER = [
    given("configuration", MODEL, "team-a"),
    given("configuration", "gpt-*", "team-a"),
    given("configuration", MODEL, "openai"),
    given("configuration", MODEL),
    given("configuration", "gpt-5*"),
    given("configuration", "*mini"),
    given("configuration", "*"),
    given("prices set", "*", "team-a"),
    given("prices set", MODEL),
    given("prices set", "gpt-5-*"),
    given("prices import", MODEL, "team-a"),
    given("prices import", "*"),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_order_of_precedence(first: int) -> None:
    rest = ORDER[first:]
    for shuffled in (rest, rest[::-1], *list(permutations(rest[:4]))[:6]):
        assert fitting(shuffled, "team-a", "openai", MODEL)[0] is rest[0]


@pytest.mark.parametrize(
    ("provider", "model"),
    [("team-b", MODEL), ("anthropic", MODEL), ("", "gpt-4*"), ("", "gpt-5"), ("", "mini")],
)
def test_what_does_not_fit(provider: str, model: str) -> None:
    assert not fitting([given("configuration", model, provider)], "team-a", "openai", MODEL)


def test_upper_and_lower_case_are_the_same_model() -> None:
    assert fitting([given("prices set", "GPT-5-Mini")], "team-a", "openai", MODEL)


LISTED = Price(
    rates=Rates(input=1, output=1, cache_read=1, web_search=10_000_000, file_search=2_500_000),
    tiers=(Tier(10, Rates(input=9, output=9)),),
    services={"batch": Price(rates=Rates(input=5, output=5))},
    context_window=400_000,
)


def test_a_given_price_is_all_there_is_but_for_searches_and_the_context() -> None:
    own = Override(
        provider="", model="*", rates=Rates(input=2_000_000, output=4_000_000), source="prices set"
    )
    price = own.price(LISTED)
    # No tier, no class of service, and the cache at the input's rate: nothing of the list's.
    usage = UsageFact(100, 100, 100, extra={"web_search_requests": 1}, service_tier="batch")
    assert cost_micros(price, usage) == 200 + 400 + 200 + 10_000
    assert price.context_window == 400_000


def test_where_they_are_from_is_kept() -> None:
    (one,) = configured([PriceSettings(model="m", input=7, origin="file c.toml:prices[0]")])
    assert (one.source, one.origin, one.rates.input) == (
        "configuration",
        "file c.toml:prices[0]",
        7,
    )
    (two,) = stored(
        [
            StoredPrice(
                provider="", model="m", source=PriceSource.IMPORT, updated_at=5, output_price=8
            )
        ]
    )
    assert (two.source, two.updated_at, two.rates.output) == ("prices import", 5, 8)


def test_a_provider_that_is_configured_no_more_has_only_prices_for_any() -> None:
    providers = {"team-a": ProviderSettings(type="openai", name="team-a")}
    prices = PriceList(providers, [given("prices set")], Catalogue((), "", "no list"))
    assert prices.quote("gone", MODEL, 0).source == "prices set"
    other = prices.quote("gone", "gpt-4", 0)
    assert other.price is None
    assert "'gone'" in other.reason


class Counted(Override, frozen=True, kw_only=True):
    """Says how often it was asked whether it fits."""

    asked: list[str]

    def fits(self, name: str, kind: str, model: str) -> bool:
        self.asked.append(self.model)
        return super().fits(name, kind, model)


def test_a_new_models_name_is_not_compared_with_every_price() -> None:
    """Names are the clients' choice, and it is the event loop that looks."""
    asked: list[str] = []
    names = [*(f"model-{number}" for number in range(1000)), "GPT-5", "*mini"]
    prices = PriceList(
        {"team-a": ProviderSettings(type="openai", name="team-a")},
        [
            Counted(provider="", model=n, rates=Rates(input=1), source="prices import", asked=asked)
            for n in names
        ],
        Catalogue((), "", "no list"),
    )
    assert prices.quote("team-a", "gpt-5", 0).source == "prices import"
    assert asked == ["*mini", "GPT-5"]
    assert prices.quote("team-a", "gpt-5-mini", 0).source == "prices import"
    assert prices.quote("team-a", "*", 0).price is None
    assert prices.quote("team-a", "model-7", 0).source == "prices import"


def test_where_the_bill_is_stated_with_each_answer_the_reason_says_so() -> None:
    providers = {"router": ProviderSettings(type="openrouter", name="router")}
    prices = PriceList(providers, [given("prices set", "mine")], Catalogue((), "", "no list"))
    quote = prices.quote("router", "openai/gpt-5:nitro", 0)
    assert (quote.price, quote.charger) == (None, "OpenRouter")
    assert quote.reason == "no list; what OpenRouter says that it charges is recorded"
    assert prices.quote("router", "mine", 0).charger == ""


@pytest.mark.parametrize(
    ("kind", "base_url", "name"),
    [
        ("openrouter", "https://proxy.example/v1", "OpenRouter"),
        ("openai-compat", "https://openrouter.ai/api/v1", "OpenRouter"),
        ("openai-compat", "https://api.x.ai/v1", "xAI"),
        ("openai-compat", "https://eu-west-1.api.x.ai/v1", "xAI"),
        ("openai-compat", "https://api.x.ai.example/v1", ""),
        ("openai-compat", "https://openrouter.ai.example/v1", ""),
        ("openai-compat", "http://openrouter.ai/api/v1", ""),
        ("openai", "https://api.openai.com/v1", ""),
    ],
)
def test_whose_word_on_the_charge_counts(kind: str, base_url: str, name: str) -> None:
    assert charger(kind, base_url) == name
