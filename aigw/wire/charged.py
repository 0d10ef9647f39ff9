"""What a provider says it charges for a response: some state money beside the tokens."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from aigw.wire.lenient import MAX_COUNT, dict_of

_MICROS = 1_000_000
_TICKS = 10_000
"""In a micro-dollar: xAI counts ten billion to the dollar (docs.x.ai, "Cost Tracking")."""


def charged_micros(usage: dict[str, Any]) -> int | None:
    """Micro-dollars, rounded half up; None where the usage states no money.

    xAI's `cost_in_usd_ticks`, or OpenRouter's `cost` in dollars ("Usage Accounting"). Where that has
    used the customer's own key (`is_byok`), its `cost` is its fee alone, and the vendor asks for
    `upstream_inference_cost` besides.
    """
    ticks = _money(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return _rounded(ticks / _TICKS)
    cost = _money(usage.get("cost"))
    if cost is not None and usage.get("is_byok") is True:
        vendors = _money(dict_of(usage.get("cost_details")).get("upstream_inference_cost"))
        cost = None if vendors is None else cost + vendors
    return None if cost is None else _rounded(cost * _MICROS)


def _money(value: Any) -> Decimal | None:
    """An amount; None for what is none, as what is below nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or not 0 <= value <= MAX_COUNT * _MICROS:
        return None
    # The figure as it was written, and not the binary fraction that it was read as.
    return Decimal(str(value))


def _rounded(micros: Decimal) -> int:
    return min(int(micros.to_integral_value(ROUND_HALF_UP)), MAX_COUNT)
