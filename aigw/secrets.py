"""Secret values: how they are masked, and where references to them lead.

A secret is given literally or as a reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`. No message
of this module repeats a secret, what a command printed, or a command's arguments.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from aigw.option_values import anchored

if TYPE_CHECKING:
    from collections.abc import Mapping

# Password managers ask a person or a server: long enough for those, short enough to notice a hang.
COMMAND_TIMEOUT_S = 10
# A provider's key is some hundred bytes; a larger file is not one.
_LARGEST_FILE = 64 * 1024

REFERENCES = ("env:", "file:", "cmd:")

# The mask shows more of a longer secret: (characters at least, shown at each end).
# Source: Coder's gateway, where the same mask makes `credential_hint`.
_SHOWN_ENDS = ((20, 4), (10, 2), (5, 1))


def mask(text: str) -> str:
    """A hint of a secret that tells two apart and gives neither away.

    >>> mask("sk-ant-api03-0123456789"), mask("short"), mask("abc"), mask("")
    ('sk-a...6789', 's...t', '...', '')
    """
    if not text:
        return ""
    ends = next((shown for least, shown in _SHOWN_ENDS if len(text) >= least), 0)
    return f"{text[:ends]}...{text[-ends:]}" if ends else "..."


def fingerprint(text: str) -> str:
    """A digest that tells secrets apart where neither they nor their masks may be kept.

    Only for secrets with the strength of a key: a short one could be found by trying.
    """
    return hashlib.sha256(b"aigw:" + text.encode()).hexdigest()[:16]


class Secret:
    """A value that shows only its mask wherever it is printed. `reveal` gives it out.

    False when empty. Two are equal when their values are. `reference` says where it came from
    (`env:OPENAI_API_KEY`, `cmd:pass ...`), empty for a literal one.
    """

    __slots__ = ("_value", "reference")

    def __init__(self, value: str = "", reference: str = "") -> None:
        self._value = value
        self.reference = reference

    def reveal(self) -> str:
        """The value itself: for the header it is sent in, never for a message."""
        return self._value

    def __str__(self) -> str:
        return mask(self._value)

    def __repr__(self) -> str:
        return f"Secret({mask(self._value)!r})"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def is_reference(text: str) -> bool:
    """Whether the text says where a secret is, not what it is."""
    return text.strip().startswith(REFERENCES)


def read_secret(text: str, environ: Mapping[str, str], folder: Path) -> Secret:
    """The secret that a setting holds or refers to. Relative `file:` paths count from `folder`.

    Raises:
        ValueError: a reference leads nowhere, or what it leads to cannot be a key.
    """
    scheme, _, rest = text.strip().partition(":")
    rest = rest.strip()
    if scheme == "env":
        value = _usable(_from_variable(rest, environ), f"the environment variable {rest}")
    elif scheme == "file":
        path = anchored(Path(rest).expanduser(), folder)
        value = _usable(_first_line(_from_file(path)), str(path))
    elif scheme == "cmd":
        output, program = _from_command(rest, environ)
        value = _usable(_first_line(output), f"the output of {program}")
    elif not text.strip():
        return Secret()
    else:
        return Secret(_usable(text.strip(), "the value"))
    return Secret(value, describe_reference(text))


def describe_reference(text: str) -> str:
    """A reference in a form fit to show: a command without its arguments."""
    scheme, _, rest = text.strip().partition(":")
    if scheme != "cmd":
        return text.strip()
    program, *arguments = rest.split() or [""]
    return f"cmd:{program} ..." if arguments else f"cmd:{program}"


def _from_variable(name: str, environ: Mapping[str, str]) -> str:
    if not name:
        raise ValueError("env: needs a variable's name, as in env:OPENAI_API_KEY")
    value = environ.get(name)
    if not value:
        state = "not set" if value is None else "empty"
        raise ValueError(f"the environment variable {name} is {state}")
    return value.strip()


def _from_file(path: Path) -> str:
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Reading a pipe may wait for ever, and a reload with it.
        raise ValueError(f"cannot read {path}: it is no regular file")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"{path} is too large for a key")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8") from None


def _from_command(command: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """What a command prints, and the program's name."""
    try:
        # Backslashes separate folders on Windows, where shlex would eat them.
        words = shlex.split(command, posix=os.name != "nt")
    except ValueError as error:
        raise ValueError(f"cmd: cannot be split into words: {error}") from None
    if not words:
        raise ValueError("cmd: needs a command, as in cmd:pass show openai")
    program = words[0]
    try:
        done = subprocess.run(  # noqa: S603 - running the operator's command is what cmd: is for
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{program} did not finish within {COMMAND_TIMEOUT_S} s") from None
    except OSError as error:
        raise ValueError(f"cannot run {program}: {error.strerror}") from None
    if done.returncode != 0:
        raise ValueError(f"{program} failed with exit code {done.returncode}")
    return done.stdout.decode("utf-8", "replace"), program


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else ""


def _usable(value: str, where: str) -> str:
    """A value that an HTTP header can carry (RFC 9110 section 5.5), or an error that hides it."""
    if not value:
        raise ValueError(f"{where} is empty")
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError(f"{where} has characters that no API key has (spaces, non-ASCII)")
    return value
