"""`aigw status`: does the daemon run, and how is it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigw.errors import NotRunningError

if TYPE_CHECKING:
    from pathlib import Path

    from aigw.store.lock import Runtime


def status(
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> int:
    """Tell whether the gateway runs, where, since when, and how big its store is.

    Exits with 3 when it does not run.
    """
    from aigw.cli.status_lines import status_lines
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.settings import database_path
    from aigw.store.lock import is_locked, read_runtime

    path = database_path(db, os.environ)
    facts = _store_facts(path)
    runtime = read_runtime(path)
    running = runtime is not None or is_locked(path)
    facts = {"running": running, **facts, **(_ask(runtime) if runtime else {})}
    prepare_stdout()
    if json:
        print_json(facts)
    else:
        for line in status_lines(facts):
            sys.stdout.write(f"{line}\n")
    return 0 if running else NotRunningError.exit_code


def _store_facts(path: Path) -> dict[str, Any]:
    """Of the store alone, whoever runs: sizes, and how much is in it."""
    from aigw.errors import StoreError
    from aigw.records import rfc3339
    from aigw.store.reader import reading

    facts: dict[str, Any] = {"database": str(path), "database_bytes": _size(path)}
    try:
        with reading(path) as connection:
            count, oldest = connection.execute(
                "SELECT (SELECT count(*) FROM interceptions), min(started_at) FROM interceptions"
            ).fetchone()
    except StoreError as error:
        return {**facts, "database_problem": str(error)}
    return {
        **facts,
        "interceptions": count,
        "oldest": None if oldest is None else rfc3339(oldest),
    }


def _size(path: Path) -> int:
    total = 0
    for part in (path, path.with_name(path.name + "-wal")):
        try:
            total += part.stat().st_size
        except OSError:
            continue
    return total


def _ask(runtime: Runtime) -> dict[str, Any]:
    """What the daemon says of itself, or that it does not answer."""
    from aigw.cli.daemon_client import ask_runtime
    from aigw.errors import DaemonError
    from aigw.records import rfc3339

    known = {
        "pid": runtime.pid,
        "address": runtime.address,
        "listening": runtime.listening or runtime.address,
        "version": runtime.version,
        "started_at": rfc3339(runtime.started_at),
        "metrics_address": runtime.metrics_address,
    }
    try:
        return {**known, **ask_runtime(runtime, "/api/v2/aibridge/status")}
    except DaemonError as error:
        return {**known, "problem": str(error)}
