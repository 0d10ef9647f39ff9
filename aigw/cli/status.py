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

ANSWER_SECONDS = 2.0
"""How long the daemon may take to answer: it does so within milliseconds unless it hangs."""

LONGEST_ANSWER = 1_000_000


def status(
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> int:
    """Tell whether the gateway runs, where, since when, and how big its store is.

    Exits with 3 when it does not run.
    """
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
        for line in _lines(facts):
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
    import json
    import urllib.request

    from aigw.records import rfc3339

    known = {
        "pid": runtime.pid,
        "address": runtime.address,
        "version": runtime.version,
        "started_at": rfc3339(runtime.started_at),
        "metrics_address": runtime.metrics_address,
    }
    # No proxy: the daemon is on this machine, whatever HTTP_PROXY says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        url = f"{runtime.address}/api/v2/aibridge/status"
        with opener.open(url, timeout=ANSWER_SECONDS) as answer:
            said = json.loads(answer.read(LONGEST_ANSWER))
    except (OSError, ValueError) as error:
        return {**known, "problem": f"the daemon does not answer: {error}"}
    return {**known, **said} if isinstance(said, dict) else known


def _lines(facts: dict[str, Any]) -> list[str]:
    from aigw.cli.text import size_text, visible

    if facts["running"]:
        where = f" at {facts['address']}" if "address" in facts else ", starting or stopping"
        lines = [f"running{where}"]
    else:
        lines = ["not running: start it with `aigw serve --aibridge-enabled`"]
    shown = {
        "process": facts.get("pid"),
        "version": facts.get("version"),
        "since": facts.get("started_at"),
        "metrics": facts.get("metrics_address"),
        "problem": facts.get("problem"),
        "in flight": facts.get("in_flight"),
        "providers": _providers(facts.get("providers")),
        "database": f"{facts['database']} ({size_text(facts['database_bytes'])})",
        "store": facts.get("database_problem"),
        "interceptions": f"{facts['interceptions']:,}" if "interceptions" in facts else None,
        "oldest": facts.get("oldest"),
        "retention": facts.get("retention"),
        "last error": _last_error(facts),
    }
    lines += [
        f"{name:<14} {visible(str(value))}" for name, value in shown.items() if value is not None
    ]
    return lines


def _providers(providers: Any) -> str | None:
    if not isinstance(providers, list):
        return None
    named = (p for p in providers if isinstance(p, dict))
    return ", ".join(f"{p.get('name')} (key: {p.get('key')})" for p in named) or "none"


def _last_error(facts: dict[str, Any]) -> str | None:
    if "last_error" not in facts:
        return None
    error = facts["last_error"]
    return f"{error['time']} {error['message']}" if isinstance(error, dict) else "none"
