"""Showing where a text matches a search: bold on a terminal, exactly what the index takes as a match.

FTS5 itself says where the matches are: the text is put into a small index in memory, with the same
tokenizer as the store's. So upper and lower case, accents, phrases and prefixes are treated alike.
"""

from __future__ import annotations

import re
import sqlite3
import weakref
from typing import NamedTuple

from aigw.cli.text import visible
from aigw.store.search import TOKENIZER, any_expression

BOLD = "1"

LONGEST = 262_144
"""Characters of a text that are looked through for matches: some milliseconds. The store cuts tool
results far below that; of a longer prompt the beginning counts."""

_BEGIN, _END = "\x02", "\x03"
# Both marks, NUL (it ends a text for SQLite) and what is no valid text separate words as a space does.
_UNMARKED = dict.fromkeys([0, 2, 3, *range(0xD800, 0xE000)], " ")


class Piece(NamedTuple):
    """A stretch of a text that matches throughout, or not at all."""

    text: str
    is_match: bool


class Highlighter:
    """Finds the words and phrases of a search, as a person typed it, in texts.

    Raises:
        ValueError: there is no letter or digit to search for.
    """

    def __init__(self, query: str) -> None:
        self._expression = any_expression(query)
        self._beginnings = _beginnings(self._expression)
        self._index = sqlite3.connect(":memory:", isolation_level=None)
        weakref.finalize(self, self._index.close)
        self._index.execute(
            f"CREATE VIRTUAL TABLE search USING fts5 (text, tokenize = '{TOKENIZER}')"
        )

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Begin and end of each match, in order, none touching the next."""
        if self._surely_lacks(text):
            return []
        text = text[:LONGEST].translate(_UNMARKED)
        self._index.execute("REPLACE INTO search (rowid, text) VALUES (1, ?)", (text,))
        row = self._index.execute(
            "SELECT highlight(search, 0, ?, ?) FROM search WHERE search MATCH ?",
            (_BEGIN, _END, self._expression),
        ).fetchone()
        return _spans(row[0]) if row else []

    def _surely_lacks(self, text: str) -> bool:
        """Whether nothing can match, told without the index: of nearly all lines of a session.

        Beyond ASCII only the tokenizer knows which letters are the same.
        """
        if self._beginnings is None or not text.isascii():
            return False
        lower = text.lower()
        return not any(word in lower for word in self._beginnings)

    def pieces(self, text: str) -> list[Piece]:
        """The whole text, cut where matches begin and end."""
        found: list[Piece] = []
        position = 0
        for begin, end in self.spans(text):
            found.append(Piece(text[position:begin], False))
            found.append(Piece(text[begin:end], True))
            position = end
        found.append(Piece(text[position:], False))
        return [piece for piece in found if piece.text]

    def excerpt(self, text: str, width: int) -> list[Piece]:
        """The pieces from where the first match can be seen in `width` columns, a bit before it."""
        spans = self.spans(text)
        # Half of the line at most is what comes before: what follows tells more.
        first = spans[0] if spans else (0, 0)
        begin = 0 if first[1] < width else max(0, first[0] - width // 3)
        mark = [Piece("\u2026", False)] if begin else []
        return mark + self.pieces(text[begin : begin + 2 * width])


def shown(pieces: list[Piece], code: str = "") -> str:
    """The pieces on one line, harmless to a terminal, matches bold; the rest in an ANSI style."""
    return "".join(_styled(visible(text), code, is_match) for text, is_match in pieces)


def _styled(text: str, code: str, is_match: bool) -> str:
    if is_match:
        # Dim and bold exclude each other on many terminals.
        style = f"{code};{BOLD}" if code not in ("", "2") else BOLD
        return f"\x1b[{style}m{text}\x1b[0m"
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def _beginnings(expression: str) -> list[str] | None:
    """The first word of each term in lower case, or None where one is not all ASCII."""
    if not expression.isascii():
        return None
    terms = re.findall(r'"([^"]*)"', expression.lower())
    return [re.findall(r"[0-9a-z]+", term)[0] for term in terms]


def _spans(marked: str) -> list[tuple[int, int]]:
    """Where the marks stand, in terms of the text without them."""
    found: list[tuple[int, int]] = []
    before, *rest = marked.split(_BEGIN)
    position = len(before)
    for part in rest:
        inside, _, after = part.partition(_END)
        found.append((position, position + len(inside)))
        position += len(inside) + len(after)
    return found
