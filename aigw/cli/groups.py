"""`aigw groups`: who is in which group. Budgets of groups go by it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from aigw.errors import ConfigError

app = typer.Typer(
    help="Say who is in which group: for budgets.",
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

_Database = Annotated[
    str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
]
_Group = Annotated[str, typer.Argument(metavar="GROUP", help="A group's name.")]
_Users = Annotated[
    list[str], typer.Argument(metavar="USER...", help="Users, as gateway keys name them.")
]


@app.callback()
def _groups() -> None:
    """Say who is in which group: for budgets."""


@app.command()
def add(group: _Group, users: _Users, db: _Database = None) -> None:
    """Put users into a group, which is made with its first member."""
    from aigw.cli import messages
    from aigw.cli.budget_words import unknown
    from aigw.pricing.budget import Scope
    from aigw.pricing.budget_table import add_member
    from aigw.settings import database_path

    path = database_path(db, os.environ)
    for name in (group, *users):
        _check(name)
    for user in dict.fromkeys(users):
        if problem := unknown(path, Scope.USER, user):
            messages.warn(problem)
        is_new = add_member(path, group, user)
        sys.stderr.write(f"{user} {'is' if is_new else 'was already'} in the group {group}\n")


@app.command()
def remove(group: _Group, users: _Users, db: _Database = None) -> None:
    """Take users out of a group, which is gone with its last member."""
    from aigw.pricing.budget_table import remove_member
    from aigw.settings import database_path

    path = database_path(db, os.environ)
    for user in dict.fromkeys(users):
        remove_member(path, group, user)
        sys.stderr.write(f"{user} is no longer in the group {group}\n")


@app.command("list")
def list_all(
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object, a list of users for each group.")
    ] = False,
    db: _Database = None,
) -> None:
    """List the groups with their members."""
    from aigw.cli.budget_lines import print_aligned
    from aigw.cli.text import prepare_stdout, print_json, visible
    from aigw.pricing.budget_table import list_rules
    from aigw.settings import database_path

    members = list_rules(database_path(db, os.environ)).members
    prepare_stdout()
    if json:
        print_json({group: sorted(users) for group, users in members.items()})
    elif members:
        rows = [(visible(name), visible(", ".join(sorted(who)))) for name, who in members.items()]
        print_aligned([("group", "members"), *rows])
    else:
        sys.stderr.write("there are no groups: `aigw groups add GROUP USER` makes one\n")


def _check(name: str) -> None:
    from aigw.store.keys import LONGEST_USER

    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= LONGEST_USER:
        raise ConfigError(
            f"{name!r}: use 1 to {LONGEST_USER} visible characters, no space at either end"
        )
    if name == "*":
        raise ConfigError("'*' is no name: a budget of everyone needs no group")
