"""`aigw prune`: delete what is older than the retention, also while the daemon runs."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from aigw.store.retention import PruneResult

BUSY_SECONDS = 30.0
"""How long one step waits for the daemon's commits, which take milliseconds each."""


def prune(
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Keep this long: 90d, 2w, 36h. Default as configured; 0 keeps all.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be deleted.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> int | None:
    """Delete records older than the retention and give their space back to the system.

    Asks first when used on a terminal. The daemon goes on recording meanwhile.
    """
    from aigw import clock
    from aigw.settings import database_path
    from aigw.store.reader import open_reader

    keep = _retention(retention)
    path = database_path(db, os.environ)
    # Checks the file as every reader does: nothing is created, no other version touched.
    open_reader(path).close()
    if keep == timedelta(0):
        _report(None, keep, cutoff=0, dry_run=dry_run, json=json)
        return None
    cutoff = clock.now() - keep // timedelta(microseconds=1)
    if not dry_run and not yes and not _confirmed(path, cutoff, keep):
        sys.stderr.write("nothing was deleted\n")
        return 1
    result = _run(path, cutoff, dry_run=dry_run)
    _report(result, keep, cutoff=cutoff, dry_run=dry_run, json=json)
    return None


def _retention(text: str | None) -> timedelta:
    if text is None:
        from aigw.settings import resolve_one

        configured: timedelta = resolve_one("retention", None, os.environ)
        return configured
    from aigw.durations import parse_duration

    try:
        keep = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--retention: {error}") from error
    if keep < timedelta(0):
        raise ConfigError("--retention must not be negative; 0 keeps everything")
    return keep


def _confirmed(path: Path, cutoff: int, keep: timedelta) -> bool:
    if not sys.stdin.isatty():
        return True
    from aigw.durations import format_duration

    found = _run(path, cutoff, dry_run=True)
    count = found.rows["interceptions"]
    if count == 0:
        return True
    sys.stderr.write(
        f"Delete {count:,} interceptions older than {format_duration(keep)} from {path}? [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _run(path: Path, cutoff: int, *, dry_run: bool) -> PruneResult:
    from aigw.store import retention
    from aigw.store.reader import open_reader, translated

    with translated(path):
        if dry_run:
            with closing(open_reader(path)) as reader:
                return retention.prune(reader, cutoff, dry_run=True)
        # mode=rw and not rwc: a database that has gone meanwhile is not made anew.
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(connection):
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = NORMAL")
            return retention.prune(connection, cutoff)


def _report(
    result: PruneResult | None, keep: timedelta, *, cutoff: int, dry_run: bool, json: bool
) -> None:
    from aigw.cli.text import print_json, size_text
    from aigw.durations import format_duration
    from aigw.records import rfc3339
    from aigw.store.retention import PruneResult

    found = result or PruneResult()
    if json:
        print_json(
            {
                "dry_run": dry_run,
                "retention": format_duration(keep),
                "before": None if result is None else rfc3339(cutoff),
                "rows": found.rows,
                "bytes_freed": found.bytes_freed,
            }
        )
        return
    if result is None:
        sys.stdout.write("The retention is 0: records are kept for ever, nothing is deleted.\n")
        return
    verb = "would be deleted" if dry_run else "deleted"
    sys.stdout.write(f"Older than {format_duration(keep)}, before {rfc3339(cutoff)}:\n")
    for table, count in found.rows.items():
        sys.stdout.write(f"{count:>12,} {table} {verb}\n")
    about = "about " if dry_run else ""
    freed = "would be freed" if dry_run else "freed"
    sys.stdout.write(f"{about}{size_text(found.bytes_freed)} {freed}\n")
