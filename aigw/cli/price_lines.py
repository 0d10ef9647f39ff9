"""Prices as text and as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aigw.cli.price_rows import Row
    from aigw.pricing.price import Price, Rates
    from aigw.pricing.price_list import Quote
    from aigw.store.prices import StoredPrice

_BOLD = "1"
_RED = "31"
_RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
_HEADINGS = ("input", "output", "cache read", "cache write", "1h write")


def dollars(micros: int | None) -> str:
    """A rate in dollars, exact, with two decimals at least: `$3.00`, `$0.0125`."""
    if micros is None:
        return "-"
    whole, rest = divmod(micros, 1_000_000)
    decimals = f"{rest:06d}".rstrip("0")
    return f"${whole:,}.{decimals:0<2}"


def described(price: StoredPrice) -> str:
    """A stored price in a line."""
    from aigw.cli.text import visible

    rates = {
        "input": price.input_price,
        "output": price.output_price,
        "cache read": price.cache_read_price,
        "cache write": price.cache_write_price,
        "1h cache write": price.cache_write_1h_price,
    }
    figures = ", ".join(f"{name} {dollars(v)}" for name, v in rates.items() if v is not None)
    where = f" at {visible(price.provider)}" if price.provider else ""
    return f"{visible(price.model)}{where}: {figures} per million tokens ({price.source})"


HOW = "`aigw prices set MODEL --input DOLLARS --output DOLLARS`"
"""What to do where there is no price."""


def print_list(rows: Sequence[Row], *, json: bool) -> None:
    """The list on stdout; what has no price is marked there, and counted on stderr."""
    from aigw.cli.session_words import count

    if json:
        from aigw.cli.text import print_json

        print_json([_row_object(row) for row in rows])
    elif rows:
        _print_table(rows)
    if not rows:
        sys.stderr.write("no price was given, and no model was used yet\n")
    unpriced = [row for row in rows if row.price is None]
    if unpriced:
        used = count(sum(row.requests or 0 for row in unpriced), "request")
        sys.stderr.write(f"{len(unpriced)} of {len(rows)} without a price, used by {used}: {HOW}\n")
        if not json:
            for reason in dict.fromkeys(_reason(row) for row in unpriced):
                sys.stderr.write(f"  {reason}\n")


def _reason(row: Row) -> str:
    from aigw.cli.text import visible

    return f"{visible(row.provider)}: {visible(row.reason)}"


def _row_object(row: Row) -> dict[str, Any]:
    from aigw.pricing.price_json import price_object

    rates = None if row.price is None else row.price.rates
    return {
        **price_object(row.provider, row.model, rates, row.source, row.updated_at),
        "requests": row.requests,
        "unpriced": row.unpriced,
        "reason": row.reason or None,
    }


def _print_table(rows: Sequence[Row]) -> None:
    from aigw.cli.text import visible

    table: list[tuple[str, ...]] = [("provider", "model", *_HEADINGS, "requests", "source")]
    for row in rows:
        rates = None if row.price is None else row.price.rates
        figures = [dollars(None if rates is None else getattr(rates, name)) for name in _RATES]
        requests = "" if row.requests is None else f"{row.requests:,}"
        source = row.source if row.price else "unpriced"
        table.append(
            (visible(row.provider) or "(any)", visible(row.model), *figures, requests, source)
        )
    sys.stdout.write("Prices now, in dollars per million tokens\n")
    marked = [row.price is None for row in rows]
    for number, line in enumerate(_aligned(table, left=(0, 1, 8))):
        _write(line, _BOLD if not number else _RED if marked[number - 1] else "")


def _write(line: str, code: str) -> None:
    from aigw.cli.messages import paint

    sys.stdout.write(f"{paint(line, code, sys.stdout) if code else line}\n")


def _aligned(table: Sequence[Sequence[str]], left: Sequence[int]) -> Iterator[str]:
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = []
        for position, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            cells.append(cell + space if position in left else space + cell)
        yield "  ".join(cells).rstrip()


def print_quotes(model: str, found: Sequence[tuple[str, Quote]], *, json: bool) -> None:
    """A model's price at each provider: the figures, and why these."""
    if json:
        from aigw.cli.text import print_json

        print_json([_quote_object(model, name, quote) for name, quote in found])
        return
    for number, (name, quote) in enumerate(found):
        if number:
            sys.stdout.write("\n")
        _print_quote(model, name, quote)


def _print_quote(model: str, name: str, quote: Quote) -> None:
    from aigw.cli.text import visible

    _write(f"{visible(model)} at {visible(name)}", _BOLD)
    for label, text in _facts(quote):
        sys.stdout.write(f"  {label:<9} {text}\n")
    if quote.price is None:
        return
    sys.stdout.write("  in dollars per million tokens\n")
    table: list[tuple[str, ...]] = [("", *_HEADINGS)]
    for label, rates in _schedules(quote.price):
        table.append((label, *(dollars(getattr(rates, rate)) for rate in _RATES)))
    for line in _aligned(table, left=(0,)):
        sys.stdout.write(f"    {line}\n")
    for line in _further(quote.price.rates):
        sys.stdout.write(f"    {line}\n")


def _facts(quote: Quote) -> Iterator[tuple[str, str]]:
    from aigw.cli.text import clock_time, visible

    if quote.price is None:
        yield "price", f"unpriced: {visible(quote.reason)}"
        return
    if quote.overrides:
        first = quote.overrides[0]
        wanted = f"{visible(first.model)} at {visible(first.provider) or 'any provider'}"
        when = "" if first.updated_at is None else f", {clock_time(first.updated_at, day=True)}"
        yield "price", f"{first.source}: {wanted}{when}{_origin(first.origin)}"
        for other in quote.overrides[1:]:
            where = visible(other.provider) or "any provider"
            yield "not used", f"{other.source}: {visible(other.model)} at {where}"
        if quote.listed is not None:
            rates = quote.listed.rates
            yield (
                "list",
                f"{quote.listed_as}: {dollars(rates.input)} in, {dollars(rates.output)} out",
            )
        else:
            yield "list", f"none: {visible(quote.reason)}"
    else:
        yield "price", f"{quote.source}: {quote.listed_as}"
    if quote.charger:
        yield "charge", f"{quote.charger} says with each answer what it charges, which goes first"
    if quote.price.context_window:
        yield "context", f"{quote.price.context_window:,} tokens"


def _origin(origin: str) -> str:
    from aigw.cli.text import visible

    return f" ({visible(origin)})" if origin else ""


def _schedules(price: Price) -> Iterator[tuple[str, Rates]]:
    """Every set of rates with what it is for."""
    for name, one in (("standard", price), *sorted(price.services.items())):
        yield name, one.rates
        for tier in one.tiers:
            yield f"{name}, input above {tier.above:,}", tier.rates


def _further(rates: Rates) -> Iterator[str]:
    for label, rate, unit in (
        ("audio input", rates.input_audio, "million tokens"),
        ("audio output", rates.output_audio, "million tokens"),
        ("web searches", rates.web_search, "thousand"),
        ("web searches by web_search_preview", rates.web_search_preview, "thousand"),
        ("file searches", rates.file_search, "thousand"),
        ("requests", rates.request, "thousand"),
    ):
        if rate is not None:
            yield f"{label}: {dollars(rate)} per {unit}"


def _quote_object(model: str, name: str, quote: Quote) -> dict[str, Any]:
    from aigw.pricing.price_json import price_object
    from aigw.records import rfc3339

    first = quote.overrides[0] if quote.overrides else None
    rates = None if quote.price is None else quote.price.rates
    shown = price_object(name, model, rates, quote.source, first.updated_at if first else None)
    overrides = [
        {
            "provider": each.provider,
            "model": each.model,
            "source": each.source,
            "origin": each.origin or None,
            "updated_at": None if each.updated_at is None else rfc3339(each.updated_at),
        }
        for each in quote.overrides
    ]
    further: dict[str, Any] = {
        "reason": quote.reason or None,
        "listed_as": quote.listed_as or None,
        "context_window": quote.price.context_window if quote.price else None,
        "overrides": overrides,
        "schedules": [],
    }
    if quote.price is not None:
        further["schedules"] = list(_schedule_objects(quote.price))
    return {**shown, **further}


def _schedule_objects(price: Price) -> Iterator[dict[str, Any]]:
    import msgspec

    for service, one in (("standard", price), *sorted(price.services.items())):
        for above, rates in ((0, one.rates), *((tier.above, tier.rates) for tier in one.tiers)):
            yield {"service": service, "above_input_tokens": above, **msgspec.structs.asdict(rates)}
