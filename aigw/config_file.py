"""The configuration file: where it is, and its keys with their lines.

TOML and YAML give the same result: dotted keys and plain values. A file is read strictly: a key
given twice is an error in both, and so is a key that no option has (with the nearest that one has).
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aigw.errors import ConfigError
from aigw.options import BY_KEY, OPTIONS, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import yaml

FILE_NAMES = ("config.toml", "config.yaml", "config.yml")
# A configuration has some kilobytes; this keeps a wrong path (a log, a disk image) from being read.
_LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value as the file has it, and its line (None: unknown)."""

    value: object
    line: int | None


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read: its known keys, and a problem line for each key that is wrong."""

    path: Path
    entries: Mapping[str, Entry]
    problems: tuple[str, ...] = ()

    def place(self, key: str) -> str:
        """Where a key stands, for a message: `PATH:LINE: KEY`."""
        return _place(self.path, key, self.entries[key].line)


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
        return _load_toml(path, text)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _load_yaml(path, text)
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


def _load_toml(path: Path, text: str) -> ConfigFile:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(*(_toml_twice(path, text) or [_toml_problem(path, error)])) from None
    lines: dict[str, int] = {}
    for key, line in _toml_keys(text):
        lines.setdefault(key, line)
    return _sorted_out(path, _toml_leaves(document, ""), lines)


def _toml_problem(path: Path, error: Exception) -> str:
    what = str(error) or "it is nested too deep"
    at = re.search(r" \(at line (\d+), (column \d+)\)$", what)
    if at is None:
        return f"{path}: is not valid TOML: {what}"
    return f"{path}:{at[1]}: is not valid TOML: {what[: at.start()]} ({at[2]})"


def _toml_leaves(table: dict[str, Any], prefix: str) -> dict[str, object]:
    """Dotted keys and values; a table is entered only where known keys lie below it."""
    leaves: dict[str, object] = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and is_table(key):
            leaves.update(_toml_leaves(value, f"{key}."))
        else:
            leaves[key] = value
    return leaves


def _toml_keys(text: str) -> Iterator[tuple[str, int]]:
    """Keys and tables with their lines. tomllib does not tell; this finds the usual spellings."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = _plain_key(header[1]) + "."
            yield table[:-1], number
        elif pair := re.match(r"\s*([\w\s.\"'-]+?)\s*=", line):
            yield table + _plain_key(pair[1]), number


def _toml_twice(path: Path, text: str) -> list[str]:
    """A problem for each key given twice: tomllib refuses those without naming them."""
    first: dict[str, int] = {}
    return [
        f"{path}:{line}: {key} is given twice, first in line {first[key]}"
        for key, line in _toml_keys(text)
        if first.setdefault(key, line) != line
    ]


def _plain_key(text: str) -> str:
    return re.sub(r"[\s\"']", "", text)


def _load_yaml(path: Path, text: str) -> ConfigFile:
    import yaml  # noqa: PLC0415 - only for who writes YAML

    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        walk = _YamlWalk(path, loader)
        if root is not None and not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{path}: is not a table of keys")
        if root is not None:
            walk.visit(root, "")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(_yaml_problem(path, error)) from None
    finally:
        if loader is not None:
            loader.dispose()
    checked = _sorted_out(path, walk.leaves, walk.lines)
    return ConfigFile(path, checked.entries, (*walk.problems, *checked.problems))


class _YamlWalk:
    """Collects keys from YAML nodes: nodes still have the duplicates and lines that values lack."""

    def __init__(self, path: Path, loader: yaml.SafeLoader) -> None:
        self.leaves: dict[str, object] = {}
        self.lines: dict[str, int] = {}
        self.problems: list[str] = []
        self._path = path
        self._loader = loader

    def visit(self, node: yaml.MappingNode, prefix: str) -> None:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = f"{prefix}{key_node.value if isinstance(key_node.value, str) else '?'}"
            self.lines.setdefault(key, line)
            if key in seen:
                self.problems.append(
                    f"{self._path}:{line}: {key} is given twice, first in line {seen[key]}"
                )
            elif value_node.id == "mapping" and is_table(key):
                self.visit(value_node, f"{key}.")
            elif value_node.id == "scalar" and not value_node.value and is_table(key):
                pass  # a heading whose keys are all commented out
            elif value_node.tag != "tag:yaml.org,2002:null":
                self.leaves[key] = self._value(key, value_node)
            elif key not in BY_KEY:
                self.leaves[key] = None
            seen.setdefault(key, line)

    def _value(self, key: str, node: yaml.Node) -> object:
        if key not in BY_KEY:  # reported by its name alone; its value may be nested without end
            return None
        return self._loader.construct_object(node, deep=True)


def _yaml_problem(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    what = (
        getattr(error, "problem", None)
        or getattr(error, "reason", None)
        or str(error).partition("\n")[0]
        or type(error).__name__
    )
    if mark is None:
        return f"{path}: is not valid YAML: {what}"
    return f"{path}:{mark.line + 1}: is not valid YAML: {what} (column {mark.column + 1})"


def _sorted_out(path: Path, leaves: dict[str, object], lines: dict[str, int]) -> ConfigFile:
    """Known keys as entries, the others as problems."""
    entries: dict[str, Entry] = {}
    problems = []
    for key, value in leaves.items():
        line = lines.get(key)
        if key in BY_KEY:
            entries[key] = Entry(value, line)
        elif is_table(key):
            problems.append(f"{_place(path, key, line)}: must be a table of keys")
        else:
            problems.append(f"{_place(path, key, line)}: unknown key{_nearest_key(key)}")
    return ConfigFile(path, entries, tuple(problems))


def _nearest_key(key: str) -> str:
    """A hint for an unknown key: a near spelling, or the same name in its right table."""
    last = key.rpartition(".")[2]
    for option in OPTIONS:
        if option.key.rpartition(".")[2] == last:
            return f" (did you mean {option.key}?)"
    return nearest(key, [o.key for o in OPTIONS if o.key]) or nearest(key, BY_KEY)


_TABLES = {
    ".".join(key.split(".")[:depth]) for key in BY_KEY for depth in range(1, key.count(".") + 1)
}


def is_table(key: str) -> bool:
    """Whether options have keys below this one."""
    return key in _TABLES


def _place(path: Path, key: str, line: int | None) -> str:
    return f"{path}:{line}: {key}" if line else f"{path}: {key}"
