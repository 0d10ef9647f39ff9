"""Figures of sessions in words: times, tokens, costs, and the gist of a tool call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aigw.cli.money import FINE, dollars
from aigw.cli.text import free_form, short_number

if TYPE_CHECKING:
    from aigw.store.session_parts import CallResult, Figures, Step
    from aigw.store.sessions import SessionSummary

PARSED = 65_536
"""Characters of a call's arguments that are taken apart for their gist; more is shown as it is."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def span(seconds: float) -> str:
    """A stretch of time: 800 ms, 4.2 s, 28 m 12 s, 3 h 5 m, 2 d 4 h."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, part in (
        (_DAY_S, "d", _HOUR_S, "h"),
        (_HOUR_S, "h", _MINUTE_S, "m"),
        (_MINUTE_S, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {part}"
    return f"{whole} s"


def count(number: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def tokens(sums: Step | Figures | SessionSummary) -> str:
    """All kinds of tokens that there are."""
    kinds = (
        (sums.input_tokens, "in"),
        (sums.cache_read_input_tokens, "cache read"),
        (sums.cache_write_input_tokens, "cache write"),
        (sums.output_tokens, "out"),
    )
    text = ", ".join(f"{short_number(number)} {kind}" for number, kind in kinds if number)
    if sums.reasoning_tokens:
        text += f" ({short_number(sums.reasoning_tokens)} reasoning)"
    return text or "no tokens"


def cost(sums: Figures | SessionSummary) -> str:
    """What was paid, what a plan covered, and what nobody knows the price of: that is never zero."""
    if sums.unpriced and not sums.cost_micros and not sums.plan_micros:
        return f"unpriced ({count(sums.unpriced, 'token record')})"
    covered = f"{dollars(sums.plan_micros, FINE)} at list price covered by a plan"
    text = dollars(sums.cost_micros, FINE)
    if sums.plan_micros:
        text = f"{text}, and {covered}" if sums.cost_micros else covered
    return text + _doubts(sums.unpriced, sums.estimated)


def step_cost(step: Step) -> str:
    """What a step cost; empty where nothing was counted."""
    if not step.tokens and not step.cost_micros:
        return ""
    if step.unpriced and not step.cost_micros:
        return "unpriced"
    text = dollars(step.cost_micros, FINE)
    if step.plan is not None:
        text += f" list price ({step.plan} plan)"
    return text + _doubts(step.unpriced, step.estimated)


def _doubts(unpriced: int, estimated: int) -> str:
    found = []
    if unpriced:
        found.append(f"{count(unpriced, 'token record')} unpriced")
    if estimated:
        found.append(f"{count(estimated, 'token record')} estimated")
    return f" ({', '.join(found)})" if found else ""


def arguments(text: str) -> str:
    """The gist of a call's arguments: an object's names and values in a row, else the text."""
    if len(text) > PARSED:
        return text
    if (words := free_form(text)) is not None:
        return words
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict) or not found:
        return text
    return ", ".join(f"{name}: {_value(value)}" for name, value in found.items())


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def outcome(result: CallResult | None) -> str:
    """How a call was answered, without what was returned."""
    if result is None:
        return "not answered"
    cut = ", cut" if result.truncated else ""
    return f"{'error, ' if result.is_error else ''}{count(result.size, 'byte')}{cut}"
