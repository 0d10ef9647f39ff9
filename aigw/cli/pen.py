r"""Lines of recorded text for a terminal: harmless, cut or flowed to its width, matches in bold.

All text comes in as it was recorded and is made visible here, after a search has looked for its
words in it: an escape shown as `\\e` must not hide the word that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aigw.cli.highlight import LONGEST, Highlighter, Piece, shown
from aigw.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

DIM, RED, YELLOW, GREEN, MAGENTA, CYAN, BOLD = "2", "1;31", "33", "1;32", "35", "36", "1"

NARROWEST = 40
"""Columns that lines are made for at least. Below, a terminal wraps them: nothing gets lost."""


class Part(NamedTuple):
    """A stretch of a line: recorded text and its ANSI style."""

    text: str
    code: str = ""


class Pen:
    """Writes lines of `width` columns, in colour or without, with a search's matches in bold."""

    def __init__(self, width: int, *, colour: bool, highlighter: Highlighter | None = None) -> None:
        self.width = max(NARROWEST, width)
        self._colour = colour
        self._highlighter = highlighter

    def matches(self, text: str) -> bool:
        """Whether the text holds a word that is searched for."""
        return self._highlighter is not None and bool(self._highlighter.spans(text))

    def painted(self, text: str, code: str = "") -> str:
        """Text of any length on one line, with its matches."""
        return self._drawn(self._pieces(text), code)

    def gist(self, text: str, width: int, code: str = "") -> str:
        """The beginning of a text on one line of so many columns, or from its first match on."""
        return self._drawn(_cut(self._excerpt(text, width), width), code)

    def measured(self, text: str, width: int) -> int:
        """How many columns the gist of a text in `width` columns takes."""
        return sum(cells(visible(piece.text)) for piece in _cut(self._excerpt(text, width), width))

    def flow(self, parts: Iterable[Part], begin: str, indent: str) -> list[str]:
        """Parts one after the other, on as many lines as they need; a long one is cut to a line.

        The first line begins with `begin`, which is text of ours, the others with `indent`.
        """
        lines: list[str] = []
        line, used = begin, cells(begin)
        is_fresh = True
        room = self.width - len(indent)
        for text, code in parts:
            size = self.measured(text, room)
            if not is_fresh and used + 2 + size > self.width:
                lines.append(line)
                line, used, is_fresh = indent, len(indent), True
            gap = "" if is_fresh else "  "
            line += gap + self.gist(text, min(room, max(1, self.width - used)), code)
            used += len(gap) + size
            is_fresh = False
        return [*lines, line]

    def block(self, text: str, indent: str, code: str = "") -> list[str]:
        """All of a text, its lines as they are."""
        lines: list[list[Piece]] = [[]]
        for piece in self._pieces(text.replace("\r\n", "\n")):
            first, *others = piece.text.split("\n")
            lines[-1].append(Piece(first.expandtabs(4), piece.is_match))
            lines += [[Piece(other.expandtabs(4), piece.is_match)] for other in others]
        return [indent + self._drawn(line, code) for line in lines]

    def _pieces(self, text: str) -> list[Piece]:
        return self._highlighter.pieces(text) if self._highlighter else [Piece(text, False)]

    def _excerpt(self, text: str, width: int) -> list[Piece]:
        # Much longer text than fits is not even looked at: a prompt can be megabytes. A blank takes
        # a column at least, and so does any character that is not combined with one before.
        limit = LONGEST if self._highlighter else 4 * width + 80
        start = " ".join(text[:limit].split())
        begin = self._first_shown(start, width)
        end = begin + 4 * width + 80
        marks = (
            "\u2026" if begin else "",
            "\u2026" if len(text) > limit or end < len(start) else "",
        )
        found = [Piece(marks[0], False), *self._pieces(start[begin:end]), Piece(marks[1], False)]
        return [piece for piece in found if piece.text]

    def _first_shown(self, text: str, width: int) -> int:
        """Where to begin so that the first match is seen; a bit of what comes before it, too."""
        spans = self._highlighter.spans(text) if self._highlighter else []
        return 0 if not spans or spans[0][1] < width else max(0, spans[0][0] - width // 3)

    def _drawn(self, pieces: list[Piece], code: str) -> str:
        if not self._colour:
            return "".join(visible(piece.text) for piece in pieces)
        if self._highlighter is not None:
            # In a search nothing but matches is bold.
            code = code.removeprefix(BOLD).removeprefix(";")
        return shown(pieces, code)


def _cut(pieces: list[Piece], width: int) -> list[Piece]:
    """At most `width` columns of the pieces as they are shown, an ellipsis where something lacks."""
    if sum(cells(visible(piece.text)) for piece in pieces) <= width:
        return pieces
    kept: list[Piece] = []
    left = max(0, width - 1)
    for piece in pieces:
        text = fitted(piece.text, left)
        left -= cells(visible(text))
        if text:
            kept.append(Piece(text, piece.is_match))
        if text != piece.text:
            break
    return [*kept, Piece("\u2026", False)] if width > 0 else []


def fitted(text: str, width: int) -> str:
    """The beginning of a text that takes at most so many columns when it is shown."""
    if cells(visible(text)) <= width:
        return text
    # Showing a longer beginning never takes fewer columns.
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if cells(visible(text[:middle])) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def cells(text: str) -> int:
    """Columns that a text takes on a terminal: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def pen_for(query: str | None) -> Pen:
    """The pen for stdout: as wide as the terminal, or what reads well in a pipe or file.

    Raises:
        ValueError: there is nothing to search for in the query.
    """
    import sys
    from shutil import get_terminal_size

    from aigw.cli.messages import wants_colour

    highlighter = None if query is None else Highlighter(query)
    width = get_terminal_size(fallback=(120, 24)).columns
    return Pen(width, colour=wants_colour(sys.stdout), highlighter=highlighter)
