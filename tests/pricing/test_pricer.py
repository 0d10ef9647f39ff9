"""The pricer of a running daemon: costs from memory, changes noticed, faults without harm."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aigw.price_settings import PriceSettings
from aigw.pricing.price import MOST_MICROS
from aigw.pricing.pricer import CHECK_SECONDS, MOST_QUOTES, Pricer
from aigw.pricing.refresh import refreshed_path
from aigw.provider_settings import ProviderSettings
from aigw.store.database import open_for_writing
from aigw.store.price_changes import import_prices, set_price, unset_price
from aigw.store.prices import PriceSource, StoredPrice
from aigw.wire.facts import RequestFacts, UsageFact
from tests.e2e.polling import until
from tests.pricing.data import price_list
from tests.store.rows import DAY, NOON, start

USAGE = UsageFact(1000, 0)
PROVIDERS = {
    "openai": ProviderSettings(type="openai", name="openai", base_url="https://api.openai.com/v1"),
    "anthropic": ProviderSettings(
        type="anthropic", name="anthropic", base_url="https://api.anthropic.com"
    ),
    "router": ProviderSettings(
        type="openrouter", name="router", base_url="https://openrouter.ai/api/v1"
    ),
    "grok": ProviderSettings(type="openai-compat", name="grok", base_url="https://api.x.ai/v1"),
    "ollama": ProviderSettings(
        type="openai-compat", name="ollama", base_url="http://localhost:11434/v1"
    ),
}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A pricer on a database of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        open_for_writing(path, "normal").close()
        self.clock = Clock()
        self.pricer = Pricer(path, PROVIDERS, monotonic=self.clock)
        self.pricer.load()
        self.pricer.open()

    def cost(self, model: str = "gpt-5", usage: UsageFact = USAGE, **fields: Any) -> Any:
        given = {"provider_name": "openai", "model": model} | fields
        return self.pricer.cost(start("i", given.pop("at", NOON), **given), usage)

    def later(self) -> None:
        self.clock.now += CHECK_SECONDS

    def set(self, rate: int, model: str = "gpt-5", source: PriceSource = PriceSource.SET) -> None:
        price = StoredPrice(
            provider="", model=model, input_price=rate, source=source, updated_at=NOON
        )
        if source is PriceSource.SET:
            set_price(self.path, price)
        else:
            import_prices(self.path, [price])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path / "aigw.db")
    yield found
    found.pricer.close()


def test_a_listed_model_has_its_cost_source_and_context(site: Site) -> None:
    cost = site.cost()
    assert cost.micros == 1250
    assert cost.source.startswith("genai-prices ")
    assert cost.context_window == 400_000


@pytest.mark.parametrize(
    ("provider", "model", "source"),
    [
        ("router", "openai/gpt-5", "OpenRouter"),
        ("router", "openai/gpt-5:nitro", "OpenRouter"),
        ("router", "nobody/knows", "OpenRouter"),
        ("grok", "grok-4", "xAI"),
    ],
)
def test_who_sends_the_bill_is_believed(provider: str, model: str, source: str, site: Site) -> None:
    usage = UsageFact(1000, 0, charged_micros=77)
    cost = site.cost(model, usage, provider_name=provider)
    assert (cost.micros, cost.source) == (77, source)
    absurd = site.cost(model, UsageFact(1, 1, charged_micros=2**60), provider_name=provider)
    assert absurd.micros == MOST_MICROS


def test_what_only_the_answer_will_price_is_reserved_for(site: Site) -> None:
    facts = RequestFacts()
    for model in ("openai/gpt-5:nitro", "nobody/knows"):
        assert site.pricer.estimate_micros("router", model, 1_000_000, 0, facts) == 15_000_000
    assert site.pricer.estimate_micros("ollama", "llama3", 1_000_000, 0, facts) is None


def test_who_sends_the_bill_has_a_price_for_tools(site: Site) -> None:
    tool = msgspec.Raw(b'{"type":"code_interpreter"}')
    facts = RequestFacts(tools=[tool], service_tier="priority")
    assert site.pricer.lacking("router", "openai/gpt-5", facts) is None
    assert (
        site.pricer.lacking("openai", "gpt-5", facts) == " for calls of the tool code_interpreter"
    )
    assert site.pricer.lacking("router", "nobody/knows", facts) == ""


def test_what_others_say_that_they_charge_is_not(site: Site) -> None:
    usage = UsageFact(1000, 0, charged_micros=77)
    assert site.cost(usage=usage).micros == 1250
    assert site.cost("llama3", usage, provider_name="ollama").micros is None


def test_a_price_of_ones_own_goes_before_what_is_said_to_be_charged(site: Site) -> None:
    site.set(9_000_000, "openai/*")
    site.later()
    usage = UsageFact(1000, 0, charged_micros=77)
    cost = site.cost("openai/gpt-5", usage, provider_name="router")
    assert (cost.micros, cost.source) == (9000, "prices set")


def test_an_advisors_tokens_are_priced_as_its_own_model(site: Site) -> None:
    cost = site.cost("gpt-5-mini", UsageFact(1000, 0, model="gpt-5"))
    assert cost.micros == 1250
    assert site.cost("gpt-5-mini").micros == 250


def test_the_floor_of_a_broken_off_answer_is_priced(site: Site) -> None:
    assert site.cost(usage=UsageFact(1000, 10, is_estimate=True)).micros == 1350


@pytest.mark.parametrize("hour", [False, True])
def test_what_is_reserved_covers_what_is_written_to_the_cache(site: Site, hour: bool) -> None:
    """Sonnet 4.5, $3 a million: $3.75 to keep it for five minutes, $6 for an hour."""
    facts = RequestFacts(keeps_for_hour=hour)
    most = site.pricer.estimate_micros("anthropic", "claude-sonnet-4-5", 100_000, 0, facts)
    extra = {"cache_ephemeral_1h_input": 100_000} if hour else {}
    usage = UsageFact(0, 0, 0, 100_000, 0, extra)
    cost = site.cost("claude-sonnet-4-5", usage, provider_name="anthropic").micros
    assert cost == (600_000 if hour else 375_000)
    assert most is not None
    # The USA, where a later model may have to run, are reserved for too.
    assert cost <= most <= cost * 11 // 10


@pytest.mark.parametrize("tokens", [200_000, 200_001, 400_000])
def test_what_is_reserved_covers_long_inputs(site: Site, tokens: int) -> None:
    most = site.pricer.estimate_micros(
        "anthropic", "claude-sonnet-4-5", tokens, 1000, RequestFacts()
    )
    for usage in (
        UsageFact(tokens, 1000),
        UsageFact(1, 1000, 0, tokens - 1),
        UsageFact(0, 1000, tokens),
    ):
        cost = site.cost("claude-sonnet-4-5", usage, provider_name="anthropic").micros
        assert most is not None
        assert cost <= most


def test_what_is_reserved_covers_the_class_of_service_asked_for(site: Site) -> None:
    facts = RequestFacts(service_tier="priority")
    assert site.pricer.estimate_micros("openai", "gpt-5", 1000, 1000, facts) == 22_500
    facts = RequestFacts(service_tier="flex")
    assert site.pricer.estimate_micros("openai", "gpt-5", 1000, 1000, facts) == 11_250
    assert site.pricer.estimate_micros("ollama", "llama3", 1000, 1000, facts) is None


def test_a_price_that_is_set_is_the_same_in_every_class_of_service(site: Site) -> None:
    site.set(9_000_000)
    site.later()
    assert site.cost(usage=UsageFact(1000, 0, service_tier="ultrafast")).micros == 9000


def test_a_local_model_is_unpriced(site: Site) -> None:
    cost = site.cost("gpt-oss-20b", provider_name="ollama")
    assert (cost.micros, cost.source) == (None, "")


def test_a_usage_without_a_rate_is_unpriced_and_keeps_the_context(site: Site) -> None:
    cost = site.cost(usage=UsageFact(1000, 0, extra={"prompt_audio": 5}))
    assert (cost.micros, cost.source, cost.context_window) == (None, "", 400_000)


def test_a_price_that_is_set_counts_within_a_second(site: Site) -> None:
    assert site.cost().micros == 1250
    site.set(9_000_000)
    assert site.cost().micros == 1250
    site.later()
    cost = site.cost()
    assert (cost.micros, cost.source, cost.context_window) == (9000, "prices set", 400_000)
    unset_price(site.path, "", "gpt-5")
    site.later()
    assert site.cost().micros == 1250


def test_a_local_model_can_be_given_a_price(site: Site) -> None:
    assert site.cost("llama3", provider_name="ollama").micros is None
    site.set(2_000_000, "llama*", PriceSource.IMPORT)
    site.later()
    cost = site.cost("llama3", provider_name="ollama")
    assert (cost.micros, cost.source) == (2000, "prices import")


def test_an_import_does_not_replace_what_was_set(site: Site) -> None:
    site.set(9_000_000, "GPT-5")
    site.set(1, "gpt-5", PriceSource.IMPORT)
    site.later()
    assert site.cost().source == "prices set"


def test_the_configuration_goes_first_and_is_reloadable(site: Site) -> None:
    site.set(9_000_000)
    site.later()
    assert site.cost().micros == 9000
    site.pricer.use(PROVIDERS, [PriceSettings(model="gpt-*", input=3_000_000)])
    assert (site.cost().micros, site.cost().source) == (3000, "configuration")
    site.pricer.use({}, [])
    assert site.cost().micros == 9000
    assert site.cost("gpt-4.1").micros is None


def test_prices_go_by_the_records_time_though_kept(site: Site) -> None:
    """OpenAI's o3 cost $10 until 2025-06-10: https://openai.com/api/pricing/."""
    before, after = NOON - 365 * DAY, NOON
    assert [site.cost("o3", at=when).micros for when in (after, before, after)] == [
        2000,
        10_000,
        2000,
    ]


def test_refreshed_prices_are_taken_up_by_a_running_daemon(site: Site) -> None:
    assert site.cost("gpt-new").micros is None
    path = refreshed_path(site.path)
    file = {"url": "https://x.example", "fetched_at": "2026-01-01T00:00:00Z"}
    content = {**file, "providers": msgspec.Raw(price_list())}
    path.write_bytes(msgspec.json.encode(content))

    def is_taken_up() -> bool:
        site.later()
        return site.cost("gpt-new").micros == 2000

    until(is_taken_up)
    assert (site.cost().micros, site.cost().source) == (7500, "genai-prices 2026-01-01")
    path.unlink()
    until(lambda: site.later() or site.cost().micros == 1250)


def test_a_damaged_file_leaves_the_packages_prices(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "aigw.db"
    refreshed_path(database).write_bytes(b"{")
    site = Site(database)
    assert site.cost().micros == 1250
    assert "aigw prices refresh" in caplog.text
    site.pricer.close()


def test_prices_that_cannot_be_read_stay_in_force(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.set(9_000_000)
    site.later()
    assert site.cost().micros == 9000
    with closing(sqlite3.connect(site.path, isolation_level=None)) as connection:
        connection.execute("UPDATE model_prices SET source = 'elsewhere'")
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'prices_version'")
        for _ in range(3):
            site.later()
            assert site.cost().micros == 9000
        assert len(caplog.records) == 1
        connection.execute("UPDATE model_prices SET source = 'import', input_price = 8000000")
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'prices_version'")
    site.later()
    with caplog.at_level(logging.INFO):
        assert site.cost().micros == 8000


def test_a_fault_of_ours_costs_the_figure_only(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A usage that no reader makes: what it is asked for is never the request's loss."""
    broken = UsageFact("many", 1)  # type: ignore[arg-type]
    for _ in range(2):
        assert site.cost(usage=broken).micros is None
    assert len(caplog.records) == 1
    assert site.cost().micros == 1250


def test_models_without_number_take_no_memory(site: Site) -> None:
    for number in range(MOST_QUOTES + 10):
        site.cost(f"made-up-{number}", provider_name="ollama")
    assert len(site.pricer._quotes) <= MOST_QUOTES
    assert site.cost().micros == 1250
