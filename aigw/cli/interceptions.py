"""`aigw interceptions list`: the flags and JSON of `coder aibridge interceptions list`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from aigw.store.interceptions import Page, PageQuery

app = typer.Typer(
    help="List interceptions as JSON.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def _interceptions() -> None:
    """List interceptions as JSON."""


@app.command("list")
def list_interceptions(
    initiator: Annotated[
        str | None, typer.Option(help="Who made the request; `me` for oneself.")
    ] = None,
    started_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="RFC 3339, or as for `aigw logs --since`.")
    ] = None,
    started_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="RFC 3339, or as for `aigw logs --since`.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="A provider's family: openai, anthropic or copilot.")
    ] = None,
    provider_name: Annotated[
        str | None, typer.Option(help="A provider's name in the configuration.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model.")] = None,
    client: Annotated[str | None, typer.Option(help="A client.")] = None,
    after_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The id that the page before ended with.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, 1 to 1000.")] = 100,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> None:
    """List interceptions, newest first, as a JSON array with all their records."""
    import asyncio

    from aigw.cli.database_place import database_place
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.store.interceptions import PageQuery

    _check_limit(limit)
    after = _moment("--started-after", started_after)
    before = _moment("--started-before", started_before)
    if after is not None and before is not None and before <= after:
        raise ConfigError("--started-before must be after --started-after")
    query = PageQuery(
        initiator=None if initiator == "me" else initiator,
        started_before=before,
        started_after=after,
        provider=provider,
        provider_name=provider_name,
        model=model,
        client=client,
        after_id=after_id,
        limit=limit,
        is_counted=False,
    )
    found = asyncio.run(_read(database_place(db, os.environ), query))
    prepare_stdout()
    print_json(found.results)
    if found.texts_cut_at is not None:
        sys.stderr.write(
            f"Texts are cut to {found.texts_cut_at:,} characters, as there is too much for one "
            "page: see fewer with --limit, or one with `aigw show`.\n"
        )


async def _read(path: Path, query: PageQuery) -> Page:
    from aigw.store.interceptions import page, reading_async

    async with reading_async(path) as reader:
        return await page(reader, query)


def _check_limit(limit: int) -> None:
    from aigw.api.query import LARGEST_LIMIT

    if not 1 <= limit <= LARGEST_LIMIT:
        raise ConfigError(f"--limit must be from 1 to {LARGEST_LIMIT}, not {limit}")


def _moment(flag: str, text: str | None) -> int | None:
    if text is None:
        return None
    from aigw import clock
    from aigw.cli.times import parse_when

    try:
        return parse_when(text, clock.now())
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from error
