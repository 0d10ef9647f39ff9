"""A configuration file in YAML, as a `Document`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from aigw.config_document import LISTS, Document, is_table, twice
from aigw.errors import ConfigError
from aigw.options import BY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NULL = "tag:yaml.org,2002:null"


def parse_yaml(path: Path, text: str) -> Document:
    """Read YAML. Keys given twice are in the document's problems.

    Raises:
        ConfigError: it is none.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        walk = _Walk(path, loader)
        if root is not None and not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{path}: is not a table of keys")
        if root is not None:
            walk.visit(root, "")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(_problem(path, error)) from None
    finally:
        if loader is not None:
            loader.dispose()
    return walk.document


class _Walk:
    """Collects keys from YAML nodes: nodes still have the duplicates and lines that values lack."""

    def __init__(self, path: Path, loader: yaml.SafeLoader) -> None:
        self.document = Document()
        self._path = path
        self._loader = loader

    def visit(self, node: yaml.MappingNode, prefix: str) -> None:
        """Collect the keys of a table that holds options, and those below."""
        for key, value in self._pairs(node, prefix):
            if isinstance(value, yaml.MappingNode) and is_table(key):
                self.visit(value, f"{key}.")
            elif isinstance(value, yaml.ScalarNode) and not value.value and is_table(key):
                pass  # a heading whose keys are all commented out
            elif key in LISTS:
                self._visit_list(key, value)
            else:
                self._leaf(key, value, known=key in BY_KEY)

    def _visit_list(self, name: str, node: yaml.Node) -> None:
        leaves = self.document.leaves
        if not isinstance(node, yaml.SequenceNode):
            if node.tag != _NULL:
                leaves[name] = None
            return
        for index, entry in enumerate(node.value):
            place = f"{name}[{index}]"
            self.document.lines[place] = entry.start_mark.line + 1
            leaves[place] = None if isinstance(entry, yaml.MappingNode) else False
            if isinstance(entry, yaml.MappingNode):
                for key, value in self._pairs(entry, f"{place}."):
                    known = key.removeprefix(f"{place}.") in LISTS[name]
                    self._leaf(key, value, known=known)

    def _pairs(self, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, yaml.Node]]:
        """Keys and values of a table, those given twice as problems."""
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            key = f"{prefix}{key_node.value if isinstance(key_node.value, str) else '?'}"
            self.document.lines.setdefault(key, line)
            if key in seen:
                self.document.problems.append(twice(f"{self._path}:{line}", key, seen[key]))
            else:
                seen[key] = line
                yield key, value

    def _leaf(self, key: str, node: yaml.Node, *, known: bool) -> None:
        """Note a value. An unknown key is reported by its name alone: it may be nested without end."""
        if not known:
            self.document.leaves[key] = None
        elif node.tag != _NULL:
            if isinstance(node, yaml.MappingNode):
                for _ in self._pairs(node, f"{key}."):
                    pass  # for the keys given twice
            self.document.leaves[key] = self._loader.construct_object(node, deep=True)


def _problem(path: Path, error: Exception) -> str:
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
