"""A configuration file in TOML, as a `Document`."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Any

from aigw.config_document import LISTS, Document, is_table, twice
from aigw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def parse_toml(path: Path, text: str) -> Document:
    """Read TOML.

    Raises:
        ConfigError: it is none, or gives a key twice.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(*(_given_twice(path, text) or [_problem(path, error)])) from None
    document = Document(leaves=_leaves(table, ""))
    for key, line in _keys(text):
        document.lines.setdefault(key, line)
        document.lines.setdefault(key.removesuffix("[0]"), line)
    return document


def _problem(path: Path, error: Exception) -> str:
    what = str(error) or "it is nested too deep"
    at = re.search(r" \(at line (\d+), (column \d+)\)$", what)
    if at is None:
        return f"{path}: is not valid TOML: {what}"
    return f"{path}:{at[1]}: is not valid TOML: {what[: at.start()]} ({at[2]})"


def _leaves(table: dict[str, Any], prefix: str) -> dict[str, object]:
    """Dotted keys and values; a table is entered only where known keys lie below it."""
    leaves: dict[str, object] = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and is_table(key):
            leaves.update(_leaves(value, f"{key}."))
        elif key in LISTS and isinstance(value, list):
            leaves.update(_listed_leaves(key, value))
        else:
            leaves[key] = value
    return leaves


def _listed_leaves(name: str, entries: list[Any]) -> Iterator[tuple[str, object]]:
    for index, entry in enumerate(entries):
        key = f"{name}[{index}]"
        yield key, None if isinstance(entry, dict) else entry
        if isinstance(entry, dict):
            yield from ((f"{key}.{setting}", value) for setting, value in entry.items())


def _keys(text: str) -> Iterator[tuple[str, int]]:
    """Keys and tables with their lines. tomllib does not tell; this finds the usual spellings."""
    table = ""
    entries: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[([^\[\]]+)\]\]", line):
            name = _plain_key(header[1])
            table = f"{name}[{entries[name]}]."
            entries[name] += 1
            yield table[:-1], number
        elif header := re.match(r"\s*\[([^\[\]]+)\]", line):
            first, dot, rest = _plain_key(header[1]).partition(".")
            # `[providers.headers]` belongs to the last entry of the list.
            entry = f"[{entries[first] - 1}]" if entries[first] else ""
            table = f"{first}{entry}{dot}{rest}."
            yield table[:-1], number
        elif pair := re.match(r"\s*([\w\s.\"'-]+?)\s*=", line):
            yield table + _plain_key(pair[1]), number


def _given_twice(path: Path, text: str) -> list[str]:
    """A problem for each key given twice: tomllib refuses those without naming them."""
    first: dict[str, int] = {}
    return [
        twice(f"{path}:{line}", key, first[key])
        for key, line in _keys(text)
        if first.setdefault(key, line) != line
    ]


def _plain_key(text: str) -> str:
    return re.sub(r"[\s\"']", "", text)
