"""`aigw usage`: requests and tokens, summed up."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import tzinfo

    from aigw.store.usage import Key, Sums

DEFAULT_SINCE = "30d"
DEFAULT_BY = ("day",)

_BOLD = "1"

_HEADINGS = (
    "requests", "input", "cache read", "cache write", "output", "reasoning", "errors", "aborted",
)  # fmt: skip


def usage(
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="hour, day, week, month, provider, model, client, initiator or session; "
            "repeat to nest. Default day.",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From then on: 2h, 7d, a date, or RFC 3339.")
    ] = DEFAULT_SINCE,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before then: as for --since.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(metavar="TZ", help="Whose days: UTC, Europe/Berlin. Default the system's."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma separated, with a head line.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> None:
    """Sum up requests and tokens. Input excludes cached tokens; errors are failed requests."""
    from aigw import clock
    from aigw.cli.text import prepare_stdout
    from aigw.settings import database_path
    from aigw.store.reader import reading
    from aigw.store.usage import usage as sums

    if json and csv:
        raise ConfigError("--json and --csv exclude each other")
    dimensions = _dimensions(by)
    zone = _zone(timezone)
    now = clock.now()
    begin = _moment("--since", since, now, zone)
    end = None if until is None else _moment("--until", until, now, zone)
    with reading(database_path(db, os.environ)) as connection:
        groups = sums(connection, dimensions, begin, end, zone)
    prepare_stdout()
    if json:
        _print_json(dimensions, groups, begin, end)
    elif csv:
        _print_csv(dimensions, groups)
    else:
        _print_table(dimensions, groups, _span_text(begin, end, zone))


def _dimensions(by: list[str] | None) -> Sequence[str]:
    from aigw.store.usage import DIMENSIONS

    if not by:
        return DEFAULT_BY
    for name in by:
        if name not in DIMENSIONS:
            raise ConfigError(f"--by {name!r} is not known: use one of {', '.join(DIMENSIONS)}")
    return list(dict.fromkeys(by))


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    from datetime import UTC
    from zoneinfo import ZoneInfo

    if name.upper() in {"UTC", "Z"}:
        # Windows has no database of time zones; this one needs none.
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ConfigError(
            f"--timezone {name!r} is not known: use a name such as UTC or Europe/Berlin"
        ) from None


def _moment(flag: str, text: str, now: int, zone: tzinfo | None) -> int:
    from aigw.cli.times import parse_when

    try:
        return parse_when(text, now, zone)
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from error


def _span_text(begin: int, end: int | None, zone: tzinfo | None) -> str:
    from datetime import datetime

    def shown(moment: int) -> str:
        local = datetime.fromtimestamp(moment // 1_000_000, zone).astimezone(zone)
        return f"{local:%Y-%m-%d %H:%M %Z}"

    return f"since {shown(begin)}" + ("" if end is None else f", until {shown(end)}")


def _figures(sums: Sums) -> dict[str, int]:
    from aigw.store.usage import FIGURES

    return {name: getattr(sums, name) for name in FIGURES}


def _print_json(
    dimensions: Sequence[str], groups: dict[Key, Sums], begin: int, end: int | None
) -> None:
    from aigw.cli.text import print_json
    from aigw.records import rfc3339
    from aigw.store.usage import total

    rows: list[dict[str, Any]] = [
        {**dict(zip(dimensions, key, strict=True)), **_figures(sums)}
        for key, sums in groups.items()
    ]
    print_json(
        {
            "since": rfc3339(begin),
            "until": None if end is None else rfc3339(end),
            "by": list(dimensions),
            "groups": rows,
            "total": _figures(total(list(groups.values()))),
        }
    )


def _print_csv(dimensions: Sequence[str], groups: dict[Key, Sums]) -> None:
    import csv

    from aigw.cli.text import visible
    from aigw.store.usage import FIGURES

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*dimensions, *FIGURES])
    for key, sums in groups.items():
        names = [_no_formula(visible(name)) for name in key]
        writer.writerow([*names, *_figures(sums).values()])


def _no_formula(name: str) -> str:
    """Spreadsheets run a cell that begins so, and clients choose the names of models."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name


def _print_table(dimensions: Sequence[str], groups: dict[Key, Sums], span: str) -> None:
    # Drawn here and not with rich.table: importing that takes a third of the command's time.
    from shutil import get_terminal_size

    from aigw.cli.messages import paint

    rows = _rows(dimensions, groups)
    lines = _aligned(dimensions, rows, "{:,}".format)
    if sys.stdout.isatty() and max(map(_width, lines)) > get_terminal_size().columns:
        lines = _aligned(dimensions, rows, _short)
    sys.stdout.write(f"Usage {span}\n")
    emphasised = [True, *(is_sum for _, _, is_sum in rows)]
    for text, is_sum in zip(lines, emphasised, strict=True):
        sys.stdout.write(f"{paint(text, _BOLD, sys.stdout) if is_sum else text}\n")


def _rows(dimensions: Sequence[str], groups: dict[Key, Sums]) -> list[tuple[Key, Sums, bool]]:
    """The lines' names and figures, and which are sums of others: subtotals come first."""
    from aigw.cli.text import visible
    from aigw.store.usage import total

    rest = ("",) * (len(dimensions) - 1)
    subtotals = _subtotals(groups)
    rows: list[tuple[Key, Sums, bool]] = []
    previous = None
    for key, sums in groups.items():
        names = tuple(visible(name) or "(none)" for name in key)
        if rest and key[0] != previous:
            previous = key[0]
            rows.append(((names[0], *rest), subtotals[previous], True))
        rows.append((("", *names[1:]) if rest else names, sums, False))
    rows.append((("total", *rest), total(list(groups.values())), True))
    return rows


def _aligned(
    dimensions: Sequence[str], rows: list[tuple[Key, Sums, bool]], figure: Callable[[int], str]
) -> list[str]:
    table = [[*dimensions, *_HEADINGS]]
    table += [[*names, *map(figure, _figures(sums).values())] for names, sums, _ in rows]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    return ["  ".join(_cells(row, widths, len(dimensions))).rstrip() for row in table]


def _cells(row: Sequence[str], widths: Sequence[int], names: int) -> Iterator[str]:
    """Names to the left, figures to the right."""
    for position, (cell, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - _width(cell))
        yield cell + space if position < names else space + cell


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _subtotals(groups: dict[Key, Sums]) -> dict[str, Sums]:
    from aigw.store.usage import Sums

    found: dict[str, Sums] = {}
    for key, sums in groups.items():
        found.setdefault(key[0], Sums()).add(sums)
    return found


def _short(value: int) -> str:
    """Three digits and a unit: 748k, 22.5G."""
    amount = float(value)
    for unit in ("", "k", "M", "G"):
        if amount < 999.5:  # noqa: PLR2004 (what rounds to fewer than four digits)
            return f"{amount:.3g}{unit}"
        amount /= 1000
    return f"{amount:.1f}T"
