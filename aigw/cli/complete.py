"""Values that shell completion takes from the store, and a few fixed ones.

A key press waits for these: they look at the newest rows only, wait for nothing, and on any
trouble offer nothing. Each takes the word so far and is fit for typer's `autocompletion`.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from aigw.errors import AigwError

# The newest rows hold what one is likely to ask for, in milliseconds whatever the store's size.
_RECENT = 5000
_MOST = 50
_BUSY_TIMEOUT_S = 0.1
_PROVIDERS = ("openai", "anthropic")


def complete_provider(incomplete: str) -> list[str]:
    """Provider names: those built in, and those in recent interceptions."""
    return _starting({*_PROVIDERS, *_recent("provider_name")}, incomplete)


def complete_configured_provider(incomplete: str) -> list[str]:
    """Names of the configured providers; no secret's command is run for it."""
    from aigw.settings import resolve

    try:
        providers = resolve({}, os.environ, run_commands=False).providers
    except (AigwError, OSError):
        return []
    return _starting({provider.name for provider in providers}, incomplete)


def complete_model(incomplete: str) -> list[str]:
    """Models asked for recently."""
    return _starting(_recent("model"), incomplete)


def complete_client(incomplete: str) -> list[str]:
    """Clients seen recently."""
    return _starting(_recent("client"), incomplete)


def complete_session(incomplete: str) -> list[str]:
    """Session ids seen recently."""
    return _starting(_recent("client_session_id"), incomplete)


def complete_initiator(incomplete: str) -> list[str]:
    """Initiators seen recently."""
    return _starting(_recent("initiator_id"), incomplete)


def complete_interception_id(incomplete: str) -> list[str]:
    """Interception ids that start so, the newest first."""
    # Ids are lower-case hexadecimal: "g" sorts after every continuation of the prefix.
    prefix = incomplete.lower()
    return _column(
        "SELECT id FROM interceptions WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?",
        (prefix, f"{prefix}g", _MOST),
    )


def complete_session_id(incomplete: str) -> list[str]:
    """Ids of sessions that start so; without a beginning those that were active last."""
    if not incomplete:
        latest = "SELECT id FROM sessions ORDER BY last_active_at DESC LIMIT ?"
        return ["last", *_column(latest, (_MOST,))]
    found = _column(
        "SELECT DISTINCT id FROM sessions WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (incomplete, f"{incomplete}\U0010ffff", _MOST),
    )
    return [*(["last"] if "last".startswith(incomplete) else []), *found]


def complete_key(incomplete: str) -> list[str]:
    """Names of gateway keys."""
    return _starting(set(_column("SELECT name FROM gateway_keys", ())), incomplete)


def complete_record_type(incomplete: str) -> list[str]:
    """The record types."""
    from aigw.records import RecordType

    return _starting({kind.value for kind in RecordType}, incomplete)


def complete_status(incomplete: str) -> list[str]:
    """How interceptions end."""
    from aigw.records import Status

    return _starting({status.value for status in Status}, incomplete)


def complete_scope(incomplete: str) -> list[str]:
    """What a budget may be for."""
    from aigw.pricing.budget import Scope

    return [scope.value for scope in Scope if scope.value.startswith(incomplete.lower())]


def complete_period(incomplete: str) -> list[str]:
    """How long a budget may last."""
    from aigw.pricing.budget import Period

    return [period.value for period in Period if period.value.startswith(incomplete.lower())]


def complete_group(incomplete: str) -> list[str]:
    """Groups that have members."""
    return _starting(set(_column("SELECT group_name FROM group_members", ())), incomplete)


def complete_user(incomplete: str) -> list[str]:
    """Users of gateway keys."""
    return _starting(set(_column("SELECT user FROM gateway_keys", ())), incomplete)


BY_PARAMETER = {
    "--provider": complete_provider,
    "--provider-name": complete_provider,
    "--model": complete_model,
    "model": complete_model,
    "--client": complete_client,
    "--session": complete_session,
    "--initiator": complete_initiator,
    "--interception": complete_interception_id,
    "--after-id": complete_interception_id,
    "--record-type": complete_record_type,
    "--status": complete_status,
    "session_id": complete_session_id,
    "--per": complete_period,
    "scope": complete_scope,
    "group": complete_group,
    "users": complete_user,
    "key": complete_key,
    "id": complete_interception_id,
    "interception_id": complete_interception_id,
}
"""By flag, or an argument's name: what completes a parameter of any command that says nothing else."""


def _recent(column: str) -> set[str]:
    query = (
        f"SELECT DISTINCT {column} FROM "  # noqa: S608 - a name from this module
        f"(SELECT {column} FROM interceptions ORDER BY seq DESC LIMIT ?)"
    )
    return set(_column(query, (_RECENT,)))


def _starting(values: set[str], incomplete: str) -> list[str]:
    prefix = incomplete.lower()
    return sorted(value for value in values if value.lower().startswith(prefix))[:_MOST]


def _column(query: str, parameters: tuple[object, ...]) -> list[str]:
    """The texts in a query's only column; none when the store cannot be read at once."""
    from aigw.settings import database_path

    try:
        path = database_path(None, os.environ)
        uri = f"{path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as connection:
            rows = connection.execute(query, parameters).fetchall()
    except (AigwError, sqlite3.Error, OSError, ValueError):
        return []
    return [row[0] for row in rows if row[0]]
