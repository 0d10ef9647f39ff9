"""Cells of CSV files, which people open in spreadsheets."""

from __future__ import annotations

from typing import Any

from aigw.cli.text import visible

# Spreadsheets run a cell that begins so; the wide forms too, in some languages.
# Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: Any) -> str:
    """A value as text in which nothing acts: no control characters, and never a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if not isinstance(value, str):
        return str(value)
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
