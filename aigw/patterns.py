"""Names with `*` in them: which models a rule, a key or a table of Bedrock's speaks of."""

from __future__ import annotations


def matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern in which `*` stands for any text, the empty one too; case aside.

    In time proportional to both: the text is a client's choice, and may be chosen long.

    >>> matches("gpt-5*", "GPT-5-mini"), matches("*sonnet*", "claude-sonnet-4"), matches("o3", "o3-pro")
    (True, True, False)
    """
    first, *rest = pattern.casefold().split("*")
    text = text.casefold()
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last):
        return False
    start, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return text.endswith(last)
