"""The figures and how they are shown: one row each, with the target it is held to."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `passed` is None where no target is set.

    `ratio` is aigw's share of the floor's, or of what another gateway or another way through this
    one reached (`other`).
    """

    part: str
    name: str
    unit: str
    floor: float | None = None
    other: float | None = None
    aigw: float | None = None
    ratio: float | None = None
    target: str = ""
    passed: bool | None = None
    note: str = ""
    other_work: float | None = None
    """Share of the time that other programs took of the servers' core: a measure of the noise."""


def share(
    part: str, name: str, unit: str, *, floor: float, aigw: float, least: float, note: str
) -> Row:
    """A row for a rate that must reach a share of the floor's."""
    ratio = aigw / floor if floor else 0.0
    return Row(
        part=part,
        name=name,
        unit=unit,
        floor=floor,
        aigw=aigw,
        ratio=ratio,
        target=f">= {least:.0%} of floor",
        passed=ratio >= least,
        note=note,
    )


def share_of_other(
    part: str,
    name: str,
    unit: str,
    *,
    other: float,
    what: str,
    aigw: float,
    least: float | None,
    note: str,
) -> Row:
    """A row for a rate that must reach a share of another one's, which is of `what`."""
    ratio = aigw / other if other else 0.0
    return Row(
        part=part,
        name=name,
        unit=unit,
        other=other,
        aigw=aigw,
        ratio=ratio,
        target="" if least is None else f">= {least:.0%} of {what}",
        passed=None if least is None else ratio >= least,
        note=note,
    )


def at_most(
    part: str,
    name: str,
    unit: str,
    *,
    aigw: float,
    most: float | None,
    floor: float | None = None,
    note: str = "",
) -> Row:
    """A row for a figure that must not exceed a bound; None: it is for information."""
    return Row(
        part=part,
        name=name,
        unit=unit,
        floor=floor,
        aigw=aigw,
        target="" if most is None else f"<= {most:g} {unit}",
        passed=None if most is None else aigw <= most,
        note=note,
    )


def failed_by(errors: int, row: Row) -> Row:
    """The row, failed if any request of its measurement was: a wrong answer is not a fast one."""
    if not errors:
        return row
    return replace(row, passed=False, note=f"{errors} ERRORS; {row.note}")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all values do not exceed; NaN of nothing, which fails any target."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


def show_json(rows: Sequence[Row]) -> None:
    """One JSON object a line, each with the machine's facts."""
    facts = machine()
    for row in rows:
        print(json.dumps({**asdict(row), "machine": facts}))


def show_table(rows: Sequence[Row]) -> None:
    """A table for people."""
    table = Table(title=" ".join(f"{name}: {value}" for name, value in machine().items()))
    figures = {"floor", "other", "aigw", "ratio"}
    for heading in ("measured", "unit", "floor", "other", "aigw", "ratio", "target", "", "note"):
        table.add_column(heading, justify="right" if heading in figures else "left")
    for row in rows:
        verdict = {None: "", True: "[green]pass[/]", False: "[red]FAIL[/]"}[row.passed]
        ratio = "" if row.ratio is None else f"{row.ratio:.0%}"
        table.add_row(
            row.name, row.unit, _figure(row.floor), _figure(row.other), _figure(row.aigw), ratio,
            row.target, verdict, row.note,
        )  # fmt: skip
    noise = {row.part: row.other_work for row in rows if row.other_work is not None}
    if noise:
        table.caption = "other work on the servers' core: " + ", ".join(
            f"{part} {amount:.0%}" for part, amount in noise.items()
        )
    # A pipe has no width of its own: do not fold the table at 80 columns there.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
