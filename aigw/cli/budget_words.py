"""The arguments of `aigw budgets`: scopes, names, amounts and time zones, read and checked."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from aigw.errors import ConfigError, StoreError
from aigw.pricing.budget import EACH, LARGEST_MICROS, LARGEST_TOKENS, MICROS, Scope, Unit

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_NAME = 256
"""Characters of a group, user, client or session: as long as a recorded session id may be."""

_SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def scope_of(text: str) -> Scope:
    """The scope that a word means; plurals too."""
    word = text.lower()
    for scope in Scope:
        if word in (scope.value, f"{scope.value}s"):
            return scope
    raise ConfigError(f"{text!r} is not a scope: use everyone, group, user, key, client or session")


def amount(usd: str | None, tokens: str | None) -> tuple[Unit, int]:
    """The amount of a budget, from the one of two options that is given."""
    if (usd is None) == (tokens is None):
        raise ConfigError("give either --usd or --tokens: how much may be spent")
    if usd is not None:
        return Unit.MICROS, _micros(usd)
    return Unit.TOKENS, _tokens(tokens or "")


def _micros(text: str) -> int:
    try:
        exact = Decimal(text.strip().removeprefix("US").removeprefix("$").replace(",", "")) * MICROS
        # A comparison with NaN raises as well.
        is_right = exact == exact.to_integral_value() and 0 <= exact <= LARGEST_MICROS
    except ArithmeticError:
        is_right = False
        exact = Decimal(0)
    if not is_right:
        raise ConfigError(
            f"--usd {text!r} is not an amount of dollars: use 0 to 1,000,000, as in 5 or 12.50"
        )
    return int(exact)


def _tokens(text: str) -> int:
    found = re.fullmatch(
        r"(\d+(?:\.\d+)?)([kmgb]?)", text.strip().replace(",", "").lower(), re.ASCII
    )
    exact = Decimal(found[1]) * _SCALES[found[2]] if found else Decimal("0.5")
    if exact != exact.to_integral_value() or exact > LARGEST_TOKENS:
        raise ConfigError(f"--tokens {text!r} is not a number of tokens: use 50000, 500k or 2M")
    return int(exact)


def time_zone(name: str) -> str:
    """A time zone that exists."""
    from aigw.pricing.budget_period import zone_of

    try:
        zone_of(name)
    except ValueError as error:
        raise ConfigError(f"--timezone {error}") from None
    return "UTC" if name.upper() in {"UTC", "Z"} else name


def subject_of(path: Path, scope: Scope, name: str | None, *, is_new: bool = True) -> str:
    """The subject as stored: a key's id, a client's name as recorded, else the name itself."""
    if scope is Scope.EVERYONE:
        if name is not None:
            raise ConfigError("everyone takes no NAME; for one of them use `user NAME`")
        return EACH
    if name is None:
        more = "" if scope is Scope.GROUP else f", or '*' for each {scope} by itself"
        raise ConfigError(f"{scope} needs a NAME{more}")
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= LONGEST_NAME:
        raise ConfigError(
            f"NAME {name!r}: use 1 to {LONGEST_NAME} visible characters, no space at either end"
        )
    if name == EACH:
        if scope is Scope.GROUP:
            raise ConfigError("group needs the NAME of one group; for all users use `everyone`")
        return name
    if scope is Scope.KEY:
        return _key_id(path, name, is_new=is_new)
    return _client(name) if scope is Scope.CLIENT else name


def _key_id(path: Path, wanted: str, *, is_new: bool) -> str:
    from aigw.store.key_changes import list_keys
    from aigw.store.keys import PREFIX, parse_token

    parts = parse_token(wanted)
    name = wanted if parts is None else parts.id
    for key in list_keys(path):
        if name in (key.name, key.id):
            return key.id
    if not is_new and parts is None:
        # A key that is deleted leaves its budget behind, under its id.
        return name
    shown = "of this id" if wanted.startswith(PREFIX) else repr(wanted)
    raise StoreError(f"there is no key {shown}: `aigw keys list --all` shows them.")


def _client(name: str) -> str:
    """Clients are recorded under the names of a table; upper and lower case are forgiven."""
    from aigw.clients.detection import RULES

    return next((rule.name for rule in RULES if rule.name.lower() == name.lower()), name)


def unknown(path: Path, scope: Scope, subject: str) -> str:
    """What to say of a name that nothing is known of yet; empty where there is nothing to say."""
    if subject == EACH:
        return ""
    match scope:
        case Scope.CLIENT:
            return _unknown_client(subject)
        case Scope.GROUP if not _members(path, subject):
            return (
                f"the group {subject!r} has no members yet: `aigw groups add GROUP USER` adds one"
            )
        case Scope.USER if not _is_user(path, subject):
            return f"no key is of the user {subject!r}, and nothing is recorded of them yet"
        case Scope.SESSION if not _is_recorded(path, "sessions", "id", subject):
            return f"the session {subject!r} is not recorded yet"
    return ""


def _unknown_client(name: str) -> str:
    from aigw.clients.detection import RULES, UNKNOWN
    from aigw.options import nearest

    names = {rule.name for rule in RULES} | {UNKNOWN}
    return "" if name in names else f"no client is recorded as {name!r}{nearest(name, names)}"


def _members(path: Path, group: str) -> frozenset[str]:
    from aigw.pricing.budget_table import list_rules

    return list_rules(path).members.get(group, frozenset())


def _is_user(path: Path, user: str) -> bool:
    return user in _users(path) or _is_recorded(path, "usage_quarters", "initiator_id", user)


def _users(path: Path) -> set[str]:
    from aigw.store.key_changes import list_keys

    return {key.user for key in list_keys(path)} | {"local"}


def _is_recorded(path: Path, table: str, column: str, value: str) -> bool:
    from aigw.store.reader import NoDatabase, reading

    try:
        with reading(path) as connection:
            query = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} = ?)"  # noqa: S608 (our own names)
            return bool(connection.execute(query, (value,)).fetchone()[0])
    except NoDatabase:
        return False
