"""The table of `aigw sessions`: a line of figures for each session, and one of what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.cli.money import dollars
from aigw.cli.pen import BOLD, DIM, GREEN, RED, Pen, cells
from aigw.cli.text import clock_time, short_number, visible
from aigw.wire.prompts import after_markup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aigw.store.sessions import SessionSummary

_HEADINGS = (
    "last active",
    "session",
    "client",
    "initiator",
    "requests",
    "threads",
    "tokens",
    "cost",
    "tools",
    "errors",
)
_NARROW_HEADINGS = (
    "active",
    "session",
    "client",
    "by",
    "reqs",
    "thr",
    "tok",
    "cost",
    "tool",
    "err",
)
_NAMES = (2, 3)
"""The columns of names, which are cut where there is not enough room."""
_TEXTS = 4
"""Columns before the figures."""

NAME_WIDTH, NARROW_NAME = 24, 8
"""Columns for a name at most: clients call themselves what they like."""

_SECONDS_AND_YEAR = slice(5, 16)


class SessionTable:
    """Draws pages of sessions below one heading."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._widths: list[int] = []
        self._gap = "  "
        self._name_width = NAME_WIDTH
        self._has_unpriced = False
        self._has_estimates = False

    def lines(self, page: Sequence[SessionSummary], ids: Sequence[str]) -> Iterator[str]:
        """The lines of a page; `ids` are the shortened ones."""
        rows = [self._row(summary, short_id) for summary, short_id in zip(page, ids, strict=True)]
        if not self._widths:
            headings = self._measure(rows)
            if not rows:
                yield "No session matches."
                return
            yield self._pen.painted(self._aligned(headings), BOLD)
        for summary, row in zip(page, rows, strict=True):
            line = self._aligned(row)
            yield self._pen.painted(line, RED) if summary.errors else line
            prompts = self._prompts(summary)
            if prompts:
                yield prompts

    def notes(self) -> Iterator[str]:
        """What the marks that were used mean."""
        if self._has_unpriced:
            yield "* with token records that nobody knows the price of, which are not in the sum"
        if self._has_estimates:
            yield "~ with token records that the provider did not count, which are estimates"

    def _measure(self, rows: list[list[str]]) -> tuple[str, ...]:
        """Settle how wide the columns are, from the first page; the headings that fit."""
        headings = _HEADINGS
        for headings, gap, most in (
            (_HEADINGS, "  ", NAME_WIDTH),
            (_NARROW_HEADINGS, "  ", NAME_WIDTH),
            (_NARROW_HEADINGS, " ", NARROW_NAME),
        ):
            self._gap, self._name_width = gap, most
            table = [headings, *rows]
            self._widths = [max(cells(row[n]) for row in table) for n in range(len(headings))]
            for n in _NAMES:
                self._widths[n] = min(self._widths[n], most)
            if sum(self._widths) + len(gap) * (len(headings) - 1) <= self._pen.width:
                break
        return headings

    def _row(self, summary: SessionSummary, short_id: str) -> list[str]:
        mark = "> " if summary.parent_id is not None else ""
        clients = ", ".join(summary.clients)
        tokens = (
            summary.input_tokens
            + summary.cache_read_input_tokens
            + summary.cache_write_input_tokens
            + summary.output_tokens
        )
        return [
            clock_time(summary.last_active_at, day=True)[_SECONDS_AND_YEAR],
            f"{mark}{visible(short_id)}",
            visible(clients[:1000]),
            visible(summary.initiator_id[:1000]),
            f"{summary.requests:,}",
            f"{summary.threads:,}",
            short_number(tokens),
            self._cost(summary),
            f"{sum(summary.tools.values()):,}",
            f"{summary.errors:,}",
        ]

    def _cost(self, summary: SessionSummary) -> str:
        self._has_unpriced |= summary.unpriced > 0
        self._has_estimates |= summary.estimated > 0
        plan = summary.plan_micros
        parts = [dollars(summary.cost_micros)] if summary.cost_micros else []
        if plan:
            parts.append(f"plan {dollars(plan)}")
        if not parts:
            # What has no price is not free.
            parts.append("-" if summary.unpriced else dollars(0))
        marks = ("*" if summary.unpriced else "") + ("~" if summary.estimated else "")
        return " + ".join(parts) + marks

    def _aligned(self, row: Sequence[str]) -> str:
        """Texts to the left, figures to the right."""
        parts: list[str] = []
        for n, (cell, width) in enumerate(zip(row, self._widths, strict=True)):
            text = self._pen.gist(cell, width) if n in _NAMES else cell
            space = " " * (width - cells(text))
            parts.append(text + space if n < _TEXTS else space + text)
        return self._gap.join(parts).rstrip()

    def _prompts(self, summary: SessionSummary) -> str:
        """The first prompt and, where it is another one, the last."""
        first, last = summary.first_prompt, summary.last_prompt
        if first is None or not first.strip():
            return ""
        # A line is too short for what a client puts before a person's words.
        first, last = after_markup(first), last and after_markup(last)
        room = self._pen.width - 4
        begin = f"  {self._pen.painted('?', GREEN)} "
        if last is None or last == first:
            return begin + self._pen.gist(first, room, DIM)
        arrow = " -> "
        half = (room - len(arrow)) // 2
        first_room = max(half, room - len(arrow) - self._pen.measured(last, room))
        first_room = min(first_room, self._pen.measured(first, room))
        last_room = room - len(arrow) - first_room
        return f"{begin}{self._pen.gist(first, first_room, DIM)}{arrow}{self._pen.gist(last, last_room, DIM)}"
