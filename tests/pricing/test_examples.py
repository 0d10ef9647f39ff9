"""Costs at published rates, the sums worked out by hand.

Each case names the provider's page that has its rates, and is checked to the micro-dollar, through the
catalogue as the daemon uses it: a change of the data or of the arithmetic shows here. `is_read` says
whether its rates were compared with that page, in the version of 2026 that we had of it; where it is
False they are those of genai-prices, and the case tests the arithmetic alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from aigw.pricing.catalogue import ListPrice, load_catalogue
from aigw.pricing.price import Price, cost_micros
from aigw.wire.facts import UsageFact

ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/pricing"
CACHING = "https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing"
LONG_CONTEXT = "https://platform.claude.com/docs/en/about-claude/pricing#long-context-pricing"
BATCHES = "https://platform.claude.com/docs/en/about-claude/pricing#batch-processing"
WEB_SEARCH = "https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool"
FAST = "https://platform.claude.com/docs/en/about-claude/pricing#fast-mode-pricing"
US_ONLY = "https://platform.claude.com/docs/en/about-claude/pricing#data-residency-pricing"
OPENAI_FAST = "https://openai.com/api-fast-mode/"
DEEPSEEK = "https://api-docs.deepseek.com/quick_start/pricing"
OPENAI = "https://developers.openai.com/api/docs/pricing"
GPT_5_CODEX = "https://developers.openai.com/api/docs/models/gpt-5-codex"
GPT_5_4 = "https://developers.openai.com/api/docs/models/gpt-5.4"
GPT_AUDIO = "https://developers.openai.com/api/docs/models/gpt-audio"
FLEX = "https://developers.openai.com/api/docs/guides/flex-processing"
REASONING = "https://developers.openai.com/api/docs/guides/reasoning"
BEDROCK = "https://aws.amazon.com/bedrock/pricing/"
GLOBAL = "https://docs.aws.amazon.com/bedrock/latest/userguide/global-cross-region-inference.html"
GEMINI = "https://ai.google.dev/gemini-api/docs/pricing"

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


class Example(NamedTuple):
    """A usage and what it costs: the sum of the page's rates times tokens, in micro-dollars."""

    page: str
    kind: str
    model: str
    usage: UsageFact
    micros: int
    when: datetime = NOVEMBER
    is_read: bool = True
    base_url: str = ""


SONNET = "claude-sonnet-4-5-20250929"
REGIONAL = f"us.anthropic.{SONNET}-v1:0"
WORLDWIDE = f"global.anthropic.{SONNET}-v1:0"
ALL_KINDS = UsageFact(
    12_000,
    3000,
    100_000,
    8000,
    0,
    {"cache_ephemeral_5m_input": 5000, "cache_ephemeral_1h_input": 3000},
)

EXAMPLES = [
    # Opus 5 and 4.8: $5 in, $25 out. 50,000 in: $0.25; 15,000 out: $0.375: the page's own example.
    Example(ANTHROPIC, "anthropic", "claude-opus-5", UsageFact(50_000, 15_000), 625_000),
    Example(ANTHROPIC, "anthropic", "claude-opus-4-8", UsageFact(50_000, 15_000), 625_000),
    # The same where it has to run in the USA: a tenth more.
    Example(
        US_ONLY, "anthropic", "claude-opus-4-8",
        UsageFact(50_000, 15_000, inference_geo="us"), 687_500,
    ),
    # The page's second one, 40,000 of the input read from the cache at $0.50: $0.05 + $0.02 + $0.375.
    Example(ANTHROPIC, "anthropic", "claude-opus-5", UsageFact(10_000, 15_000, 40_000), 445_000),
    Example(ANTHROPIC, "anthropic", "claude-opus-4-8", UsageFact(10_000, 15_000, 40_000), 445_000),
    # Opus 5.5: $4, reads $0.20, five minutes $5, an hour $8, $20 out.
    Example(ANTHROPIC, "anthropic", "claude-opus-5-5", ALL_KINDS, 48_000 + 60_000 + 20_000 + 25_000 + 24_000),
    # Haiku 5.5: $0.10 and $0.50, above 100,000 tokens of input $0.50 and $2.50.
    Example(ANTHROPIC, "anthropic", "claude-haiku-5-5", UsageFact(100_000, 1000), 10_500),
    Example(ANTHROPIC, "anthropic", "claude-haiku-5-5", UsageFact(100_001, 1000), 52_501),
    # Sonnet 4.5: $3, five minutes $3.75, an hour $6, reads $0.30, $15 out.
    Example(ANTHROPIC, "anthropic", SONNET, UsageFact(1_000_000 // 8, 0), 375_000),
    Example(CACHING, "anthropic", SONNET, UsageFact(0, 0, 100_000), 30_000),
    Example(CACHING, "anthropic", SONNET, UsageFact(0, 0, 0, 100_000), 375_000),
    Example(
        CACHING, "anthropic", SONNET,
        UsageFact(0, 0, 0, 100_000, 0, {"cache_ephemeral_1h_input": 100_000}), 600_000,
    ),
    # 12,000 x 3 + 3,000 x 15 + 100,000 x 0.3 + 5,000 x 3.75 + 3,000 x 6.
    Example(CACHING, "anthropic", SONNET, ALL_KINDS, 36_000 + 45_000 + 30_000 + 18_750 + 18_000),
    # Haiku 4.5: $1 in, $5 out; thinking is output.
    Example(
        ANTHROPIC, "anthropic", "claude-haiku-4-5", UsageFact(2000, 1000, reasoning_tokens=800), 7000
    ),
    # Above 200,000 tokens of input, cached ones too, Sonnet 4.5 asked $6 and $22.50 for all of them.
    Example(
        LONG_CONTEXT, "anthropic", SONNET, UsageFact(200_000, 1000), 615_000,
        datetime(2026, 1, 1, tzinfo=UTC),
    ),
    Example(
        LONG_CONTEXT, "anthropic", SONNET, UsageFact(200_001, 1000), 1_222_506,
        datetime(2026, 1, 1, tzinfo=UTC),
    ),
    # 1,000 x 6 + 200,000 x 0.6 + 1,000 x 22.5: the cached tokens make it a long one.
    Example(
        LONG_CONTEXT, "anthropic", SONNET, UsageFact(1000, 1000, 200_000), 148_500,
        datetime(2026, 1, 1, tzinfo=UTC),
    ),
    # Opus 4.6 has one price for its whole window. It had two until 2026-03-13, say those who wrote of it
    # then (https://agentmastered.com/blog/1m-context-ga); no page of Anthropic's today does.
    Example(LONG_CONTEXT, "anthropic", "claude-opus-4-6", UsageFact(300_000, 1000), 1_525_000),
    Example(
        LONG_CONTEXT, "anthropic", "claude-opus-4-6", UsageFact(300_000, 1000), 3_037_500,
        datetime(2026, 3, 12, 23, 59, 59, tzinfo=UTC), is_read=False,
    ),
    Example(
        LONG_CONTEXT, "anthropic", "claude-opus-4-6", UsageFact(300_000, 1000), 1_525_000,
        datetime(2026, 3, 13, tzinfo=UTC), is_read=False,
    ),
    # A batch: half of everything, the cache too. 12,000 x 1.5 + 3,000 x 7.5 + ...
    Example(
        BATCHES, "anthropic", SONNET,
        UsageFact(12_000, 3000, 100_000, 8000, service_tier="batch"), 18_000 + 22_500 + 15_000 + 15_000,
    ),
    # Searching: $10 per 1,000, beside the tokens.
    Example(
        WEB_SEARCH, "anthropic", SONNET,
        UsageFact(1000, 1000, extra={"web_search_requests": 5}), 3000 + 15_000 + 50_000,
    ),
    # Fast mode of Opus 4.8: $10 and $50.
    Example(
        FAST, "anthropic", "claude-opus-4-8", UsageFact(1000, 1000, service_tier="fast"), 60_000
    ),
    # GPT-5-Codex: $1.25, cached $0.125, $10, as GPT-5.
    Example(GPT_5_CODEX, "openai", "gpt-5-codex", UsageFact(10_000, 2000, 90_000), 43_750),
    Example(OPENAI, "openai", "gpt-5", UsageFact(10_000, 2000, 90_000), 43_750),
    # Reasoning tokens are output tokens: 1,000 of the 1,200 are not paid for twice.
    Example(
        REASONING, "openai", "gpt-5", UsageFact(1000, 1200, reasoning_tokens=1000), 1250 + 12_000
    ),
    # GPT-5.4: $2.50, cached $0.25, $15; above 272,000 tokens twice that in and 1.5 times out.
    Example(GPT_5_4, "openai", "gpt-5.4", UsageFact(72_000, 1000, 200_000), 245_000),
    Example(GPT_5_4, "openai", "gpt-5.4", UsageFact(72_001, 1000, 200_000), 482_505),
    # Classes of service, GPT-5 and 5.1: batch half, flex as batch, priority twice the price.
    Example(
        FLEX, "openai", "gpt-5", UsageFact(10_000, 2000, 8000, service_tier="flex"),
        6250 + 10_000 + 500,
    ),
    Example(
        OPENAI, "openai", "gpt-5.1", UsageFact(10_000, 2000, 8000, service_tier="batch"),
        6250 + 10_000 + 500,
    ),
    Example(
        OPENAI_FAST, "openai", "gpt-5", UsageFact(10_000, 2000, 8000, service_tier="priority"),
        25_000 + 40_000 + 2000,
    ),
    # Long input in a batch: GPT-5.5 asks $5 and $22.50 there, on flex the same.
    Example(
        OPENAI, "openai", "gpt-5.5", UsageFact(300_000, 1000, service_tier="batch"), 1_522_500
    ),
    Example(
        FLEX, "openai", "gpt-5.5", UsageFact(300_000, 1000, service_tier="flex"), 1_522_500
    ),
    # GPT-5.6 Sol: $4, reads $0.40, writing $5, $20 out. Fast: twice that, of long input $16 and $60.
    Example(
        OPENAI, "openai", "gpt-5.6-sol", UsageFact(1000, 1000, 10_000, 2000), 4000 + 20_000 + 4000 + 10_000
    ),
    Example(
        OPENAI_FAST, "openai", "gpt-5.6-sol", UsageFact(1000, 1000, 10_000, service_tier="fast"),
        8000 + 40_000 + 8000,
    ),
    Example(
        OPENAI_FAST, "openai", "gpt-5.6-sol", UsageFact(300_000, 1000, service_tier="priority"),
        4_800_000 + 60_000,
    ),
    # GPT-5.5 asks two and a half times as much: $12.50, cached $1.25, $75.
    Example(
        OPENAI_FAST, "openai", "gpt-5.5", UsageFact(1000, 1000, 10_000, service_tier="priority"),
        12_500 + 75_000 + 12_500,
    ),
    # Tools: $10 per 1,000 web searches, $2.50 per 1,000 file searches.
    Example(
        OPENAI, "openai", "gpt-5",
        UsageFact(1000, 100, extra={"web_search_requests": 2, "file_search_requests": 3}),
        1250 + 1000 + 20_000 + 7500,
    ),
    # Audio: $32 in and $64 out, beside text at $2.50 and $10.
    Example(
        GPT_AUDIO, "openai", "gpt-audio",
        UsageFact(1000, 500, extra={"prompt_audio": 800, "completion_audio": 400}),
        500 + 25_600 + 1000 + 25_600,
    ),
    # A global endpoint of Bedrock's costs what Anthropic asks, a regional one 10 % more.
    Example(GLOBAL, "bedrock", WORLDWIDE, ALL_KINDS, 147_750),
    Example(GLOBAL, "bedrock", REGIONAL, ALL_KINDS, 162_525),
    # AWS's page fills its tables by a script; others give these rates from it, as
    # https://www.swfte.com/de/blog/amazon-nova-pro-pricing.
    Example(
        BEDROCK, "bedrock", "amazon.nova-pro-v1:0", UsageFact(1000, 1000), 800 + 3200, is_read=False
    ),
    # Gemini 2.5 Pro: $1.25 and $10, above 200,000 tokens $2.50 and $15.
    Example(GEMINI, "google", "gemini-2.5-pro", UsageFact(200_000, 1000), 260_000),
    Example(GEMINI, "google", "gemini-2.5-pro", UsageFact(200_001, 1000), 515_003),
    # DeepSeek Flash: $0.15, cached $0.003, $0.60, and from 01:00 to 04:00 and 06:00 to 10:00 UTC twice
    # that; of 100,000 tokens, 90,000 cached: 1,500 + 270 + 600.
    Example(
        DEEPSEEK, "openai-compat", "deepseek-flash", UsageFact(10_000, 1000, 90_000), 2370,
        datetime(2026, 11, 2, 12, tzinfo=UTC), base_url="https://api.deepseek.com",
    ),
    Example(
        DEEPSEEK, "openai-compat", "deepseek-flash", UsageFact(10_000, 1000, 90_000), 4740,
        datetime(2026, 11, 2, 8, tzinfo=UTC), base_url="https://api.deepseek.com",
    ),
]  # fmt: skip

CATALOGUE = load_catalogue()


def price_of(kind: str, model: str, when: datetime = NOVEMBER, base_url: str = "") -> Price:
    found = CATALOGUE.find(kind, base_url, model)
    assert isinstance(found, ListPrice), found
    price = found.at(int(when.timestamp()) * 1_000_000)
    assert isinstance(price, Price), price
    return price


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.model} {e.micros}")
def test_costs_are_those_of_the_published_rates(example: Example) -> None:
    price = price_of(example.kind, example.model, example.when, example.base_url)
    assert cost_micros(price, example.usage) == example.micros, example.page


@pytest.mark.parametrize("geography", ["us", "eu", "jp", "au", "in"])
def test_every_region_of_bedrock_costs_a_tenth_more(geography: str) -> None:
    """Also one that the price list does not have yet.

    https://platform.claude.com/docs/en/about-claude/pricing#cloud-platform-pricing
    """
    world = cost_micros(price_of("bedrock", WORLDWIDE), ALL_KINDS)
    model = f"{geography}.anthropic.{SONNET}-v1:0"
    assert world is not None
    assert cost_micros(price_of("bedrock", model), ALL_KINDS) == world * 11 // 10
