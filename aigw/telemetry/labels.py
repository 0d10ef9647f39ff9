"""Names and labels of metrics, and the bound of those labels that clients choose."""

from __future__ import annotations

NAMESPACE = "coder_aibridged"

LABEL_VALUES = 200
"""Distinct values of one label that clients choose: more models than anyone uses in one place."""

LABEL_LENGTH = 256
"""Longest value of such a label, in characters: names are shorter, and a body may hold megabytes."""

OTHER = "other"


class BoundedLabel:
    """Lets the first `limit` distinct values of a label through."""

    def __init__(self, limit: int = LABEL_VALUES) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value itself, or `other` when it is too long or too many others came first."""
        if value in self._seen:
            return value
        if not value.isprintable():
            return OTHER
        if len(self._seen) >= self._limit or len(value) > LABEL_LENGTH:
            return OTHER
        self._seen.add(value)
        return value
