"""How much recorded text one answer holds: a reader of long prompts must not take the memory.

A prompt can be as long as a request's body, and a page has thousands of texts. Where they are longer
together than there is room for, the longest are cut, all to one length, so that short ones stay whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aigw.store.schema import SEARCHED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

_T = TypeVar("_T")

TEXT_AT_ONCE = 8 * 1024 * 1024
"""Characters of text after which a step of a long reading ends, however few its records: a prompt may be
as long as a request, and what reads a million of them must not hold thousands."""

ROOM = 32 * 1024 * 1024
"""Characters of prompts, arguments, results and thoughts in one answer: it then takes the daemon some
200 MB for a moment. A page of 50 threads has one or two millions."""

LENGTHS = " UNION ALL ".join(
    f"SELECT length({column}) FROM {table} WHERE interception_seq IN (SELECT value FROM json_each(?1))"  # noqa: S608 (our own names)
    for table, column in SEARCHED.items()
)
"""The lengths of all texts of the interceptions in a JSON list."""


def parts(items: Sequence[_T], lengths: Iterable[int], room: int) -> Iterator[Sequence[_T]]:
    """Items in order, in parts with no more text than there is room for, or one item; at least one part.

    >>> list(parts("abcd", [1, 2, 9, 1], 3))
    ['ab', 'c', 'd']
    """
    begin, left = 0, room
    for place, length in enumerate(lengths):
        if length > left and place > begin:
            yield items[begin:place]
            begin, left = place, room
        left -= length
    yield items[begin:]


def cut_at(connection: sqlite3.Connection, chosen: str) -> int | None:
    """The length that texts of these interceptions are cut to; None where all can stay whole."""
    return fair_share((row[0] for row in connection.execute(LENGTHS, (chosen,))), ROOM)


def fair_share(lengths: Iterable[int], room: int) -> int | None:
    """The largest length to which texts can be cut to fit in; None where they fit as they are.

    >>> fair_share([1, 2, 30, 40], 23)
    10
    """
    found = sorted(lengths)
    left = room
    for number, length in enumerate(found):
        share = left // (len(found) - number)
        if length > share:
            return share
        left -= length
    return None


def beginning(column: str, length: int | None) -> str:
    """The SQL of a text column, cut to a length."""
    return column if length is None else f"substr({column}, 1, {length})"
