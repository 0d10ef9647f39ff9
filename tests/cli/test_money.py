from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.cli.money import CENTS, FINE, dollars, exact_dollars


@pytest.mark.parametrize(
    ("micros", "cents", "fine"),
    [
        (0, "$0.00", "$0.0000"),
        (1, "<$0.01", "<$0.0001"),
        (49, "<$0.01", "<$0.0001"),
        (50, "<$0.01", "$0.0001"),
        (4_999, "<$0.01", "$0.0050"),
        (5_000, "$0.01", "$0.0050"),
        (994_999, "$0.99", "$0.9950"),
        (995_000, "$1.00", "$0.9950"),
        (999_999, "$1.00", "$1.0000"),
        (1_234_567_890_123, "$1,234,567.89", "$1,234,567.8901"),
        (-2_500_000, "-$2.50", "-$2.5000"),
    ],
)
def test_dollars(micros: int, cents: str, fine: str) -> None:
    assert dollars(micros) == cents
    assert dollars(micros, FINE) == fine


@given(st.integers(0, 10**15), st.sampled_from([CENTS, FINE]))
def test_rounding_is_that_of_decimals(micros: int, digits: int) -> None:
    exact = Decimal(micros) / 1_000_000
    rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    if rounded == 0 and micros:
        assert dollars(micros, digits).startswith("<$0.")
    else:
        assert dollars(micros, digits) == f"${rounded:,}"


@given(st.integers(-(10**15), 10**15))
def test_exact_dollars_lose_nothing(micros: int) -> None:
    text = exact_dollars(micros)
    assert Decimal(text) * 1_000_000 == micros
    assert len(text.partition(".")[2]) == 6
