"""`aigw --help`, drawn without typer and rich: importing those takes longer than the rest.

It looks like the help of the subcommands, which typer and rich draw.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable
from typing import TextIO

from aigw.cli.commands import COMMANDS, DESCRIPTION, GLOBAL_OPTIONS, PANELS
from aigw.cli.messages import paint

_BOLD = "1"
_YELLOW = "33"
_CYAN = "1;36"
_DIM = "2"
# Rich's corners, and those it falls back to where the terminal cannot show them.
_ROUND = "╭─╮│╰╯"
_PLAIN = "+-+|++"
_WIDEST = 100
_NARROWEST = 40


def top_help(stream: TextIO) -> str:
    """The text of `aigw --help` for this stream: its width, colours and characters."""
    usage = paint("Usage:", _YELLOW, stream)
    lines = ["", f" {usage} {paint('aigw [OPTIONS] COMMAND [ARGS]...', _BOLD, stream)}", ""]
    width = _width()
    lines += [f" {line}" for line in textwrap.wrap(DESCRIPTION, width - 2)]
    lines.append("")
    lines += _panel("Options", GLOBAL_OPTIONS, width, stream)
    for panel in PANELS:
        rows = [(c.name, c.help) for c in COMMANDS if c.panel == panel]
        lines += _panel(panel, rows, width, stream)
    return "\n".join(lines) + "\n"


def _panel(
    title: str, rows: Iterable[tuple[str, str]], width: int, stream: TextIO
) -> list[str]:
    corner, dash, right, side, bottom, end = _box(stream)
    rows = list(rows)
    column = max(len(name) for name, _ in rows) + 2
    inner = width - 4
    edge = paint(side, _DIM, stream)
    top = f"{corner}{dash} {title} {dash * (width - len(title) - 5)}{right}"
    lines = [paint(top, _DIM, stream)]
    for name, text in rows:
        label = name
        for piece in textwrap.wrap(text, inner - column) or [""]:
            padding = " " * (column - len(label))
            cell = f"{paint(label, _CYAN, stream) if label else ''}{padding}{piece:<{inner - column}}"
            lines.append(f"{edge} {cell} {edge}")
            label = ""
    lines.append(paint(f"{bottom}{dash * (width - 2)}{end}", _DIM, stream))
    return lines


def _box(stream: TextIO) -> str:
    try:
        _ROUND.encode(getattr(stream, "encoding", None) or "ascii")
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
