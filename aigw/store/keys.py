"""Gateway keys: who may use the gateway, and for what.

A key is `aigw_<id>_<secret>`. The id is public: it names the key in records, limits and messages.
The secret is shown once, when the key is made, and only its SHA-256 is stored: it has 256 random
bits, so there is nothing that a slow hash would protect from being guessed.

`key_changes` makes and ends keys. Each change raises `keys_version` in `meta`, in its own
transaction: a running daemon looks at that number (`key_ring`) and reads the keys anew.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aigw.patterns import matches
from aigw.secrets import Secret

if TYPE_CHECKING:
    import sqlite3

PREFIX = "aigw_"
"""What every gateway key begins with: so it is told from a provider's, and found by scanners."""

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH = 10
_SECRET_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"  # noqa: S105 (its letters)
_SECRET_LENGTH = 43
"""43 of 62 letters: 256 bits. Neither part has an underscore, and a double click selects it all."""

_TOKEN = re.compile(
    rf"{PREFIX}([{_ID_ALPHABET}]{{{_ID_LENGTH}}})_([A-Za-z0-9]{{{_SECRET_LENGTH}}})", re.ASCII
)
_IN_TEXT = re.compile(rf"{PREFIX}[{_ID_ALPHABET}]{{{_ID_LENGTH}}}_", re.ASCII)

LONGEST_NAME = 64
"""Characters of a key's name: it is a column of a table on a terminal."""

LONGEST_USER = 128
"""Characters of a key's user: an e-mail address fits (RFC 5321 allows a little more)."""


class KeyState(StrEnum):
    """Whether a key works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayKey:
    """A key as it is stored. Times are in microseconds; None where it never happens or happened.

    No `providers` or `models` means all of them. `models` are names in which `*` stands for any
    text. `rate_limit` is in requests a second. Limits are None where the gateway's own apply.
    """

    id: str
    name: str
    user: str
    secret_hash: bytes = field(repr=False)
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None
    revoked_at: int | None = None
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    rate_limit: int | None = None
    max_concurrency: int | None = None
    is_admin: bool = False

    def state(self, now: int) -> KeyState:
        """Whether it works at a moment (microseconds)."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        return KeyState.ACTIVE

    def allows_provider(self, name: str) -> bool:
        """Whether it may be used for a configured provider."""
        return not self.providers or name in self.providers

    def allows_model(self, model: str) -> bool:
        """Whether it may be used for a model, upper and lower case being the same."""
        return not self.models or any(matches(pattern, model) for pattern in self.models)

    def has_secret(self, secret: str) -> bool:
        """Whether this is its secret. Takes the same time whatever is wrong with it."""
        return hmac.compare_digest(self.secret_hash, hash_secret(secret))


class TokenParts(NamedTuple):
    """The parts of a token of the right form."""

    id: str
    secret: str


def parse_token(token: str) -> TokenParts | None:
    """The id and secret of a token; None when it has not a gateway key's form.

    >>> parse_token("sk-ant-0123")
    """
    found = _TOKEN.fullmatch(token)
    return None if found is None else TokenParts(found[1], found[2])


def holds_key(text: str) -> bool:
    """Whether a gateway key, whole or cut off, is anywhere in a text."""
    return PREFIX in text and _IN_TEXT.search(text) is not None


KEY_COLUMNS = (
    "id, name, user, secret_hash, created_at, expires_at, last_used_at, revoked_at, providers,"
    " models, rate_limit, max_concurrency, is_admin"
)
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


def new_id(taken: set[str]) -> str:
    """An id that is not among those taken."""
    while (made := _random(_ID_ALPHABET, _ID_LENGTH)) in taken:
        pass
    return made


def new_secret() -> str:
    """A new secret. It goes into a `token`, its hash into the store, and it into nothing else."""
    return _random(_SECRET_ALPHABET, _SECRET_LENGTH)


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def token(key_id: str, secret: str) -> Secret:
    """The whole key, as its user sends it."""
    return Secret(f"{PREFIX}{key_id}_{secret}")


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def keys_version(connection: sqlite3.Connection) -> int:
    """A number that grows with every change to the keys; 0 before the first."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'keys_version'").fetchone()
    return 0 if row is None else int(row[0])


def read_keys(connection: sqlite3.Connection) -> list[GatewayKey]:
    """All keys, the oldest first.

    Raises:
        sqlite3.Error: as SQLite says.
        msgspec.MsgspecError: a row was not written by aigw.
    """
    rows = connection.execute(f"SELECT {KEY_COLUMNS} FROM gateway_keys ORDER BY created_at, id")  # noqa: S608 (our own names)
    return [_key(row) for row in rows]


def _key(row: tuple[Any, ...]) -> GatewayKey:
    return GatewayKey(
        id=row[0],
        name=row[1],
        user=row[2],
        secret_hash=bytes(row[3]),
        created_at=row[4],
        expires_at=row[5],
        last_used_at=row[6],
        revoked_at=row[7],
        providers=_decode_names(row[8]),
        models=_decode_names(row[9]),
        rate_limit=row[10],
        max_concurrency=row[11],
        is_admin=bool(row[12]),
    )
