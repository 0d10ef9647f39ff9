"""The folder of HAR dumps: names that cannot lead out of it, and work in it that no symlink diverts.

    <dir>/<provider>/<model>/<unix ms>-<interception id>.har
    <dir>/<provider>/passthrough/<unix ms>-<path>-<4 hex digits>.har

Below the folder everything is reached from an open descriptor and never through a symlink, so that
whoever puts one there gets nothing written or deleted elsewhere. (Windows has no such calls: there
a link is looked for first.)
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

NAME_LENGTH = 100
"""Characters of a name that a client chose. File systems allow 255 bytes with all that we add; some
that encrypt names 143."""

PASSTHROUGH = "passthrough"

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._+@=-]+")
# Source: https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(r"(con|prn|aux|nul|conin|conout|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_OURS = re.compile(r"\d{13,}-[A-Za-z0-9._+@=-]+\.har", re.ASCII)
_OURS_UNFINISHED = re.compile(r"\.\d{13,}-[A-Za-z0-9._+@=-]+\.har\.part", re.ASCII)

_BY_DESCRIPTOR = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
_OPEN_FOLDER = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_NEW_FILE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class Place(NamedTuple):
    """Where a dump goes: two folders, and a name to which a suffix may be added."""

    provider: str
    model: str
    stem: str
    is_unique: bool


def place(provider: str, model: str, interception_id: str | None, path: str, ms: int) -> Place:
    """The place of a dump that began `ms` milliseconds after the epoch.

    A query is no part of a name: it may hold a key.
    """
    first = safe_name(provider)
    if interception_id is not None:
        stem = f"{ms:013d}-{safe_name(interception_id)}"
        return Place(first, safe_name(model), stem, is_unique=True)
    bare = re.split(r"[?#]", path, maxsplit=1)[0].strip("/")
    return Place(first, PASSTHROUGH, f"{ms:013d}-{safe_name(bare)}", is_unique=False)


def safe_name(text: str) -> str:
    """A name for a file or folder on any system, made of a text that a stranger chose."""
    name = _NOT_ALLOWED.sub("-", text[: NAME_LENGTH * 4]).lstrip(".-")[:NAME_LENGTH].rstrip(".-")
    if not name:
        return "unnamed"
    return f"_{name}" if _RESERVED.fullmatch(name) else name


def is_dump(name: str) -> bool:
    """Whether a file has the name of a finished dump."""
    return _OURS.fullmatch(name) is not None


def is_unfinished(name: str) -> bool:
    """Whether a file has the name of a dump that is being written, or whose writer was killed."""
    return _OURS_UNFINISHED.fullmatch(name) is not None


class Entry(NamedTuple):
    """One thing in a folder. Symlinks are neither files nor folders. `modified` is in seconds."""

    name: str
    is_file: bool
    is_folder: bool
    size: int
    modified: float


class Folder:
    """An open folder; a context manager. All methods raise OSError as the calls beneath do."""

    def __init__(self, path: str, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def root(cls, path: Path) -> Folder:
        """Open the dump folder, which is made if it is missing."""
        try:
            return cls._open(str(path), str(path), None)
        except FileNotFoundError:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls._open(str(path), str(path), None)

    @classmethod
    def _open(cls, path: str, name: str, parent: int | None) -> Folder:
        if _BY_DESCRIPTOR:
            return cls(path, os.open(name, _OPEN_FOLDER, dir_fd=parent))
        found = os.lstat(path)
        is_link = getattr(found, "st_reparse_tag", False)
        if is_link or not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(f"not a folder: {path}")
        return cls(path, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else os.path.join(self._path, name)

    def folder(self, name: str, *, make: bool = False) -> Folder:
        """Open a folder in this one; `make` it, for its owner only, if it is missing."""
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._at(name), 0o700, dir_fd=self._descriptor)
        return self._open(os.path.join(self._path, name), self._at(name), self._descriptor)

    def new_file(self, name: str) -> BinaryIO:
        """Make a file, for its owner only, that was not there before."""
        return os.fdopen(
            os.open(self._at(name), _NEW_FILE, 0o600, dir_fd=self._descriptor), "wb", buffering=0
        )

    def rename(self, old: str, new: str) -> None:
        """Give a file its other name."""
        here = self._descriptor
        os.rename(self._at(old), self._at(new), src_dir_fd=here, dst_dir_fd=here)

    def remove(self, name: str) -> None:
        """Delete a file, or a symlink itself."""
        os.unlink(self._at(name), dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        """Delete an empty folder."""
        os.rmdir(self._at(name), dir_fd=self._descriptor)

    def has(self, name: str) -> bool:
        """Whether there is anything of this name."""
        try:
            os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def entries(self) -> Iterator[Entry]:
        """What is in it. Things that go meanwhile are left out."""
        with os.scandir(self._path if self._descriptor is None else self._descriptor) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):
                    yield _entry(entry)


def _entry(entry: os.DirEntry[str]) -> Entry:
    if entry.is_dir(follow_symlinks=False):
        return Entry(entry.name, False, True, 0, 0.0)
    about = entry.stat(follow_symlinks=False)
    is_file = stat.S_ISREG(about.st_mode)
    return Entry(entry.name, is_file, False, about.st_size, about.st_mtime)


def write_dump(root: Path, where: Place, content: bytes) -> None:
    """Write a dump whole or not at all.

    Raises:
        OSError: it could not be written; nothing of it is left.
    """
    with (
        Folder.root(root) as top,
        top.folder(where.provider, make=True) as provider,
        provider.folder(where.model, make=True) as folder,
    ):
        name = _free_name(folder, where)
        unfinished = f".{name}.part"
        with folder.new_file(unfinished) as file:
            try:
                _write_all(file, content)
                # Windows renames no open file.
                file.close()
                folder.rename(unfinished, name)
            except BaseException:
                file.close()
                with contextlib.suppress(OSError):
                    folder.remove(unfinished)
                raise


def _write_all(file: BinaryIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        # A disk that fills up takes a part, and says so with the next.
        view = view[file.write(view) :]


def _free_name(folder: Folder, where: Place) -> str:
    name = f"{where.stem}.har"
    if where.is_unique and not folder.has(name):
        return name
    while True:
        name = f"{where.stem}-{secrets.token_hex(2)}.har"
        if not folder.has(name):
            return name
