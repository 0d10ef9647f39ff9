"""`aigw statusline` as typer sees it: for help, completion, and words that are wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from aigw.cli.statusline import DEFAULT_FORMAT, PLACEHOLDERS, run

_FORMAT_HELP = "Text with " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS) + "."


def statusline(
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A session; default the client's on stdin, or the latest."),
    ] = None,
    template: Annotated[
        str,
        typer.Option("--format", metavar="TEXT", help=_FORMAT_HELP, show_default=False),
    ] = DEFAULT_FORMAT,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> int:
    """Print one line for a status bar or prompt: model, context, cost of the session and of today.

    Reads the JSON that Claude Code gives a statusLine command on stdin. Ends with 0 whatever the
    store is like.
    """
    return run(session=session, template=template, as_json=json, db=db)
