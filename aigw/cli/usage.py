"""`aigw usage`: requests, tokens and cost, summed up."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from aigw.cli.usage_table import Layout
    from aigw.store.usage import Key, Sums

DEFAULT_SINCE = "30d"
DEFAULT_BY = ("day",)
_NEXT = ",\n"

By = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT",
        help="hour, day, week, month, provider, model, client, initiator, key, plan or session; "
        "repeat to nest. Default day.",
    ),
]
Since = Annotated[
    str, typer.Option(metavar="TIME", help="From then on: 2h, 7d, a date, or RFC 3339.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then: as for --since.")]
Timezone = Annotated[
    str | None,
    typer.Option(metavar="TZ", help="Whose days: UTC, Europe/Berlin. Default the system's."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Csv = Annotated[bool, typer.Option("--csv", help="Comma separated, with a head line.")]
Db = Annotated[
    str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
]


def usage(
    by: By = None,
    since: Since = DEFAULT_SINCE,
    until: Until = None,
    timezone: Timezone = None,
    json: Json = False,
    csv: Csv = False,
    db: Db = None,
) -> None:
    """Sum up requests, tokens and cost.

    Input excludes cached tokens; errors are failed requests. Cost is the list price when the
    response came; what a subscription covers is not in it but beside it.
    """
    from aigw.cli.usage_table import USAGE

    report(by or DEFAULT_BY, since, until, timezone, json=json, csv=csv, db=db, layout=USAGE)


def report(
    by: Sequence[str],
    since: str,
    until: str | None,
    timezone: str | None,
    *,
    json: bool,
    csv: bool,
    db: str | None,
    layout: Layout,
) -> None:
    """Print the sums as asked for.

    Raises:
        ConfigError: something asked for is not known.
        StoreError: the database cannot be read.
    """
    from aigw import clock
    from aigw.cli.database_place import database_place
    from aigw.cli.text import prepare_stdout
    from aigw.cli.usage_table import print_table
    from aigw.store.reader import reading
    from aigw.store.usage import usage as sums

    if json and csv:
        raise ConfigError("--json and --csv exclude each other")
    dimensions = _dimensions(by)
    zone = _zone(timezone)
    now = clock.now()
    begin = _moment("--since", since, now, zone)
    end = None if until is None else _moment("--until", until, now, zone)
    with reading(database_place(db, os.environ)) as connection:
        groups = sums(connection, dimensions, begin, end, zone)
    prepare_stdout()
    if json:
        _print_json(dimensions, groups, begin, end)
    elif csv:
        _print_csv(dimensions, groups)
    else:
        print_table(f"{layout.title} {_span_text(begin, end, zone)}", dimensions, groups, layout)


def _dimensions(by: Sequence[str]) -> Sequence[str]:
    from aigw.store.usage import DIMENSIONS

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


def _figures(sums: Sums) -> dict[str, int | str]:
    """Every figure; money as whole micro-dollars, and as decimal text that nothing is rounded in."""
    from aigw.cli.money import exact_dollars
    from aigw.store.usage import FIGURES

    return {
        **{name: getattr(sums, name) for name in FIGURES},
        "cost_usd": exact_dollars(sums.cost_micros),
        "plan_usd": exact_dollars(sums.plan_micros),
    }


def _print_json(
    dimensions: Sequence[str], groups: dict[Key, Sums], begin: int, end: int | None
) -> None:
    from aigw.cli.text import json_text
    from aigw.records import rfc3339
    from aigw.store.usage import total

    head = {
        "since": rfc3339(begin),
        "until": None if end is None else rfc3339(end),
        "by": list(dimensions),
    }
    rest = {"total": _figures(total(groups.values()))}
    # One object, group by group: the whole text of 50,000 sessions would be in memory three times,
    # and json takes its slow way where it indents.
    sys.stdout.write(f'{json_text(head, indent=2)[:-2]},\n  "groups": [')
    before = "\n"
    for key, sums in groups.items():
        members = [
            f'      "{name}": {json_text(value, indent=2) if name in dimensions else _scalar(value)}'
            for name, value in (*zip(dimensions, key, strict=True), *_figures(sums).items())
        ]
        sys.stdout.write(f"{before}    {{\n{_NEXT.join(members)}\n    }}")
        before = _NEXT
    sys.stdout.write("\n  ]," if groups else "],")
    sys.stdout.write(f"{json_text(rest, indent=2)[1:]}\n")


def _scalar(value: int | str) -> str:
    """A figure as JSON: its text is digits."""
    return f'"{value}"' if isinstance(value, str) else str(value)


def _print_csv(dimensions: Sequence[str], groups: dict[Key, Sums]) -> None:
    import csv

    from aigw.cli.csv_cells import cell
    from aigw.store.usage import Sums

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*dimensions, *_figures(Sums())])
    for key, sums in groups.items():
        names = [cell(name) for name in key]
        writer.writerow([*names, *_figures(sums).values()])
