"""Finding a model's list price: by type and address of the provider, and by all its names."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import data
from genai_prices.types import ModelInfo, Provider, Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw.pricing.catalogue import Catalogue, ListPrice, NoPrice, load_catalogue
from aigw.pricing.model_names import LONGEST_MODEL
from aigw.pricing.price import TIERS_OF_SERVICE, Price, Rates, cost_micros
from aigw.provider_types import PROVIDER_TYPES
from aigw.wire.facts import UsageFact

ROOT = Path(__file__).parents[2]
CATALOGUE = load_catalogue()
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SONNET = "claude-sonnet-4-5-20250929"


def micros(when: datetime) -> int:
    return int(when.timestamp()) * 1_000_000


def name_of(kind: str, base_url: str, model: str) -> str | None:
    found = CATALOGUE.find(kind, base_url, model)
    return found.name if isinstance(found, ListPrice) else None


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "name"),
    [
        ("openai", "https://api.openai.com/v1", "gpt-5", "openai/gpt-5"),
        ("openai", "https://api.openai.com/v1", "gpt-5-2025-08-07", "openai/gpt-5"),
        ("openai", "https://api.openai.com/v1", "GPT-5", "openai/gpt-5"),
        # A snapshot that the list does not have yet, and one that it has with a price of its own.
        ("openai", "https://api.openai.com/v1", "gpt-5.5-2027-01-31", "openai/gpt-5.5"),
        ("openai", "https://api.openai.com/v1", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "https://api.openai.com/v1", "ft:gpt-4o-mini-2024-07-18:me::1", "openai/ft:gpt-4o-mini"),
        # The operator says that it is OpenAI, be it behind another proxy.
        ("openai", "http://proxy.example/v1", "gpt-5", "openai/gpt-5"),
        ("openai", "https://api.openai.com/v1", "llama3", None),
        # Also on this machine, but not what only others serve: the type says whose models they are.
        ("openai", "http://127.0.0.1:4000/v1", "gpt-5", "openai/gpt-5"),
        ("openai", "http://127.0.0.1:11434/v1", "gpt-oss-20b", None),
        ("openai", "http://127.0.0.1:11434/v1", "gpt-oss:20b", None),
        ("openai", "http://127.0.0.1:11434/v1", "qwen3-coder", None),
        ("anthropic", "http://127.0.0.1:3456", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("anthropic", "http://127.0.0.1:3456", "glm-4.6", None),
        # What genai-prices has from OpenRouter is no price of the vendor's.
        ("openai", "https://api.openai.com/v1", "gpt-oss-120b", None),
        ("azure", "https://mine.openai.azure.com/openai/v1", "gpt-oss-120b", None),
        ("vercel", "", "openai/gpt-oss-120b", None),
        ("chatgpt", "", "gpt-oss-20b", None),
        ("copilot", "", "gpt-oss-20b", None),
        # No model of today stands for one of tomorrow.
        ("anthropic", "", "claude-opus-5-9", None),
        ("openai", "", "gpt-5.9", None),
        ("anthropic", "", "claude-opus-4-80", None),
        ("anthropic", "", "claude-haiku-4-5-plus", None),
        ("copilot", "", "claude-opus-4.8-fast", "github-copilot/claude-opus-4.8-fast"),
        ("anthropic", "", "claude-opus-4-8-20990101", "anthropic/claude-opus-4-8"),
        ("anthropic", "", "claude-sonnet-4-5-latest", "anthropic/claude-sonnet-4-5"),
        ("google", "", "claude-sonnet-4-5@default", "google/claude-sonnet-4-5"),
        # These search each time, for a price by search that no answer of theirs tells.
        ("openai", "", "gpt-4o-search-preview", None),
        ("openai", "", "gpt-4o-mini-search-preview-2025-03-11", None),
        ("azure", "", "GPT-5-search-api", None),
        ("vercel", "", "openai/gpt-4o-mini-search-preview", None),
        ("bedrock", "", "us.anthropic.claude-opus-5-9", None),
        ("anthropic", "https://api.anthropic.com", SONNET, "anthropic/claude-sonnet-4-5"),
        ("anthropic", "https://api.anthropic.com", f"{SONNET}[1m]", "anthropic/claude-sonnet-4-5"),
        # Anthropic's API spoken by somebody else, whom one pays.
        ("anthropic", "https://api.z.ai/api/anthropic", "glm-4.6", "zai/GLM-4.6"),
        ("anthropic", "https://api.z.ai/api/anthropic", SONNET, None),
        ("bedrock", "", f"anthropic.{SONNET}-v1:0", f"aws/regional.anthropic.{SONNET}-v1:0"),
        ("bedrock", "", f"us.anthropic.{SONNET}-v1:0", f"aws/regional.anthropic.{SONNET}-v1:0"),
        ("bedrock", "", f"global.anthropic.{SONNET}-v1:0", f"aws/global.anthropic.{SONNET}-v1:0"),
        (
            "bedrock", "",
            f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/global.anthropic.{SONNET}-v1:0",
            f"aws/global.anthropic.{SONNET}-v1:0",
        ),
        (
            "bedrock", "",
            f"arn:aws:bedrock:eu-west-1::foundation-model/anthropic.{SONNET}-v1:0",
            f"aws/regional.anthropic.{SONNET}-v1:0",
        ),
        # What a profile of one's own leads to, only AWS knows.
        ("bedrock", "", "arn:aws:bedrock:eu-west-1:1:application-inference-profile/ab12cd34", None),
        ("bedrock", "", "global.anthropic.claude-of-tomorrow-v1:0", None),
        # GovCloud has prices of its own.
        ("bedrock", "", f"us-gov.anthropic.{SONNET}-v1:0", None),
        ("bedrock", "", f"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.{SONNET}-v1:0", None),
        ("bedrock", "https://bedrock-runtime.us-gov-west-1.amazonaws.com", f"anthropic.{SONNET}-v1:0", None),
        ("azure", "https://mine.openai.azure.com/openai/v1", "gpt-5", "azure/gpt-5"),
        ("azure", "https://mine.openai.azure.com/openai/v1", "our-deployment", None),
        ("google", "", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("google", "", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("google", "", "google/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("google", "", "publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("google", "", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("openrouter", "", "anthropic/claude-sonnet-4.5", "openrouter/anthropic/claude-sonnet-4.5"),
        # `:nitro` and `:floor` choose among providers with prices of their own, `:online` searches.
        ("openrouter", "", "anthropic/claude-sonnet-4.5:nitro", None),
        ("openrouter", "", "openai/gpt-4o:online", None),
        ("vercel", "", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        ("vercel", "", "xai/grok-4", "x-ai/grok-4-0709"),
        ("vercel", "", "nobody/gpt-5", None),
        # Plans: what the vendor's own API asks.
        ("chatgpt", "https://chatgpt.com/backend-api/codex", "gpt-5-codex", "openai/gpt-5"),
        ("copilot", "https://api.individual.githubcopilot.com", "gpt-4.1", "openai/gpt-4.1"),
        ("copilot", "", "claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        ("copilot", "", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("copilot", "", "grok-code-fast-1", "x-ai/grok-code-fast-1"),
        # A service is known by its address, and what runs here is not OpenAI's.
        ("openai-compat", "https://api.groq.com/openai/v1", "openai/gpt-oss-20b", "groq/openai/gpt-oss-20b"),
        ("openai-compat", "https://api.deepseek.com", "deepseek-chat", "deepseek/deepseek-chat"),
        ("openai-compat", "http://localhost:11434/v1", "gpt-oss-20b", None),
        ("openai-compat", "http://127.0.0.1:8000/v1", "gpt-5", None),
        ("openai-compat", "http://10.0.0.7/api.openai.com", "gpt-5", None),
        ("openai-compat", "https://api.openai.com.example/v1", "gpt-5", None),
        ("openai-compat", "https://api.deepseek.community/v1", "deepseek-chat", None),
        ("openai-compat", "https://api.openai.com:443/v1", "gpt-5", "openai/gpt-5"),
        ("openai-compat", "https://api.moonshot.ai/v1", "kimi-k2.5", "moonshotai/kimi-k2.5"),
        ("", "", "gpt-5", None),
    ],
)  # fmt: skip
def test_whose_price_a_model_has(kind: str, base_url: str, model: str, name: str | None) -> None:
    assert name_of(kind, base_url, model) == name


@pytest.mark.parametrize("kind", [*PROVIDER_TYPES, ""])
@pytest.mark.parametrize(
    "model", ["", " ", "/", "arn:", "arn:/", "\x1b[31m", "a" * 1_000_000, "gpt-5/" * 40, "-2025-01-01", "é" * 200]
)  # fmt: skip
def test_any_name_gets_an_answer(kind: str, model: str) -> None:
    """Models' names are the client's choice."""
    found = CATALOGUE.find(kind, "https://api.example/v1", model)
    assert isinstance(found, NoPrice)
    assert found.reason
    assert len(found.reason) < LONGEST_MODEL


def test_prices_are_those_of_the_records_time() -> None:
    found = CATALOGUE.find("anthropic", "", "claude-opus-4-6")
    assert isinstance(found, ListPrice)
    before, after = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in (12, 13))
    assert found.span(micros(before)) != found.span(micros(after))
    first, then = (found.at(micros(when)) for when in (before, after))
    assert isinstance(first, Price)
    assert isinstance(then, Price)
    assert first.tiers
    assert not then.tiers


def test_prices_by_the_time_of_day() -> None:
    """DeepSeek's were lower from 16:30 to 00:30 UTC: https://api-docs.deepseek.com/quick_start/pricing."""
    found = CATALOGUE.find("openai-compat", "https://api.deepseek.com", "deepseek-chat")
    assert isinstance(found, ListPrice)
    day = datetime(2025, 7, 1, 16, 29, 59, tzinfo=UTC)
    night = datetime(2025, 7, 1, 16, 30, tzinfo=UTC)
    assert found.span(micros(day)) != found.span(micros(night))
    dear, cheap = (found.at(micros(when)) for when in (day, night))
    assert isinstance(dear, Price)
    assert isinstance(cheap, Price)
    assert dear.rates.input == 270_000
    assert cheap.rates.input == 135_000


def rates_at(base_url: str, model: str, service: str = "", tokens: int = 0) -> Rates:
    found = CATALOGUE.find("openai", base_url, model)
    assert isinstance(found, ListPrice)
    price = found.at(micros(NOW))
    assert isinstance(price, Price)
    rates = price.rates_for(tokens, service)
    assert rates is not None
    return rates


@pytest.mark.parametrize("region", ["us", "eu", "in"])
def test_openais_regions_cost_a_tenth_more(region: str) -> None:
    """Of models since GPT-5.4: https://developers.openai.com/api/docs/guides/data-residency."""
    address = f"https://{region}.api.openai.com/v1"
    rates = rates_at(address, "gpt-5.5")
    assert (rates.input, rates.cache_read, rates.output) == (5_500_000, 550_000, 33_000_000)
    assert rates.web_search == 10_000_000
    assert rates_at(address, "gpt-5.5", tokens=300_000).input == 11_000_000
    assert rates_at(address, "gpt-5.5", "priority").output == 82_500_000
    assert rates_at(address, "gpt-5.2").input == 1_750_000
    assert rates_at("https://api.openai.com/v1", "gpt-5.5").input == 5_000_000


@pytest.mark.parametrize(
    ("kind", "model", "micros"),
    [
        ("openai", "gpt-4o", 25_000_000),
        ("azure", "gpt-4.1", 25_000_000),
        ("openai", "gpt-5", 10_000_000),
        ("openai", "o3", 10_000_000),
        ("openai", "gpt-5.6-sol", 10_000_000),
        ("anthropic", "claude-opus-4-8", None),
    ],
)
def test_the_older_search_costs_more_with_models_that_do_not_reason(
    kind: str, model: str, micros: int | None
) -> None:
    """https://developers.openai.com/api/docs/pricing#built-in-tools."""
    found = CATALOGUE.find(kind, "", model)
    assert isinstance(found, ListPrice)
    price = found.at(int(NOW.timestamp()) * 1_000_000)
    assert isinstance(price, Price)
    assert price.rates.web_search_preview == micros
    assert price.rates.web_search == 10_000_000


@pytest.mark.parametrize("model", ["gpt-5.3-codex", "gpt-5.1-codex-mini", "gpt-4.1-nano", "gpt-5"])
def test_a_search_costs_the_same_with_all_of_openais_models(model: str) -> None:
    """https://developers.openai.com/api/docs/pricing#built-in-tools."""
    found = CATALOGUE.find("openai", "", model)
    assert isinstance(found, ListPrice)
    price = found.at(int(NOW.timestamp()) * 1_000_000)
    assert isinstance(price, Price)
    assert (price.rates.web_search, price.rates.file_search) == (10_000_000, 2_500_000)


@pytest.mark.parametrize(
    ("kind", "model", "service", "is_known"),
    [
        ("openai", "gpt-5", "priority", True),
        ("openai", "gpt-5", "fast", True),
        ("openai", "gpt-5", "scale", True),
        ("openai", "gpt-5.6-sol", "ultrafast", False),
        ("openai", "gpt-5-nano", "priority", False),
        ("azure", "gpt-5", "priority", False),
        # Bought beforehand, for a time.
        ("anthropic", "claude-opus-4-8", "priority", True),
        ("anthropic", "claude-opus-4-8", "fast", True),
        ("anthropic", "claude-sonnet-4-5", "fast", False),
        ("bedrock", f"global.anthropic.{SONNET}-v1:0", "priority", False),
        ("google", "gemini-2.5-pro", "priority", False),
    ],
)
def test_a_class_of_service_is_priced_only_where_its_price_is_known(
    kind: str, model: str, service: str, is_known: bool
) -> None:
    found = CATALOGUE.find(kind, "", model)
    assert isinstance(found, ListPrice)
    price = found.at(micros(NOW))
    assert isinstance(price, Price)
    cost = cost_micros(price, UsageFact(1000, 1000, service_tier=service))
    assert (cost is not None) is is_known


def test_what_no_response_tells_has_no_price() -> None:
    found = CATALOGUE.find("openai", "", "whisper-1")
    assert isinstance(found, ListPrice)
    price = found.at(micros(NOW))
    assert isinstance(price, NoPrice)
    assert "hour of audio" in price.reason


def test_without_the_package_nothing_has_a_price_and_the_reason_is_told() -> None:
    """In a Python of its own: here the package has been imported already."""
    code = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from aigw.pricing.catalogue import load_catalogue\n"
        "found = load_catalogue().find('openai', '', 'gpt-5')\n"
        "print(found.reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "pip install 'aigw[prices]'" in done.stdout


def test_the_package_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, aigw.pricing.pricer, aigw.daemon; print('genai_prices' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def every_model() -> list[tuple[Provider, ModelInfo]]:
    """Those that have a price of ours."""
    return [
        (provider, model)
        for provider in data.providers
        for model in provider.models
        if isinstance(ListPrice(provider, model).at(micros(NOW)), Price)
    ]


MODELS = every_model()


def test_nearly_all_models_can_be_priced() -> None:
    assert len(MODELS) > 0.95 * sum(len(provider.models) for provider in data.providers)


COUNTS = st.one_of(st.integers(0, 3000), st.integers(0, 2_000_000))


@settings(max_examples=400, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS),
    share=st.floats(0, 1),
    searches=st.integers(0, 20),
    service=st.sampled_from(["", *TIERS_OF_SERVICE]),
)
def test_our_arithmetic_is_that_of_genai_prices(
    model: tuple[Provider, ModelInfo],
    counts: tuple[int, int, int, int],
    share: float,
    searches: int,
    service: str,
) -> None:
    provider, info = model
    price = ListPrice(provider, info).at(micros(NOW))
    assert isinstance(price, Price)
    compare(provider, info, price, counts, share, searches, service)


def test_all_models_at_random_usages() -> None:
    """Every model once, where the property above takes samples."""
    chance = random.Random(4)
    for provider, info in MODELS:
        price = ListPrice(provider, info).at(micros(NOW))
        assert isinstance(price, Price)
        counts = tuple(chance.choice((0, 7, 30_011, 123_457, 300_007)) for _ in range(4))
        for service in ("", "batch"):
            compare(provider, info, price, counts, chance.random(), 3, service)


def compare(
    provider: Provider,
    info: ModelInfo,
    price: Price,
    counts: tuple[int, ...],
    share: float,
    searches: int,
    service: str,
) -> None:
    fresh, read, written, output = counts
    rates = price.rates_for(fresh + read + written, service)
    # Where we go by other rules on purpose, and say so in price.py.
    if rates is None:
        assert cost_micros(price, UsageFact(fresh, output, service_tier=service)) is None
        return
    lasting = int(written * share) if rates.cache_write_1h is not None else 0
    audio = int(fresh * share) if rates.input_audio is not None else 0
    if rates.input is None or rates.output is None:
        return
    reported: dict[str, Any] = {
        "input_tokens": fresh + read + written,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": lasting,
        "input_audio_tokens": audio,
        # None of what was cached is audio, nor a picture: that is what we assume.
        "cache_audio_read_tokens": 0,
        "cache_audio_write_tokens": 0,
        "cache_image_read_tokens": 0,
        "input_image_tokens": 0,
        "input_video_tokens": 0,
    }
    extra = {"cache_ephemeral_1h_input": lasting, "prompt_audio": audio}
    theirs_has = info.get_prices(NOW).__dict__
    if rates.web_search is not None and theirs_has.get("web_searches_kcount") is not None:
        reported["web_searches"] = extra["web_search_requests"] = searches
    if rates.file_search is not None and theirs_has.get("storage_searches_kcount") is not None:
        reported["storage_searches"] = extra["file_search_requests"] = searches
    usage = UsageFact(fresh, output, read, written, 0, extra, service)
    context = {"service_tier": service, "processing": service, "speed": service}
    theirs = info.calc_price(
        Usage(**reported),
        provider,
        genai_request_timestamp=NOW,
        price_context=context if service else None,
    )
    exact = theirs.total_price * 1_000_000
    ours = cost_micros(price, usage)
    assert ours is not None
    rounded = int(exact.to_integral_value(ROUND_HALF_UP))
    if info.id in INEXACT:
        # Each rate is up to half a micro-dollar per million tokens away, the sum rounded once more.
        assert abs(Decimal(ours) - exact) <= Decimal(sum(counts)) / 2_000_000 + Decimal("0.5")
    else:
        assert ours == rounded, info.id


def is_whole(price: Any) -> bool:
    values = (
        [price.base, *(tier.price for tier in price.tiers)] if hasattr(price, "tiers") else [price]
    )
    return all(value * 1_000_000 == int(value * 1_000_000) for value in values)


def has_fractions(info: ModelInfo) -> bool:
    standard = info.prices if isinstance(info.prices, list) else [info]
    prices = [*(each.prices for each in standard), *(v.prices for v in info.price_variants or ())]
    values = (value for price in prices for value in vars(price).values() if value is not None)
    return not all(map(is_whole, values))


INEXACT = {info.id for _, info in MODELS if has_fractions(info)}
"""Some of the data are binary fractions, or thirds of a cent: no whole micro-dollars per million."""


def test_few_rates_are_no_whole_micro_dollars() -> None:
    assert len(INEXACT) < len(MODELS) / 50


def test_a_catalogue_without_data_says_why() -> None:
    found = Catalogue((), "", "there is none").find("openai", "", "gpt-5")
    assert found == NoPrice("there is none")
