"""Sums of usage as a table for a person: subtotals, a total, and notes on what the money means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigw.cli.money import dollars
from aigw.store.usage import Sums, total

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aigw.store.usage import Key

_BOLD = "1"
_GAP = 2
_SHORTEST_NAME = 8
"""Columns of a cut name: enough to tell most from each other."""

FigureText = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures. One that `is_rare` is left out where it has nothing but zeros."""

    heading: str
    text: Callable[[Sums, FigureText], str]
    is_rare: Callable[[Sums], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns a table has, and which of them a narrow terminal loses first."""

    title: str
    columns: tuple[Column, ...]
    losing: tuple[str, ...]


def _count(heading: str, name: str) -> Column:
    return Column(heading, lambda sums, figure: figure(getattr(sums, name)))


def _mark(estimated: int) -> str:
    return "~" if estimated else ""


def _cost(sums: Sums) -> str:
    """What is paid. Where nothing has a price, it is not known to be nothing."""
    if sums.unpriced and not sums.cost_micros:
        return "-"
    return f"{_mark(sums.estimated - sums.plan_estimated)}{dollars(sums.cost_micros)}"


def _plan(sums: Sums) -> str:
    return f"{_mark(sums.plan_estimated)}{dollars(sums.plan_micros)}" if sums.plan_micros else "-"


_TOKENS = (
    _count("requests", "requests"),
    _count("input", "input_tokens"),
    _count("cache read", "cache_read_input_tokens"),
    _count("cache write", "cache_write_input_tokens"),
    _count("output", "output_tokens"),
)
_ENDS = (
    _count("reasoning", "reasoning_tokens"),
    _count("errors", "errors"),
    _count("aborted", "aborted"),
)
_MONEY = (
    Column("cost", lambda sums, _: _cost(sums)),
    Column(
        "plan",
        lambda sums, _: _plan(sums),
        lambda sums: not sums.plan_micros,
    ),
    Column(
        "unpriced",
        lambda sums, figure: figure(sums.unpriced) if sums.unpriced else "-",
        lambda sums: not sums.unpriced,
    ),
)
_LOSING = (
    "reasoning", "aborted", "cache write", "errors", "cache read", "unpriced", "output", "input",
    "requests",
)  # fmt: skip
USAGE = Layout("Usage", (*_TOKENS, *_ENDS, *_MONEY), _LOSING)
COST = Layout("Cost", (*_MONEY, *_TOKENS), _LOSING)


@dataclass(frozen=True, slots=True)
class _Row:
    names: Key
    sums: Sums
    is_sum: bool


def print_table(
    title: str, dimensions: Sequence[str], groups: dict[Key, Sums], layout: Layout
) -> None:
    """Print it, on a terminal so that it fits."""
    # Drawn here and not with rich.table: importing that takes a third of the command's time.
    from aigw.cli.messages import paint

    whole = total(groups.values())
    rows = _rows(dimensions, groups, whole)
    columns = [column for column in layout.columns if not column.is_rare(whole)]
    lines, lost = _fitting(dimensions, rows, columns, layout.losing)
    sys.stdout.write(f"{title}\n")
    emphasised = [True, *(row.is_sum for row in rows)]
    for text, is_sum in zip(lines, emphasised, strict=True):
        sys.stdout.write(f"{paint(text, _BOLD, sys.stdout) if is_sum else text}\n")
    for note in _notes(whole, lost):
        sys.stdout.write(f"{note}\n")


def _notes(whole: Sums, lost: list[str]) -> Iterator[str]:
    """What the marks mean, and what is not in the cost."""
    if whole.plan_micros:
        price = dollars(whole.plan_micros)
        yield f"plan: covered by a plan, list price {price}, not part of the cost"
    if whole.unpriced:
        responses = "response has" if whole.unpriced == 1 else "responses have"
        yield f"{whole.unpriced:,} {responses} no price: aigw prices list"
    if whole.estimated:
        responses = "response" if whole.estimated == 1 else "responses"
        yield f"~ estimated: {whole.estimated:,} {responses} that the provider did not count to the end"
    if lost:
        yield f"too narrow for {', '.join(lost)}: --json or --csv has all"


def _rows(dimensions: Sequence[str], groups: dict[Key, Sums], whole: Sums) -> list[_Row]:
    """The lines' names and figures, and which are sums of others: subtotals come first."""
    from aigw.cli.text import visible

    rest = ("",) * (len(dimensions) - 1)
    subtotals = _subtotals(groups) if rest else {}
    rows: list[_Row] = []
    previous = None
    for key, sums in groups.items():
        names = tuple(visible(name) or "(none)" for name in key)
        if rest and key[0] != previous:
            previous = key[0]
            rows.append(_Row((names[0], *rest), subtotals[previous], True))
        rows.append(_Row(("", *names[1:]) if rest else names, sums, False))
    rows.append(_Row(("total", *rest), whole, True))
    return rows


def _subtotals(groups: dict[Key, Sums]) -> dict[str, Sums]:
    found: dict[str, Sums] = {}
    for key, sums in groups.items():
        found.setdefault(key[0], Sums()).add(sums)
    return found


def _fitting(
    dimensions: Sequence[str], rows: list[_Row], columns: list[Column], losing: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The lines, and the headings of the columns that the terminal has no room for.

    First figures get shorter, then columns are left out, then names are cut.
    """
    from aigw.cli.text import short_number

    lines = _aligned(dimensions, rows, columns, "{:,}".format)
    if not sys.stdout.isatty():
        return lines, []
    from shutil import get_terminal_size

    room = get_terminal_size().columns
    if _widest(lines) <= room:
        return lines, []
    lost: list[str] = []
    lines = _aligned(dimensions, rows, columns, short_number)
    for heading in losing:
        if _widest(lines) <= room:
            return lines, lost
        kept = [column for column in columns if column.heading != heading]
        if len(kept) < len(columns):
            lost.append(heading)
            columns = kept
            lines = _aligned(dimensions, rows, columns, short_number)
    excess = _widest(lines) - room
    if excess > 0:
        lines = _aligned(dimensions, _cut_names(rows, excess), columns, short_number)
    return lines, lost


def _cut_names(rows: list[_Row], excess: int) -> list[_Row]:
    """The rows with their longest names so much shorter, as far as they stay names."""
    from aigw.cli.record_lines import cut

    longest = [
        max(map(_width, column)) for column in zip(*(row.names for row in rows), strict=True)
    ]
    position = longest.index(max(longest))
    room = max(_SHORTEST_NAME, longest[position] - excess)
    return [
        _Row(
            tuple(cut(n, room) if p == position else n for p, n in enumerate(row.names)),
            row.sums,
            row.is_sum,
        )
        for row in rows
    ]


def _aligned(
    dimensions: Sequence[str], rows: list[_Row], columns: Sequence[Column], figure: FigureText
) -> list[str]:
    """The head line and the rows: names to the left, figures to the right."""
    # Column by column: of a table as long as the list of sessions, each cell's time shows.
    names = zip(dimensions, *(row.names for row in rows), strict=True)
    padded = [_left(cells) for cells in names]
    for column in columns:
        cells = [column.heading, *(column.text(row.sums, figure) for row in rows)]
        width = max(map(len, cells))
        padded.append([cell.rjust(width) for cell in cells])
    gap = " " * _GAP
    return [gap.join(cells).rstrip() for cells in zip(*padded, strict=True)]


def _left(cells: Sequence[str]) -> list[str]:
    """Names in a column as wide as the widest of them."""
    widths = list(map(_width, cells))
    widest = max(widths)
    return [cell + " " * (widest - width) for cell, width in zip(cells, widths, strict=True)]


def _widest(lines: Sequence[str]) -> int:
    return max(map(_width, lines))


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
