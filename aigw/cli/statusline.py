"""`aigw statusline`: one line for a status bar or a prompt, within a few dozen milliseconds.

It is run every few seconds, or before each prompt, and whoever runs it shows what it prints. So it
starts without typer (`answer`), waits for nothing for long, and whatever is wrong with the store
becomes a short line and exit code 0.

Claude Code runs its `statusLine` command with a JSON object on stdin, of which `session_id`, `model`,
`cost.total_cost_usd` and `context_window` are read (https://code.claude.com/docs/en/statusline).
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from aigw.errors import AigwError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aigw.cli.status_figures import Figures

PATIENCE = 0.1
"""Seconds that a lock in the store is waited for."""

LONGEST = 1.0
"""Seconds after which reading is given up: a status bar that hangs is worse than one that is empty."""

DEFAULT_FORMAT = ""
"""Stands for the line as `status_figures.line` makes it: what is not known is left out."""

PLACEHOLDERS = (
    "model", "context", "session", "session_cost", "session_tokens", "session_requests",
    "today_cost", "burn",
)  # fmt: skip

_VALUES = {"--session": "session", "--format": "template", "--db": "db"}
_STEPS = 10_000


def answer(words: Sequence[str]) -> int | None:
    """Run the command from its words, for `main`; None where typer has to look at them.

    That is for help, and for words that are wrong.
    """
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if word == "--json":
            given["as_json"] = True
        elif flag in _VALUES:
            text = value if equals else next(rest, None)
            if text is None:
                return None
            given[_VALUES[flag]] = text
        else:
            return None
    return run(**given)


def run(
    *,
    session: str | None = None,
    template: str = DEFAULT_FORMAT,
    as_json: bool = False,
    db: str | None = None,
) -> int:
    """Print the line.

    Raises:
        ConfigError: the template has a placeholder that there is not.
    """
    from aigw.cli.client_status import ClientStatus
    from aigw.cli.database_place import database_place

    _check(template)
    client = ClientStatus.reading_stdin()
    try:
        figures = _figures(database_place(db, os.environ), session, client)
    except (AigwError, sqlite3.Error, OSError, ValueError, ArithmeticError, RuntimeError) as error:
        return _print_trouble(error, as_json=as_json)
    _print(figures, template, as_json=as_json)
    return 0


def _check(template: str) -> None:
    for name in re.findall(r"\{(\w*)\}", template):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise ConfigError(f"--format: {{{name}}} is not known: use {known}")


def _figures(path: Path, session: str | None, client: Any) -> Figures:
    import time
    from contextlib import closing

    from aigw.cli.status_figures import read
    from aigw.store.reader import open_reader

    deadline = time.monotonic() + LONGEST
    with closing(open_reader(path, patience=PATIENCE)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        return read(connection, session, client)


def _print(figures: Figures, template: str, *, as_json: bool) -> None:
    from aigw.cli import status_figures
    from aigw.cli.text import prepare_stdout

    prepare_stdout()
    if as_json:
        _write_json(status_figures.json_form(figures))
    elif template:
        values: Mapping[str, str] = status_figures.texts(figures)
        sys.stdout.write(re.sub(r"\{(\w+)\}", lambda m: values[m[1]], template) + "\n")
    else:
        sys.stdout.write(f"{status_figures.line(figures)}\n")


def _print_trouble(error: Exception, *, as_json: bool) -> int:
    from aigw.cli.text import prepare_stdout
    from aigw.store.reader import NoDatabase

    if isinstance(error, NoDatabase):
        text = "aigw: no records yet"
    elif isinstance(error, ConfigError):
        text = "aigw: wrong configuration, see aigw config show"
    else:
        text = "aigw: the records cannot be read now, see aigw status"
    prepare_stdout()
    if as_json:
        _write_json({"error": text})
    else:
        sys.stdout.write(f"{text}\n")
    return 0


def _write_json(value: dict[str, Any]) -> None:
    import json

    # ASCII always: nothing in it can act on a terminal.
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")
