"""Making, ending and listing gateway keys: what `aigw keys` does to the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aigw.errors import StoreError
from aigw.secrets import Secret
from aigw.store.changes import changing
from aigw.store.keys import (
    KEY_COLUMNS,
    PREFIX,
    GatewayKey,
    KeyState,
    hash_secret,
    new_id,
    new_secret,
    parse_token,
    read_keys,
    token,
)
from aigw.store.reader import NoDatabase, reading

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What a key is made with. As in `GatewayKey`; the values have been checked."""

    name: str
    user: str
    expires_at: int | None = None
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    rate_limit: int | None = None
    max_concurrency: int | None = None
    is_admin: bool = False


class Issued(NamedTuple):
    """A key with its token, which is nowhere else. `is_first`: there was no key at all before."""

    key: GatewayKey
    token: Secret
    is_first: bool = False


class Deleted(NamedTuple):
    """A key that is gone, and how many are left."""

    key: GatewayKey
    left: int


def create_key(path: Path, new: NewKey, now: int) -> Issued:
    """Make a key. The database is made too where there is none.

    Raises:
        StoreError: the name is in use, or the database cannot be written.
    """
    with changing(path) as connection:
        keys = read_keys(connection)
        taken = next((key for key in keys if new.name in (key.name, key.id)), None)
        if taken is not None:
            more = f" ({taken.state(now)})" if taken.state(now) is not KeyState.ACTIVE else ""
            raise StoreError(
                f"there is a key {new.name!r} already{more}. Choose another name, or give that one "
                f"a new secret with `aigw keys rotate`."
            )
        key_id = new_id({name for key in keys for name in (key.id, key.name)})
        secret = new_secret()
        key = GatewayKey(
            id=key_id,
            name=new.name,
            user=new.user,
            secret_hash=hash_secret(secret),
            created_at=now,
            expires_at=new.expires_at,
            providers=new.providers,
            models=new.models,
            rate_limit=new.rate_limit,
            max_concurrency=new.max_concurrency,
            is_admin=new.is_admin,
        )
        connection.execute(_INSERT, _row(key))
        _raise_version(connection)
    return Issued(key, token(key.id, secret), is_first=not keys)


def list_keys(path: Path) -> list[GatewayKey]:
    """All keys, the oldest first; none where there is no database.

    Raises:
        StoreError: the database cannot be read.
    """
    try:
        with reading(path) as connection:
            return read_keys(connection)
    except NoDatabase:
        return []


def revoke_key(path: Path, wanted: str, now: int) -> GatewayKey:
    """End a key, named by its name, its id or the key itself. One that was revoked before stays as it is.

    Raises:
        StoreError: there is no such key, or the database cannot be written.
    """
    with changing(path) as connection:
        key = _find(connection, wanted)
        if key.revoked_at is None:
            key = replace(key, revoked_at=now)
            connection.execute("UPDATE gateway_keys SET revoked_at = ? WHERE id = ?", (now, key.id))
            _raise_version(connection)
    return key


def rotate_key(path: Path, wanted: str, now: int, expires_at: int | None = None) -> Issued:
    """Give a key a new secret: the old one ends at once, everything else stays.

    `expires_at` is when it expires from now on; None leaves that as it is.

    Raises:
        StoreError: there is no such key, it is revoked or has expired, or the database cannot be
            written.
    """
    with changing(path) as connection:
        key = _find(connection, wanted)
        if expires_at is not None:
            key = replace(key, expires_at=expires_at)
        state = key.state(now)
        if state is KeyState.REVOKED:
            raise StoreError(f"key {key.name!r} is revoked for good: create a new one.")
        if state is KeyState.EXPIRED:
            raise StoreError(
                f"key {key.name!r} has expired. Give --expires too, so that the new secret works."
            )
        secret = new_secret()
        key = replace(key, secret_hash=hash_secret(secret))
        connection.execute(
            "UPDATE gateway_keys SET secret_hash = ?, expires_at = ? WHERE id = ?",
            (key.secret_hash, key.expires_at, key.id),
        )
        _raise_version(connection)
    return Issued(key, token(key.id, secret))


def delete_key(path: Path, wanted: str) -> Deleted:
    """Forget a revoked key. What was recorded of its use stays, under its id.

    Raises:
        StoreError: there is no such key, it is not revoked, or the database cannot be written.
    """
    with changing(path) as connection:
        key = _find(connection, wanted)
        if key.revoked_at is None:
            raise StoreError(
                f"key {key.name!r} is not revoked: revoke it first, then nobody depends on it."
            )
        connection.execute("DELETE FROM gateway_keys WHERE id = ?", (key.id,))
        (left,) = connection.execute("SELECT count(*) FROM gateway_keys").fetchone()
        _raise_version(connection)
    return Deleted(key, left)


_INSERT = f"INSERT INTO gateway_keys ({KEY_COLUMNS}) VALUES ({','.join('?' * 13)})"  # noqa: S608 (our own names)


def _row(key: GatewayKey) -> tuple[Any, ...]:
    return (
        key.id, key.name, key.user, key.secret_hash, key.created_at, key.expires_at,
        key.last_used_at, key.revoked_at, _names(key.providers), _names(key.models),
        key.rate_limit, key.max_concurrency, key.is_admin,
    )  # fmt: skip


def _names(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()


def _raise_version(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('keys_version', 1)"
        " ON CONFLICT (key) DO UPDATE SET value = value + 1"
    )


def _find(connection: sqlite3.Connection, wanted: str) -> GatewayKey:
    # Whoever finds a whole key somewhere has its id with it; the message must not repeat the rest.
    parts = parse_token(wanted)
    shown = "of this id" if wanted.startswith(PREFIX) else repr(wanted)
    # No name is another key's id: see `create_key`.
    for key in read_keys(connection):
        if (wanted if parts is None else parts.id) in (key.name, key.id):
            return key
    raise StoreError(f"there is no key {shown}: `aigw keys list --all` shows them.")
