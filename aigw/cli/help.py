"""Help drawn without rich: `aigw --help`, and that of commands which have the option table's flags.

The first must not wait for typer and rich to be imported. The second has more flags than rich's
columns can show uncut on 80 columns. Both look like the help that typer and rich draw elsewhere.
"""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from aigw.cli.commands import COMMANDS, DESCRIPTION, GLOBAL_OPTIONS, PANELS
from aigw.cli.messages import paint

if TYPE_CHECKING:
    from collections.abc import Sequence

_BOLD = "1"
_YELLOW = "33"
_CYAN = "1;36"
_DIM = "2"
_WIDEST = 100
_NARROWEST = 40
_INDENT = 4


class _Box(NamedTuple):
    """The characters of a frame."""

    left_top: str
    right_top: str
    left_bottom: str
    right_bottom: str
    dash: str
    side: str


# Rich's frame, and the one it falls back to where the terminal cannot show that.
_ROUND = _Box("╭", "╮", "╰", "╯", "─", "│")
_PLAIN = _Box("+", "+", "+", "+", "-", "|")


def top_help(stream: TextIO) -> str:
    """The text of `aigw --help` for this stream: its width, colours and characters."""
    page = _Page("aigw [OPTIONS] COMMAND [ARGS]...", DESCRIPTION, stream)
    page.columns("Options", GLOBAL_OPTIONS)
    for panel in PANELS:
        page.columns(panel, [(c.name, c.help) for c in COMMANDS if c.panel == panel])
    return page.text()


def command_help(context: Any, stream: TextIO) -> str:
    """The text of a command's help, its flags under the headings of their groups."""
    usage = f"{context.command_path} [OPTIONS]"
    page = _Page(usage, context.command.help or "", stream)
    panels: dict[str, list[tuple[str, str]]] = {"Options": []}
    for parameter in context.command.get_params(context):
        if getattr(parameter, "hidden", False):
            continue
        heading = getattr(parameter, "rich_help_panel", None) or "Options"
        value = getattr(parameter, "metavar", None) or ""
        gap = "" if value.startswith("[=") else " "
        label = f"{', '.join(parameter.opts)}{gap if value else ''}{value}"
        panels.setdefault(heading, []).append((label, getattr(parameter, "help", None) or ""))
    for heading, rows in panels.items():
        page.stacked(heading, rows)
    return page.text()


class _Page:
    """A help page that grows panel by panel."""

    def __init__(self, usage: str, description: str, stream: TextIO) -> None:
        self._stream = stream
        self._box = _box(stream)
        self._width = _width()
        self._lines = ["", f" {self._paint('Usage:', _YELLOW)} {self._paint(usage, _BOLD)}", ""]
        for paragraph in description.split("\n\n"):
            wrapped = textwrap.wrap(" ".join(paragraph.split()), self._width - 2)
            self._lines += [*(f" {line}" for line in wrapped), ""]

    def columns(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """A panel of names, with a text beside each."""
        column = max(len(name) for name, _ in rows) + 2
        self._top(title)
        for name, text in rows:
            label = name
            for piece in textwrap.wrap(text, self._width - 4 - column) or [""]:
                self._row(f"{label:<{column}}{piece}", len(label))
                label = ""
        self._bottom()

    def stacked(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """A panel of names, with a text below each."""
        self._top(title)
        for name, text in rows:
            self._row(name, len(name))
            for piece in textwrap.wrap(
                text, self._width - 4 - _INDENT, break_long_words=False, break_on_hyphens=False
            ):
                self._row(" " * _INDENT + piece, 0)
        self._bottom()

    def text(self) -> str:
        """The whole page."""
        return "\n".join(self._lines) + "\n"

    def _paint(self, text: str, code: str) -> str:
        return paint(text, code, self._stream)

    def _top(self, title: str) -> None:
        box = self._box
        rest = box.dash * (self._width - len(title) - 5)
        self._lines.append(
            self._paint(f"{box.left_top}{box.dash} {title} {rest}{box.right_top}", _DIM)
        )

    def _row(self, content: str, coloured: int) -> None:
        """A line in the frame. Its first `coloured` characters are a name."""
        edge = self._paint(self._box.side, _DIM)
        padded = f"{content:<{self._width - 4}}"
        name = self._paint(padded[:coloured], _CYAN) if coloured else ""
        self._lines.append(f"{edge} {name}{padded[coloured:]} {edge}")

    def _bottom(self) -> None:
        box = self._box
        line = f"{box.left_bottom}{box.dash * (self._width - 2)}{box.right_bottom}"
        self._lines.append(self._paint(line, _DIM))


def _box(stream: TextIO) -> _Box:
    try:
        "".join(_ROUND).encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN
    return _ROUND


def _width() -> int:
    """The terminal's width within reason; 80 where there is no terminal."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        width = int(columns)
    else:
        try:
            width = os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
        except (OSError, ValueError, AttributeError):
            width = 80
    return max(_NARROWEST, min(width or 80, _WIDEST))
