"""The gateway keys as a running daemon knows them: in memory, and never much behind the store.

A key is looked up on every request, so the keys are read once and kept. Whether they have changed
is a look at one number, some ten microseconds, and done when it is due and somebody asks: at most
every `CHECK_SECONDS`, and at once where the answer would be no, so a new key works from the start.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from aigw import clock
from aigw.errors import StoreError
from aigw.store.keys import GatewayKey, KeyState, keys_version, parse_token, read_keys
from aigw.store.reader import open_reader, snapshot

_log = logging.getLogger("aigw.keys")

CHECK_SECONDS = 0.1
"""How long a revoked key may go on working. Long before who revoked it looks whether it does; ten
looks a second cost a ten-thousandth of a core."""

REFUSED_CHECK_SECONDS = 0.01
"""Between two looks for the sake of keys that are not known, on average. Whoever sends wrong keys as
fast as possible then costs the store a hundred looks a second and no more."""

REFUSED_CHECKS = 20
"""Such looks that may follow each other at once: somebody's one wrong key must not keep the store
from being asked for another's new one."""

STARTING_PATIENCE = 5.0
"""Seconds that the first read may wait for a lock. Later ones, on the event loop, wait for none."""


class Reason(StrEnum):
    """Why a token is not accepted."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Refusal(NamedTuple):
    """A token that is not accepted: why, and since when (microseconds) where that is a moment."""

    reason: Reason
    since: int | None = None
    name: str = ""


class KeyRing:
    """All keys of a store. Create it, `open` it, then use it on one thread; `close` it at the end.

    Args:
        path: the database, which exists at the current schema.
        allow_open: whether no keys at all means that everybody may use the gateway: on a listener
            that other machines cannot reach.
        monotonic: the clock, in seconds, by which looks are due.
    """

    def __init__(
        self,
        path: Path,
        *,
        allow_open: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._allow_open = allow_open
        self._monotonic = monotonic
        self._connection: sqlite3.Connection | None = None
        self._keys: dict[str, GatewayKey] = {}
        self._version: int | None = None
        self._had_keys = False
        self._failing = False
        self._looked_at = 0.0
        self._refused_full_at = 0.0
        self._uses: dict[str, int] = {}

    def open(self) -> None:
        """Read the keys for the first time.

        Raises:
            StoreError: they cannot be read. Nothing is known then, not even that nobody needs one.
        """
        try:
            self._look(STARTING_PATIENCE)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self.close()
            raise StoreError(f"cannot read the gateway keys in {self._path}: {error}") from error

    def close(self) -> None:
        """Give the connection back. Nothing more is read until the next question."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def count(self) -> int:
        """How many keys there are, working or not."""
        self._refresh(CHECK_SECONDS)
        return len(self._keys)

    def count_working(self) -> int:
        """How many of them are neither revoked nor expired."""
        now = clock.now()
        return sum(key.state(now) is KeyState.ACTIVE for key in self._keys.values())

    @property
    def has_keys(self) -> bool:
        """Whether there is any key, working or not."""
        self._refresh(CHECK_SECONDS if self._keys else 0.0)
        return bool(self._keys)

    @property
    def is_open(self) -> bool:
        """Whether requests need no key. Once a key was there, this daemon stays closed."""
        if self._allow_open and not self._had_keys:
            self._refresh(0.0)
        return self._allow_open and not self._had_keys and self._version is not None

    def find(self, token: str) -> GatewayKey | Refusal:
        """The key whose token this is, or why it is refused. A key that is found counts as used."""
        parts = parse_token(token)
        if parts is None:
            return Refusal(Reason.MALFORMED)
        now = clock.now()
        self._refresh(CHECK_SECONDS)
        found = self._judge(parts.id, parts.secret, now)
        if isinstance(found, Refusal):
            # It may have been made, or given a new secret, a moment ago.
            if not self._refresh_for_refused():
                return found
            found = self._judge(parts.id, parts.secret, now)
            if isinstance(found, Refusal):
                return found
        self._uses[found.id] = now
        return found

    def take_uses(self) -> dict[str, int]:
        """When keys were last used, by id, since the last call. Put back what cannot be stored."""
        uses, self._uses = self._uses, {}
        return uses

    def put_back_uses(self, uses: dict[str, int]) -> None:
        """Uses that could not be stored: the next `take_uses` gives them again."""
        self._uses = uses | self._uses

    def _judge(self, key_id: str, secret: str, now: int) -> GatewayKey | Refusal:
        key = self._keys.get(key_id)
        # Only who has the secret is told more than that it will not do.
        if key is None or not key.has_secret(secret):
            return Refusal(Reason.UNKNOWN)
        match key.state(now):
            case KeyState.REVOKED:
                return Refusal(Reason.REVOKED, key.revoked_at, key.name)
            case KeyState.EXPIRED:
                return Refusal(Reason.EXPIRED, key.expires_at, key.name)
        return key

    def _refresh_for_refused(self) -> bool:
        """Look for changes for the sake of a key that is not known, unless just done for another."""
        now = self._monotonic()
        if self._keys:
            # The token bucket of ITU-T I.371: `_refused_full_at` is when it is full again.
            full_at = max(self._refused_full_at, now)
            if full_at - now > REFUSED_CHECK_SECONDS * REFUSED_CHECKS:
                return False
            self._refused_full_at = full_at + REFUSED_CHECK_SECONDS
        return self._refresh(0.0)

    def _refresh(self, age: float) -> bool:
        """Look for changes when the last look is `age` seconds old; whether it was."""
        if self._monotonic() - self._looked_at < age:
            return False
        try:
            self._look(0.0)
        except (sqlite3.Error, StoreError, msgspec.MsgspecError) as error:
            self.close()
            if not self._failing:
                self._failing = True
                _log.warning("cannot read the gateway keys, those known stay in force: %s", error)
            return False
        if self._failing:
            self._failing = False
            _log.info("the gateway keys can be read again")
        return True

    def _look(self, patience: float) -> None:
        self._looked_at = self._monotonic()
        if self._connection is None:
            self._connection = open_reader(self._path, patience=patience)
            self._connection.execute("PRAGMA busy_timeout = 0")
        connection = self._connection
        if keys_version(connection) == self._version:
            return
        with snapshot(connection):
            version = keys_version(connection)
            keys = read_keys(connection)
        # One that was made and deleted between two looks has ended open mode too.
        self._had_keys |= bool(keys) or self._version not in (None, version)
        self._keys = {key.id: key for key in keys}
        self._version = version
