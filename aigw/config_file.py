"""The configuration file: where it is, and its keys with their lines.

TOML and YAML give the same result: dotted keys and plain values. A file is read strictly: a key
given twice is an error in both, and so is a key that no option has (with the nearest that one has).
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aigw.config_document import LISTS, PRICES_KEY, PROVIDERS_KEY, Document, is_table
from aigw.errors import ConfigError
from aigw.options import BY_KEY, OPTIONS, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_NAMES = ("config.toml", "config.yaml", "config.yml")
# A configuration has some kilobytes; this keeps a wrong path (a log, a disk image) from being read.
_LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value as the file has it, and its line (None: unknown)."""

    value: object
    line: int | None


@dataclass(frozen=True, slots=True)
class ListedTable:
    """One entry of a list of tables: `key` is `providers[0]`, `entries` are by setting."""

    key: str
    line: int | None
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read: its known keys, and a problem line for each key that is wrong."""

    path: Path
    entries: Mapping[str, Entry]
    problems: tuple[str, ...] = ()
    providers: tuple[ListedTable, ...] = ()
    prices: tuple[ListedTable, ...] = ()

    def place(self, key: str) -> str:
        """Where a key stands, for a message: `PATH:LINE: KEY`."""
        return _place(self.path, key, self.entries[key].line)

    def table_place(self, table: ListedTable, key: str = "") -> str:
        """Where an entry of a list, or one of its keys, stands: `PATH:LINE: providers[0].KEY`."""
        if key not in table.entries:
            return _place(self.path, table.key, table.line)
        return _place(self.path, f"{table.key}.{key}", table.entries[key].line)


def default_folder() -> Path:
    """Where the platform keeps a user's configuration of aigw."""
    from platformdirs import user_config_path  # noqa: PLC0415 - only when no file is named

    return user_config_path("aigw", appauthor=False)


def find_default() -> Path | None:
    """The file in the platform's configuration folder; None when there is none.

    Raises:
        ConfigError: there are two, and which one counts would be a guess.
    """
    found = [path for name in FILE_NAMES if (path := default_folder() / name).exists()]
    if len(found) > 1:
        names = " and ".join(str(path) for path in found)
        raise ConfigError(
            f"two configuration files: {names}. Remove one, or name one with --config"
        )
    return found[0] if found else None


def load(path: Path) -> ConfigFile:
    """Read a file. Wrong keys are in its `problems`.

    Raises:
        ConfigError: it cannot be read, or is not TOML or YAML at all.
    """
    text = _read_text(path)
    if path.suffix.lower() == ".toml":
        from aigw.config_toml import parse_toml  # noqa: PLC0415 - only for who writes TOML

        return _sorted_out(path, parse_toml(path, text))
    if path.suffix.lower() in (".yaml", ".yml"):
        from aigw.config_yaml import parse_yaml  # noqa: PLC0415 - only for who writes YAML

        return _sorted_out(path, parse_yaml(path, text))
    raise ConfigError(f"{path}: a configuration file ends in .toml, .yaml or .yml")


def is_open_to_others(path: Path) -> bool:
    """Whether other users of the machine may read the file. Always false on Windows (no mode)."""
    if os.name != "posix":
        return False
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False


def _read_text(path: Path) -> str:
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name the configuration file in it")
    if path.exists() and not path.is_file():
        # Reading a pipe may wait for ever, and a reload with it.
        raise ConfigError(f"{path}: is no regular file, which a configuration has to be")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{path}: is larger than 1 MiB, which no configuration is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not text in UTF-8") from None


_LISTED = re.compile(rf"(({'|'.join(LISTS)})\[\d+\])(?:\.(.*))?", re.DOTALL)


def _sorted_out(path: Path, document: Document) -> ConfigFile:
    """Known keys as entries, the others as problems."""
    entries: dict[str, Entry] = {}
    lists: dict[str, dict[str, ListedTable]] = {name: {} for name in LISTS}
    problems = list(document.problems)
    for key, value in document.leaves.items():
        line = document.lines.get(key)
        if key in BY_KEY:
            entries[key] = Entry(value, line)
        elif match := _LISTED.fullmatch(key):
            line = line or document.lines.get(match[1]) or document.lines.get(match[2])
            table = lists[match[2]].setdefault(match[1], ListedTable(match[1], line))
            if problem := _take_setting(table, match[3], Entry(value, line), LISTS[match[2]]):
                problems.append(f"{_place(path, key, line)}: {problem}")
        elif key in LISTS:
            problems.append(f"{_place(path, key, line)}: must be a list of tables")
        elif is_table(key):
            problems.append(f"{_place(path, key, line)}: must be a table of keys")
        else:
            problems.append(f"{_place(path, key, line)}: unknown key{_nearest_key(key)}")
    return ConfigFile(
        path,
        entries,
        tuple(problems),
        providers=tuple(lists[PROVIDERS_KEY].values()),
        prices=tuple(lists[PRICES_KEY].values()),
    )


def _take_setting(table: ListedTable, key: str | None, entry: Entry, known: frozenset[str]) -> str:
    """Put an entry's setting into its table; returns what is wrong with it, if anything."""
    if key is None:  # the entry itself, which comes before its keys
        return "" if entry.value is None else "must be a table of keys"
    if key not in known:
        return f"unknown key{nearest(key, known)}"
    table.entries[key] = entry
    return ""


def _nearest_key(key: str) -> str:
    """A hint for an unknown key: a near spelling, or the same name in its right table."""
    last = key.rpartition(".")[2]
    for option in OPTIONS:
        if option.key.rpartition(".")[2] == last:
            return f" (did you mean {option.key}?)"
    known = [*(o.key for o in OPTIONS if o.key), *LISTS]
    return nearest(key, known) or nearest(key, BY_KEY)


def _place(path: Path, key: str, line: int | None) -> str:
    return f"{path}:{line}: {key}" if line else f"{path}: {key}"
