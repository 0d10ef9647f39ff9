"""Full-text search: feeding the index, and finding the records whose text matches.

The index `search` is contentless: it holds words and rowids (a record's `seq`), not the text. The
writer commits records first and indexes them a little later; `meta.indexed_seq` says how far it has
come. A search asks the index up to there and tokenises the few records after it on the spot, in a
database in memory with the same tokenizer, so that a committed record is always found.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from typing import TYPE_CHECKING

from aigw.store.reader import snapshot
from aigw.store.schema import SEARCHED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

INDEXED_SEQ = "indexed_seq"

TOKENIZER = "unicode61"
"""That of the index in the schema: letters and digits make words, case and accents do not matter."""

FIRST_CHUNK = 256
"""Matches asked from the index at first: enough for a screen of lines in one step."""
LARGEST_CHUNK = 16_384
"""Chunks grow up to this: fewer steps for a search whose other filters let little through."""

MERGED_PAGES = 16
"""Pages of the index merged in one step: some milliseconds in which commits wait."""

LOOKED_AT = (1_024, 4_096)
"""Seqs, by stretch, whose text is looked at before the index is asked for the beginnings of words: it
merges all the words that begin so before it gives a row, which takes seconds for `a*` in a million
records. A screen of such matches is found here in some 50 ms."""

CANDIDATES = 2_048
"""Records with the other words of a search that are looked at for the beginnings of words."""


def _searchable(where: str) -> str:
    arms = (
        f"SELECT seq, {column} AS text FROM {table} WHERE {where}"  # noqa: S608 (our own names)
        for table, column in SEARCHED.items()
    )
    return " UNION ALL ".join(arms)


# Each arm is in rowid order, so SQLite merges them row by row: no sort, no temporary table.
_NEXT = f"{_searchable('seq > ?1')} ORDER BY seq LIMIT ?2"
_BETWEEN = f"{_searchable('seq > ?1 AND seq < ?2')} ORDER BY seq"
_CHOSEN = f"{_searchable('seq IN (SELECT value FROM json_each(?1))')} ORDER BY seq"  # noqa: S608

# The terms of an expression: nothing within the quotes is a quote.
_TERM = re.compile(r'"[^"]*"\*?')


def indexed_seq(connection: sqlite3.Connection) -> int:
    """Every searchable record with a `seq` up to this one is in the index."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (INDEXED_SEQ,)).fetchone()
    return row[0] if row else 0


def index_batch(connection: sqlite3.Connection, limit: int) -> int:
    """Index the next `limit` searchable records in one transaction; returns how many there were.

    Fewer than `limit` means that the index is complete. The connection is in autocommit mode.

    Raises:
        sqlite3.Error: as SQLite says; nothing was changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        cursor = connection.execute(
            f"INSERT INTO search (rowid, text) {_NEXT}",
            (indexed_seq(connection), limit),
        )
        count = cursor.rowcount
        if count > 0:
            # FTS5 reports the rowid of the last row inserted, which is the highest seq.
            (last,) = connection.execute("SELECT last_insert_rowid()").fetchone()
            connection.execute(
                "INSERT INTO meta (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (INDEXED_SEQ, last),
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return max(count, 0)


def merge_step(connection: sqlite3.Connection) -> bool:
    """Merge a few pages of the index's segments; whether there may be more to merge.

    SQLite's FTS5 documentation, "The 'merge' Command". The connection is in autocommit mode.

    Raises:
        sqlite3.Error: as SQLite says.
    """
    before = connection.total_changes
    connection.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (MERGED_PAGES,))
    # The command itself counts as one change: so FTS5 tells that there was nothing to do.
    return connection.total_changes - before > 1


def match_expression(text: str) -> str:
    """What a person typed as an FTS5 query: all words, `"phrases in quotes"`, and `begin*`.

    Everything is quoted, so no input is a syntax error: `AND`, `-`, `:` and the like are text.

    >>> match_expression('fix "the bug" parse*')
    '"fix" AND "the bug" AND "parse"*'

    Raises:
        ValueError: there is no letter or digit to search for.
    """
    return " AND ".join(_phrases(text))


def any_expression(text: str) -> str:
    """As `match_expression`, but for what holds any of the words: to find each of them in a text.

    Raises:
        ValueError: there is no letter or digit to search for.
    """
    return " OR ".join(_phrases(text))


def _phrases(text: str) -> list[str]:
    found = [
        f'"{term}"{"*" if prefix else ""}' for term, prefix in _terms(text) if _has_token(term)
    ]
    if not found:
        raise ValueError(f"nothing to search for in {text!r}: give at least one word or number")
    return found


def _terms(text: str) -> Iterator[tuple[str, bool]]:
    # Odd parts of a split at quotes are inside them; an unclosed quote runs to the end.
    for position, part in enumerate(text.replace("\0", " ").split('"')):
        if position % 2:
            yield part, False
        else:
            for word in part.split():
                yield word.rstrip("*"), word.endswith("*")


def _has_token(term: str) -> bool:
    # What unicode61 takes as part of a word: letters, numbers, private use.
    return any((kind := unicodedata.category(c))[0] in "LN" or kind == "Co" for c in term)


_BELOW = "SELECT rowid FROM search WHERE search MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
_ABOVE = "SELECT rowid FROM search WHERE search MATCH ? AND rowid > ? ORDER BY rowid LIMIT ?"


class TextMatch:
    """The records that match an expression, by `seq`, in either direction.

    Every method sees one state of the database when the caller holds a read transaction open.
    """

    def __init__(self, connection: sqlite3.Connection, expression: str) -> None:
        self._connection = connection
        self._expression = expression
        terms = _TERM.findall(expression)
        self._whole_words = " AND ".join(term for term in terms if not term.endswith("*"))
        self._has_beginnings = any(term.endswith("*") for term in terms)

    def before(self, seq: int) -> Iterator[list[int]]:
        """Chunks of matching seqs below `seq`, falling."""
        end = indexed_seq(self._connection)
        if recent := self._recent(end, seq):
            yield recent[::-1]
        position = min(seq, end + 1)
        if self._has_beginnings:
            position = yield from self._looked_at(position)
        size = FIRST_CHUNK
        while chunk := self._ids(_BELOW, self._expression, position, size):
            yield chunk
            position, size = chunk[-1], min(size * 2, LARGEST_CHUNK)

    def _looked_at(self, position: int) -> Generator[list[int], None, int]:
        """Chunks of matches below a position, found without the index; gives how far that went."""
        if not self._whole_words:
            for size in LOOKED_AT:
                low = position - size - 1
                if found := self._recent(low, position):
                    yield found[::-1]
                position = low + 1
            return position
        for _ in range(CANDIDATES // FIRST_CHUNK):
            chunk = self._ids(_BELOW, self._whole_words, position, FIRST_CHUNK)
            if not chunk:
                return 0
            rows = self._connection.execute(_CHOSEN, (json.dumps(chunk),))
            if found := matching(rows, self._expression):
                yield found[::-1]
            position = chunk[-1]
        return position

    def after(self, seq: int, size: int = FIRST_CHUNK) -> Iterator[list[int]]:
        """Chunks of matching seqs above `seq`, rising; `size` is that of the first."""
        end = indexed_seq(self._connection)
        position = seq
        # A complete index may hold more than `end` said when no transaction is open.
        while position < end and (
            chunk := [s for s in self._ids(_ABOVE, self._expression, position, size) if s <= end]
        ):
            yield chunk
            position, size = chunk[-1], min(size * 2, LARGEST_CHUNK)
        if recent := self._recent(max(seq, end), 1 << 62):
            yield recent

    def _ids(self, sql: str, expression: str, position: int, size: int) -> list[int]:
        rows = self._connection.execute(sql, (expression, position, size))
        return [row[0] for row in rows]

    def _recent(self, low: int, high: int) -> list[int]:
        """Matches between the two, both exclusive, that the index does not have yet."""
        rows = self._connection.execute(_BETWEEN, (low, high))
        return matching(rows, self._expression)


def matches_after(connection: sqlite3.Connection, expression: str, seq: int) -> Iterator[list[int]]:
    """As `TextMatch.after`, each chunk in a short transaction of its own: a consumer may be slow."""
    size = FIRST_CHUNK
    while True:
        with snapshot(connection):
            chunk = next(TextMatch(connection, expression).after(seq, size), None)
        if chunk is None:
            return
        yield chunk
        seq, size = chunk[-1], min(size * 2, LARGEST_CHUNK)


def matching(rows: Iterable[tuple[int, str]], expression: str) -> list[int]:
    """Which of the (seq, text) match, in order: the same answer as the index gives, without it."""
    first = next(iter(rows), None)
    if first is None:
        return []
    scratch = sqlite3.connect(":memory:")
    try:
        scratch.execute(
            f"CREATE VIRTUAL TABLE search USING fts5 (text, content = '', tokenize = '{TOKENIZER}')"
        )
        insert = "INSERT INTO search (rowid, text) VALUES (?, ?)"
        scratch.execute(insert, first)
        scratch.executemany(insert, rows)
        found = scratch.execute(
            "SELECT rowid FROM search WHERE search MATCH ? ORDER BY rowid", (expression,)
        )
        return [row[0] for row in found]
    finally:
        scratch.close()
