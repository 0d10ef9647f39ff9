"""The options by which commands narrow records down, declared once: `filters` makes sense of them."""

from __future__ import annotations

from typing import Annotated

import typer

Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="From then on: 2h, 7d, a date, or RFC 3339.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then: as for --since.")]
Provider = Annotated[str | None, typer.Option(help="A provider's type or configured name.")]
Model = Annotated[str | None, typer.Option(help="A model; * stands for any text.")]
Client = Annotated[str | None, typer.Option(help="A client; * stands for any text.")]
Initiator = Annotated[str | None, typer.Option(help="Who made the request.")]
Session = Annotated[
    str | None, typer.Option(metavar="ID", help="A session, the start of its id, or `last`.")
]
Interception = Annotated[
    str | None, typer.Option(metavar="ID", help="An interception, or the start of its id.")
]
Status = Annotated[
    str | None,
    typer.Option(help="Of interceptions that are completed, failed, aborted or running."),
]
Query = Annotated[
    str | None,
    typer.Option(
        "--query",
        "-q",
        metavar="TEXT",
        help='All these words, "a phrase" or begin*, in prompts, tools and thoughts.',
    ),
]
Database = Annotated[
    str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
]
