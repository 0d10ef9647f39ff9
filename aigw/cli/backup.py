"""`aigw backup FILE`: a consistent copy of the database, also while the daemon serves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from aigw.errors import ConfigError


def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to put the copy.")],
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that is there already.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> None:
    """Copy the database, as it is at one moment, and check the copy.

    The daemon goes on recording meanwhile. To restore, stop the daemon and put the copy in the
    database's place.
    """
    from aigw.cli.progress import progress_bar
    from aigw.cli.text import prepare_stdout, print_json, size_text
    from aigw.export.output_file import OutputFile
    from aigw.settings import database_path
    from aigw.store.backup import check_copy, copy_database, refuse_target
    from aigw.store.reader import open_reader

    if file == "-":
        raise ConfigError("a database is no stream: name a file, as in `aigw backup ./copy.db`")
    database, target = database_path(db, os.environ), Path(file)
    open_reader(database).close()
    output = OutputFile(target, overwrite=force)
    refuse_target(database, target)
    with output:
        with progress_bar("Copying") as progress:
            interceptions = copy_database(database, output.beside, progress)
        with progress_bar("Checking") as progress:
            check_copy(output.beside)
        size = output.beside.stat().st_size
    prepare_stdout()
    if json:
        print_json({"file": str(target.absolute()), "bytes": size, "interceptions": interceptions})
    else:
        sys.stdout.write(f"{target}: {interceptions:,} interceptions, {size_text(size)}, intact\n")
