"""Who says with each answer what it charges, and is believed: it sends the bill."""

from __future__ import annotations

import re

_CHARGING = {
    "OpenRouter": re.compile(r"https://openrouter\.ai(?=[:/]|$)"),
    "xAI": re.compile(r"https://(?:[a-z0-9-]+\.)?api\.x\.ai(?=[:/]|$)"),
}
"""By their addresses: https://openrouter.ai/docs/use-cases/usage-accounting,
https://docs.x.ai/developers/cost-tracking"""


def charger(kind: str, base_url: str) -> str:
    """Whose word on the charge counts at a provider of this type and address; empty: nobody's.

    A cost that anybody else states may be in other units, or leave out what is paid elsewhere.
    """
    if kind == "openrouter":
        return "OpenRouter"
    found = (name for name, address in _CHARGING.items() if address.match(base_url))
    return next(found, "")
