"""`aigw keys`: make, list, revoke, rotate and delete gateway keys."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_LIMIT = 1_000_000
"""Of a key's limits, as of the gateway's own."""

app = typer.Typer(
    help="Make, list and end gateway keys: who may use the gateway.",
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

_Database = Annotated[
    str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
]
_Key = Annotated[
    str, typer.Argument(metavar="NAME|ID", help="A key's name or id, or the key itself.")
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object, the key in `token`.")]


@app.callback()
def _keys() -> None:
    """Make, list and end gateway keys: who may use the gateway."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")],
    user: Annotated[
        str | None, typer.Option(help="Who uses it, as recorded. Default: NAME.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long it works: 90d, 12h.")
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Only for this provider; repeat for more.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only for models such as gpt-5*; repeat for more."),
    ] = None,
    rate_limit: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Most requests a second.")
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Most requests at a time.")
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="May read everybody's records through the API.")
    ] = False,
    json: _Json = False,
    db: _Database = None,
) -> None:
    """Make a key and print it, once and never again.

    It works at once, also in a running daemon. KEY=$(aigw keys create NAME) keeps it in a variable.
    """
    from aigw import clock
    from aigw.cli.key_lines import print_issued
    from aigw.settings import database_path
    from aigw.store.key_changes import NewKey, create_key

    now = clock.now()
    new = NewKey(
        name=_name(name),
        user=_user(user, name),
        expires_at=_expiry(expires, now),
        providers=_providers(provider or ()),
        models=_models(model or ()),
        rate_limit=_limit("--rate-limit", rate_limit),
        max_concurrency=_limit("--max-concurrency", max_concurrency),
        is_admin=admin,
    )
    path = database_path(db, os.environ)
    _warn_of_unknown(new.providers)
    issued = create_key(path, new, now)
    print_issued(issued, path, json=json)


def _warn_of_unknown(providers: tuple[str, ...]) -> None:
    """Say so where the configuration, as far as this command sees it, has no such provider."""
    from aigw.cli import messages
    from aigw.errors import ConfigError
    from aigw.settings import resolve

    if not providers:
        return
    try:
        known = {each.name for each in resolve({}, os.environ, run_commands=False).providers}
    except ConfigError:
        # Its faults are told by `aigw config check`; a key can be made all the same.
        return
    for name in providers:
        if name not in known:
            messages.warn(
                f"--provider {name}: the configuration has no such provider now; there are "
                f"{', '.join(sorted(known))}"
            )


@app.command("list")
def list_all(
    all_keys: Annotated[bool, typer.Option("--all", help="Revoked keys too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON array.")] = False,
    db: _Database = None,
) -> None:
    """List the keys: whose they are, what they may be used for, when they were last used."""
    from aigw import clock
    from aigw.cli.key_lines import key_object, print_table
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.settings import database_path
    from aigw.store.key_changes import list_keys

    found = list_keys(database_path(db, os.environ))
    shown = [key for key in found if all_keys or key.revoked_at is None]
    now = clock.now()
    prepare_stdout()
    if json:
        print_json([key_object(key, now) for key in shown])
        return
    if shown:
        print_table(shown, now)
    if not found:
        sys.stderr.write("there are no gateway keys: `aigw keys create NAME` makes one\n")
    elif len(shown) < len(found):
        sys.stderr.write(f"{len(found) - len(shown)} revoked, shown with --all\n")


@app.command()
def revoke(key: _Key, db: _Database = None) -> None:
    """End a key at once, also in a running daemon. What it was used for stays recorded."""
    from aigw import clock
    from aigw.cli.key_lines import day, described
    from aigw.settings import database_path
    from aigw.store.key_changes import revoke_key

    now = clock.now()
    found = revoke_key(database_path(db, os.environ), key, now)
    before = f" on {day(found.revoked_at)} already" if found.revoked_at != now else ""
    sys.stderr.write(f"{described(found)} was revoked{before}\n")


@app.command()
def rotate(
    key: _Key,
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How long it works from now on. Default: as before."),
    ] = None,
    json: _Json = False,
    db: _Database = None,
) -> None:
    """Give a key a new secret and print it, once and never again. The old one ends at once.

    Name, id, user and limits stay, and with the id what was recorded.
    """
    from aigw import clock
    from aigw.cli.key_lines import print_issued
    from aigw.settings import database_path
    from aigw.store.key_changes import rotate_key

    now = clock.now()
    path = database_path(db, os.environ)
    issued = rotate_key(path, key, now, _expiry(expires, now))
    print_issued(issued, path, json=json)


@app.command()
def delete(key: _Key, db: _Database = None) -> None:
    """Forget a revoked key. Its name is free again; what was recorded stays, under its id."""
    from aigw.cli.key_lines import described
    from aigw.settings import database_path
    from aigw.store.key_changes import delete_key

    gone = delete_key(database_path(db, os.environ), key)
    sys.stderr.write(f"{described(gone.key)} was deleted\n")
    if not gone.left:
        sys.stderr.write(
            "No key is left: a daemon that starts now lets every program on this machine in.\n"
        )


def _name(name: str) -> str:
    from aigw.store.keys import LONGEST_NAME, PREFIX

    if name.startswith(PREFIX):
        raise ConfigError(f"NAME begins with {PREFIX} as keys do: choose a name that is not a key")
    return _text("NAME", name, LONGEST_NAME)


def _text(what: str, text: str, longest: int) -> str:
    if not text.isprintable() or text != text.strip() or not 1 <= len(text) <= longest:
        raise ConfigError(
            f"{what} {text!r}: use 1 to {longest} visible characters, no space at either end"
        )
    return text


def _user(user: str | None, name: str) -> str:
    from aigw.store.keys import LONGEST_USER

    return name if user is None else _text("--user", user, LONGEST_USER)


def _expiry(text: str | None, now: int) -> int | None:
    if text is None:
        return None
    from datetime import timedelta

    from aigw.durations import parse_duration

    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--expires: {error}") from error
    if duration <= timedelta(0):
        raise ConfigError("--expires must be more than nothing; leave it out for a lasting key")
    return now + duration // timedelta(microseconds=1)


def _providers(names: Sequence[str]) -> tuple[str, ...]:
    import re

    for name in names:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise ConfigError(
                f"--provider {name!r}: a provider's name has lower-case letters, digits and hyphens"
            )
    return tuple(dict.fromkeys(names))


def _models(patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_text("--model", pattern, 256) for pattern in patterns))


def _limit(flag: str, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= LARGEST_LIMIT:
        raise ConfigError(f"{flag} must be from 1 to {LARGEST_LIMIT:,}, not {value}")
    return value
