"""Which HAR dumps go: those too old, and then the oldest of what takes too much room together.

Only files of our own names two folders deep are ever counted or deleted.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from aigw.gateway.dump_folder import Folder, is_dump, is_unfinished

_log = logging.getLogger("aigw.dump")

UNFINISHED_SECONDS = 3600.0
"""After this long a half-written file belongs to a daemon that was killed: none takes an hour."""

_ROOM_LEFT = 0.9
"""Once there is too much, dumps go until this share of the limit is taken: with a full folder not
every new dump then has all the others looked through."""


class Kept(NamedTuple):
    """What is left: bytes together, and when the oldest was written (seconds since the epoch)."""

    size: int
    oldest: float | None


class _Dump(NamedTuple):
    modified: float
    name: str
    size: int
    folders: tuple[str, str]


def prune(root: Path, now: float, max_age: float, max_size: int) -> Kept:
    """Delete what is too old (`max_age` in seconds, 0: never) or too much (`max_size` in bytes).

    Raises:
        OSError: the folder cannot be read. What cannot be deleted is logged and counted as kept.
    """
    with Folder.root(root) as top:
        found: list[_Dump] = []
        going: list[_Dump] = []
        for dump in _dumps(top):
            limit = UNFINISHED_SECONDS if dump.name.startswith(".") else max_age
            (going if limit and dump.modified <= now - limit else found).append(dump)
        found.sort()
        size = sum(dump.size for dump in found)
        if size > max_size:
            count = 0
            while size > max_size * _ROOM_LEFT:
                size -= found[count].size
                count += 1
            going += found[:count]
            found = found[count:]
        size += _delete(top, going)
        return Kept(size, found[0].modified if found else None)


def _dumps(top: Folder) -> Iterator[_Dump]:
    for provider in _folders(top):
        with _quietly(top, provider) as first:
            for model in _folders(first):
                with _quietly(first, model) as second:
                    for entry in second.entries() if second else ():
                        if entry.is_file and (is_dump(entry.name) or is_unfinished(entry.name)):
                            yield _Dump(entry.modified, entry.name, entry.size, (provider, model))


def _folders(folder: Folder | None) -> list[str]:
    return [entry.name for entry in folder.entries() if entry.is_folder] if folder else []


@contextlib.contextmanager
def _quietly(parent: Folder | None, name: str) -> Iterator[Folder | None]:
    """A folder that can be opened; None for one that is gone, or is not ours to read."""
    try:
        folder = parent.folder(name) if parent else None
    except OSError:
        folder = None
    with folder or contextlib.nullcontext():
        yield folder


def _delete(top: Folder, dumps: list[_Dump]) -> int:
    """Delete dumps, and the folders that are empty then. Returns the bytes that would not go."""
    left = 0
    for (provider, model), group in groupby(
        sorted(dumps, key=lambda dump: dump.folders), key=lambda dump: dump.folders
    ):
        with (
            _quietly(top, provider) as first,
            _quietly(first, model) as second,
        ):
            failures = [dump for dump in group if not _remove(second, dump)]
            left += sum(dump.size for dump in failures)
            if first:
                # Only an empty one goes.
                with contextlib.suppress(OSError):
                    first.remove_folder(model)
        with contextlib.suppress(OSError):
            top.remove_folder(provider)
    return left


def _remove(folder: Folder | None, dump: _Dump) -> bool:
    if folder is None:
        # Its folder was swapped or removed meanwhile: it is no longer there.
        return True
    try:
        folder.remove(dump.name)
    except FileNotFoundError:
        return True
    except OSError as error:
        _log.warning("the HAR dump %s cannot be deleted: %s", dump.name, error.strerror)
        return False
    return True
