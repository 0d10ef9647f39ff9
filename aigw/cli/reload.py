"""`aigw reload`: have the running gateway read its configuration again."""

from __future__ import annotations

import os
from typing import Annotated

import typer

RELOAD_SECONDS = 120.0
"""How long a reload may take: each secret given as `cmd:` has ten seconds, and another reload may
have to end first."""


def reload(
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> int:
    """Have the running gateway read its configuration again.

    Providers, keys, limits, retention and certificates come into use without dropping a request.
    When something is wrong, everything stays as it was. Exits with 1 then, and with 3 when no
    gateway runs.
    """
    from aigw.cli import messages
    from aigw.cli.daemon_client import ask
    from aigw.cli.text import prepare_stdout, print_json, visible
    from aigw.settings import database_path

    path = database_path(db, os.environ)
    outcome = ask(path, "/api/v2/aibridge/reload", "POST", timeout=RELOAD_SECONDS)
    problems = [visible(str(problem)) for problem in outcome.get("problems") or ()]
    needs_restart = [visible(str(name)) for name in outcome.get("needs_restart") or ()]
    prepare_stdout()
    if json:
        print_json(outcome)
    elif outcome.get("ok"):
        print("reloaded: the configuration is in use")
    for problem in problems:
        messages.error(problem)
    if not outcome.get("ok"):
        messages.error("the gateway goes on with the configuration it had")
    if needs_restart:
        messages.warn(f"changed, but needs a restart: {', '.join(needs_restart)}")
    return 0 if outcome.get("ok") else 1
