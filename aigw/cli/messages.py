"""Messages for people: always on stderr, in colour only on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_RED = "1;31"
_YELLOW = "1;33"


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour: a terminal, and nobody said no (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def paint(text: str, code: str, stream: TextIO) -> str:
    """`text` in the colour of an ANSI code, where `stream` wants colour."""
    return f"\x1b[{code}m{text}\x1b[0m" if wants_colour(stream) else text


def error(text: str) -> None:
    """Print a problem."""
    _print("Error:", _RED, text)


def warn(text: str) -> None:
    """Print a warning."""
    _print("Warning:", _YELLOW, text)


def _print(label: str, colour: str, text: str) -> None:
    from aigw.cli.text import visible

    stream = sys.stderr
    # An error of SQLite's names what it stumbled over, which may be a recorded prompt.
    shown = "\n".join(map(visible, text.split("\n")))
    line = f"{paint(label, colour, stream)} {shown}\n"
    # A path or value on the terminal's wrong encoding must not turn a message into a traceback.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
