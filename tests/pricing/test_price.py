"""The arithmetic of costs: rounding, tiers, classes of service, and what lacks a rate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.pricing.price import MOST_MICROS, Price, Rates, Tier, cost_micros, most_micros
from aigw.wire.facts import UsageFact

# No two rates are alike, so that a wrong one shows.
FULL = Rates(
    input=3_000_000,
    output=15_000_000,
    cache_read=300_000,
    cache_write=3_750_000,
    cache_write_1h=6_000_000,
    input_audio=40_000_000,
    output_audio=80_000_000,
    web_search=10_000_000,
    web_search_preview=25_000_000,
    file_search=2_500_000,
)


def rates(**given: Any) -> Price:
    return Price(rates=Rates(**given))


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (UsageFact(0, 0), 0),
        (UsageFact(1000, 0), 3000),
        (UsageFact(0, 1000), 15_000),
        (UsageFact(0, 0, cache_read_input_tokens=1000), 300),
        (UsageFact(0, 0, cache_write_input_tokens=1000), 3750),
        (UsageFact(0, 0, 0, 1000, 0, {"cache_ephemeral_1h_input": 1000}), 6000),
        (UsageFact(0, 0, 0, 1000, 0, {"cache_ephemeral_1h_input": 400}), 600 * 15 // 4 + 2400),
        (UsageFact(0, 0, 0, 1000, 0, {"cache_ephemeral_5m_input": 1000}), 3750),
        (UsageFact(0, 1000, reasoning_tokens=900), 15_000),
        (UsageFact(0, 0, extra={"web_search_requests": 3}), 30_000),
        (UsageFact(0, 0, extra={"web_search_preview_requests": 3}), 75_000),
        (UsageFact(0, 0, extra={"file_search_requests": 3}), 7500),
        (UsageFact(1000, 0, extra={"prompt_audio": 400}), 600 * 3 + 400 * 40),
        (UsageFact(0, 1000, extra={"completion_audio": 400}), 600 * 15 + 400 * 80),
        (UsageFact(1000, 1000, 1000, 1000, 500), 3000 + 15_000 + 300 + 3750),
    ],
)
def test_every_kind_of_usage_pays_its_own_rate(usage: UsageFact, micros: int) -> None:
    assert cost_micros(Price(rates=FULL), usage) == micros


@pytest.mark.parametrize(("tokens", "micros"), [(1, 0), (4, 0), (5, 1), (14, 1), (15, 2), (25, 3)])
def test_the_sum_is_rounded_half_up(tokens: int, micros: int) -> None:
    """At ten cents a million a token costs a tenth of a micro-dollar."""
    assert cost_micros(rates(input=100_000), UsageFact(tokens, 0)) == micros


def test_only_the_sum_is_rounded() -> None:
    price = rates(input=100_000, output=100_000, cache_read=100_000)
    # Four tenths thrice: 1.2 micro-dollars, though each alone would be none.
    assert cost_micros(price, UsageFact(4, 4, 4)) == 1


def test_no_amount_loses_a_micro_dollar() -> None:
    usage = UsageFact(10**9 + 1, 0)
    assert (
        cost_micros(rates(input=99_999_999), usage) == ((10**9 + 1) * 99_999_999 + 500_000) // 10**6
    )


def test_a_long_input_pays_the_higher_rate_for_all_tokens() -> None:
    long = Rates(input=6_000_000, output=22_500_000)
    longest = Rates(input=9_000_000, output=30_000_000)
    price = Price(
        rates=Rates(input=3_000_000, output=15_000_000),
        tiers=(Tier(200_000, long), Tier(500_000, longest)),
    )
    assert cost_micros(price, UsageFact(200_000, 1000)) == 200_000 * 3 + 15_000
    assert cost_micros(price, UsageFact(200_001, 1000)) == 200_001 * 6 + 22_500
    assert cost_micros(price, UsageFact(500_001, 1000)) == 500_001 * 9 + 30_000


@pytest.mark.parametrize("kind", ["cache_read_input_tokens", "cache_write_input_tokens"])
def test_cached_tokens_count_for_the_tier(kind: str) -> None:
    price = Price(
        rates=Rates(input=1_000_000, output=0), tiers=(Tier(100, Rates(input=2_000_000, output=0)),)
    )
    assert cost_micros(price, UsageFact(50, 0, **{kind: 50})) == 100
    assert cost_micros(price, UsageFact(50, 0, **{kind: 51})) == 202


def test_a_class_of_service_has_its_own_rates_and_tiers() -> None:
    batch = Price(rates=Rates(input=1_000_000), tiers=(Tier(1000, Rates(input=1_500_000)),))
    price = Price(rates=Rates(input=2_000_000), services={"batch": batch})
    assert cost_micros(price, UsageFact(1000, 0, service_tier="batch")) == 1000
    assert cost_micros(price, UsageFact(2000, 0, service_tier="batch")) == 3000
    assert cost_micros(price, UsageFact(1000, 0)) == 2000


@pytest.mark.parametrize("service", ["priority", "fast", "flex", "one of tomorrow"])
def test_a_class_of_service_that_nobody_knows_has_no_price(service: str) -> None:
    """OpenAI's fast ones cost up to six times the standard one."""
    usage = UsageFact(1000, 0, service_tier=service)
    assert cost_micros(rates(input=2_000_000), usage) is None
    same = Price(rates=Rates(input=2_000_000), has_one_rate=True)
    assert cost_micros(same, usage) == 2000


FAST = Price(
    rates=Rates(
        input=6_000_000, output=30_000_000, cache_write=7_500_000, cache_write_1h=12_000_000
    )
)
LONG = Tier(
    1000,
    Rates(input=6_000_000, output=22_500_000, cache_write=7_500_000, cache_write_1h=12_000_000),
)
CLAUDE = Price(rates=FULL, tiers=(LONG,), services={"fast": FAST}, us_percent=110)
AS_LISTED = rates(input=3_000_000, output=15_000_000)
OLDER_CLAUDE = rates(input=3_000_000, output=15_000_000, cache_write=3_750_000)

SHARES = st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(0, 900))


@given(
    price=st.sampled_from([CLAUDE, AS_LISTED, OLDER_CLAUDE]),
    shares=SHARES,
    output=st.integers(0, 2000),
    service=st.sampled_from(["", "fast"]),
    geo=st.sampled_from(["", "us"]),
    asks_for_hour=st.booleans(),
)
def test_no_answer_costs_more_than_was_reserved(
    price: Price,
    shares: tuple[int, int, int],
    output: int,
    service: str,
    geo: str,
    asks_for_hour: bool,
) -> None:
    fresh, read, written = shares
    extra = {"cache_ephemeral_1h_input": written} if asks_for_hour else {}
    most = most_micros(price, sum(shares), output, service, keeps_for_hour=asks_for_hour)
    assert most is not None
    # A provider may answer in the standard class though another one was asked for.
    for tier in {"", service}:
        usage = UsageFact(fresh, output, read, written, 0, extra, tier, inference_geo=geo)
        assert (cost_micros(price, usage) or 0) <= most


def test_writing_for_an_hour_is_reserved_only_where_it_is_asked_for() -> None:
    assert most_micros(Price(rates=FULL), 1000, 0) == 3750
    assert most_micros(Price(rates=FULL), 1000, 0, keeps_for_hour=True) == 6000
    # In the USA at that, which the answer says and the request need not.
    assert most_micros(CLAUDE, 1000, 0, "fast", keeps_for_hour=True) == 13_200
    # In a class that nobody knows, the standard one: it may be that of the answer.
    assert most_micros(Price(rates=FULL), 1000, 0, "ultrafast") == 3750
    assert most_micros(rates(input=1), 0, 1) is None


@pytest.mark.parametrize(
    ("given", "usage", "micros"),
    [
        # A cache rate that is missing is the input's.
        ({"input": 3_000_000}, UsageFact(0, 0, cache_read_input_tokens=1000), 3000),
        ({"input": 3_000_000}, UsageFact(0, 0, cache_write_input_tokens=1000), 3000),
        # Written for an hour: twice the input where writing costs more, else as any writing.
        (
            {"input": 3_000_000, "cache_write": 3_750_000},
            UsageFact(0, 0, 0, 1000, 0, {"cache_ephemeral_1h_input": 1000}),
            6000,
        ),
        (
            {"input": 3_000_000},
            UsageFact(0, 0, 0, 1000, 0, {"cache_ephemeral_1h_input": 1000}),
            3000,
        ),
        # A rate of nothing is a rate.
        ({"input": 0, "output": 0}, UsageFact(1000, 1000, 1000, 1000), 0),
        ({"input": 3_000_000, "cache_read": 0}, UsageFact(0, 0, 1000), 0),
        # What was not used needs no rate.
        ({"input": 3_000_000}, UsageFact(1000, 0), 3000),
        ({"output": 3_000_000}, UsageFact(0, 1000), 3000),
        ({"input": 1, "request": 5_000_000}, UsageFact(0, 0), 5000),
    ],
)
def test_what_a_missing_rate_falls_back_to(
    given: dict[str, int], usage: UsageFact, micros: int
) -> None:
    assert cost_micros(rates(**given), usage) == micros


@pytest.mark.parametrize(
    "usage",
    [
        UsageFact(1000, 1),
        UsageFact(1000, 0, extra={"web_search_requests": 1}),
        UsageFact(1000, 0, extra={"web_search_preview_requests": 1}),
        UsageFact(1000, 0, extra={"file_search_requests": 1}),
        UsageFact(1000, 0, extra={"prompt_audio": 1}),
    ],
)
def test_what_has_no_rate_makes_the_whole_unpriced(usage: UsageFact) -> None:
    assert cost_micros(rates(input=3_000_000), usage) is None


@pytest.mark.parametrize(
    "tool", ["code_interpreter_calls", "image_generation_calls", "hosted_shell_calls"]
)
def test_what_never_has_a_rate_makes_the_whole_unpriced(tool: str) -> None:
    usage = UsageFact(1000, 0, extra={tool: 1})
    assert cost_micros(Price(rates=FULL), usage) is None


@pytest.mark.parametrize(
    "usage", [UsageFact(1, 1000), UsageFact(0, 1000, 1), UsageFact(0, 1000, 0, 1)]
)
def test_without_an_input_rate_no_input_is_free(usage: UsageFact) -> None:
    assert cost_micros(rates(output=3_000_000, cache_read=1, cache_write=1), usage) is None


def test_a_usage_that_contradicts_itself_is_never_less_than_nothing() -> None:
    """More of a kind than of the whole: the whole is what is charged."""
    audio = UsageFact(10, 10, extra={"prompt_audio": 1000, "completion_audio": 1000})
    assert cost_micros(Price(rates=FULL), audio) == 10 * 40 + 10 * 80
    lasting = UsageFact(0, 0, 0, 10, 0, {"cache_ephemeral_1h_input": 1000})
    assert cost_micros(Price(rates=FULL), lasting) == 60


def test_absurd_counts_cost_a_bounded_amount() -> None:
    price = Price(rates=Rates(input=75_000_000, output=75_000_000))
    assert cost_micros(price, UsageFact(2**40, 2**40)) == MOST_MICROS
