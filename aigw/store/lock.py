"""One daemon per database: an OS lock beside the file, and a note of who holds it.

The lock is the operating system's (`flock`, or `msvcrt` on Windows), so it is gone when the
process is, however it ended. The note (`<db>.daemon.json`) says where the daemon listens; it is
only believed while the lock is held, since a killed daemon leaves its note behind.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import IO

import msgspec

from aigw.errors import StoreError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)


CONTROL_HEADER = "X-Aigw-Control"
"""Carries the control token of the note: who can read that file owns the daemon."""


class Runtime(msgspec.Struct, kw_only=True):
    """What a ready daemon says of itself. `started_at` is in microseconds since the epoch.

    Attributes:
        address: the listener as a URL that programs on this machine can use.
        listening: the same as it was configured: `http://0.0.0.0:4001` where any may connect.
        control_token: lets commands of the same user steer the daemon. It is nowhere but here.
        certificate: the one that the listener shows, in PEM; None without TLS. Who reads this note
            trusts it and no other, so that commands work with one that nobody else has signed.
    """

    pid: int
    address: str
    started_at: int
    version: str
    metrics_address: str | None = None
    listening: str = ""
    control_token: str = ""
    certificate: str | None = None

    def __repr__(self) -> str:
        return f"Runtime(pid={self.pid}, address={self.address!r}, version={self.version!r})"


def _lock_path(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def runtime_path(database: Path) -> Path:
    """Where the daemon on this database leaves its note."""
    return database.with_name(database.name + ".daemon.json")


class DaemonLock:
    """The right to be the daemon of a database. Held until `release` or the end of the process."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StoreError: another daemon holds it, or the file cannot be made.
        """
        try:
            # The first start on a machine: the database's folder is made when its lock is.
            self._database.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            descriptor = os.open(_lock_path(self._database), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot write in {self._database.parent}: {error.strerror}. "
                "Name another place with --db."
            ) from error
        file = os.fdopen(descriptor, "r+b")
        try:
            _lock_patiently(file)
        except OSError as error:
            file.close()
            runtime = _read_note(self._database)
            where = f" (process {runtime.pid}, {runtime.address})" if runtime else ""
            raise StoreError(
                f"another aigw daemon{where} already uses {self._database}. "
                "Stop it first, or name another database with --db."
            ) from error
        self._file = file

    def publish(self, runtime: Runtime) -> None:
        """Leave the note, whole or not at all, readable by its owner only."""
        target = runtime_path(self._database)
        temporary = target.with_name(target.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(runtime))
        temporary.replace(target)

    def release(self) -> None:
        """Remove the note and give the lock back. Harmless when not held."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            runtime_path(self._database).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            _unlock(self._file)
        self._file.close()
        self._file = None


def _lock_patiently(file: IO[bytes]) -> None:
    # `is_locked` holds the lock for an instant to test it; a starting daemon must not lose to that.
    for _ in range(5):
        with contextlib.suppress(OSError):
            _try_lock(file)
            return
        time.sleep(0.02)
    _try_lock(file)


def is_locked(database: Path) -> bool:
    """Whether a daemon holds the database at this moment."""
    try:
        file = _lock_path(database).open("r+b")
    except OSError:
        return False
    with file:
        try:
            _try_lock(file)
        except OSError:
            return True
        _unlock(file)
        return False


def read_runtime(database: Path) -> Runtime | None:
    """The note of the running daemon; None when none runs."""
    if not is_locked(database):
        return None
    return _read_note(database)


def _read_note(database: Path) -> Runtime | None:
    try:
        return msgspec.json.decode(runtime_path(database).read_bytes(), type=Runtime)
    except (OSError, msgspec.MsgspecError):
        return None
