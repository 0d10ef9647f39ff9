"""A file that is there whole or not at all.

It is written beside its place under another name, for its owner only, and takes its place in the
end. What goes wrong before that, an interruption or a full disk too, leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from aigw.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from types import TracebackType


class OutputFile:
    """A context: write to `stream`, or to the file `beside`; leaving without an error puts it in place.

    Raises (on entering and on leaving):
        ConfigError: the path names no file.
        StoreError: the place is taken, or cannot be written.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        if not path.name:
            raise ConfigError(f"{str(path)!r} names no file: give one")
        self.path = path
        self.beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self.stream: BinaryIO
        self._overwrite = overwrite

    def __enter__(self) -> Self:
        self._check_place()
        try:
            descriptor = os.open(
                self.beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
            )
        except OSError as error:
            raise StoreError(_reason(self.path, error)) from error
        self.stream = os.fdopen(descriptor, "wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del kind, traceback
        try:
            if error is None:
                self._finish()
            elif isinstance(error, OSError) and error.filename is None:
                raise StoreError(_reason(self.path, error)) from error
        finally:
            # The stream's own flush may fail once more where the disk is full: that is said already.
            with contextlib.suppress(OSError):
                self.stream.close()
            with contextlib.suppress(OSError):
                self.beside.unlink(missing_ok=True)

    def _check_place(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(_reason(self.path, error)) from error
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{self.path} is there and is no file: name another place.")
        if not self._overwrite:
            raise self._taken()

    def _taken(self) -> StoreError:
        return StoreError(f"{self.path} is there already: overwrite it with --force.")

    def _finish(self) -> None:
        try:
            self.stream.flush()
            os.fsync(self.stream.fileno())
            # Windows renames no open file.
            self.stream.close()
            self._take_place()
            _sync_folder(self.path.parent)
        except OSError as error:
            raise StoreError(_reason(self.path, error)) from error

    def _take_place(self) -> None:
        if self._overwrite:
            self.beside.replace(self.path)
            return
        try:
            # Unlike a rename, a link never replaces a file that has come there meanwhile.
            os.link(self.beside, self.path)
        except FileExistsError:
            raise self._taken() from None
        except OSError:
            # A file system without links.
            self._check_place()
            self.beside.replace(self.path)


def _sync_folder(folder: Path) -> None:
    """Have the new name survive a power failure; where folders cannot be synced, it is not needed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(path: Path, error: OSError) -> str:
    return f"cannot write {path}: {error.strerror or error}. Nothing was written."
