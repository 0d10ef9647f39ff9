"""Printing what came from outside: prompts, tool output and model names are hostile text.

On a terminal an escape sequence could hide lines, set the window's title or type on the user's
behalf, and a direction mark could make text read differently from what it is. So everything that
is not a visible character is shown as its escape.
"""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from typing import Any

_LATIN_1_END = 0xFF
_BASIC_END = 0xFFFF
_KIB = 1024
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
# Joiners inside emoji and Indic words: invisible, and harmless by themselves.
_HARMLESS = frozenset("\u200c\u200d")


def visible(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would act on."""
    return text if text.isprintable() else "".join(map(_visible_character, text))


def visible_lines(text: str) -> list[str]:
    """The text's lines, each as from `visible`, tabs as spaces."""
    lines = text.replace("\r\n", "\n").split("\n")
    return [visible(line.expandtabs(4)) for line in lines]


def free_form(text: str) -> str | None:
    """What a tool was given that takes a text and no fields, such as a patch or a script.

    It is recorded as a string in JSON. None where the input is anything else.
    """
    if not text.startswith('"'):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) and found.strip() else None


def _visible_character(character: str) -> str:
    if character.isprintable() or character in _HARMLESS:
        return character
    if short := _SHORT.get(character):
        return short
    if unicodedata.category(character) == "Zs":
        return " "
    code = ord(character)
    if code <= _LATIN_1_END:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _BASIC_END else f"\\U{code:08x}"


def prepare_stdout() -> None:
    """Let no character that the terminal's encoding lacks stop the output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON for stdout: plain ASCII on a terminal, where raw text could do harm."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    if sys.stdout.isatty() or encoding != "utf8":
        separators = (",", ":") if indent is None else None
        return json.dumps(value, indent=indent, separators=separators)
    if indent is not None:
        return json.dumps(value, indent=indent, ensure_ascii=False)
    import msgspec

    return msgspec.json.encode(value).decode()


def print_json(value: Any) -> None:
    """One JSON document, indented for a reader, on stdout."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def clock_time(microseconds: int, *, day: bool = False) -> str:
    """Local time of day as HH:MM:SS, with `day` the date before it."""
    from datetime import datetime

    moment = datetime.fromtimestamp(microseconds / 1_000_000).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}" if day else f"{moment:%H:%M:%S}"


def size_text(size: int) -> str:
    """A number of bytes for a person."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < _KIB:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} TiB"


def short_number(value: int) -> str:
    """Three digits and a unit: 748k, 22.5G."""
    amount = float(value)
    for unit in ("", "k", "M", "G"):
        if amount < 999.5:  # noqa: PLR2004 (what rounds to fewer than four digits)
            return f"{amount:.3g}{unit}"
        amount /= 1000
    return f"{amount:.1f}T"
