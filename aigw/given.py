"""Values as flags, variables and files give them: where each came from, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from aigw.config_file import is_open_to_others
from aigw.secrets import Secret, describe_reference, is_reference, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Source = Literal["flag", "variable", "file", "default"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from. `detail` is the flag, the variable, or `PATH:KEY`."""

    source: Source
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True)
class Given:
    """A value as one level gives it.

    Attributes:
        place: its name in a message.
        folder: what its relative paths count from.
        file: the configuration file that holds it, if one does.
    """

    raw: object
    origin: Origin
    place: str
    folder: Path
    file: Path | None = None


class Readable(Protocol):
    """An option of either table."""

    @property
    def kind(self) -> str:
        """A key of `option_values.READERS`."""

    @property
    def secret(self) -> bool:
        """Whether its value may be shown masked only."""

    def read(self, value: object) -> object:
        """The typed value; raises ValueError with what is allowed."""


class ValueReader:
    """Reads given values, and collects what it finds wrong or doubtful.

    Without `run_commands` a `cmd:` secret stays empty, with its reference.
    """

    def __init__(self, environ: Mapping[str, str], *, run_commands: bool = True) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.environ = environ
        self._run_commands = run_commands

    def read(self, option: Readable, level: Iterable[Given]) -> tuple[object, Given] | None:
        """The value of one level. Its names (old, new) may not contradict each other."""
        good: list[tuple[object, Given]] = []
        for given in level:
            try:
                good.append((option.read(given.raw), given))
            except ValueError as error:
                self.problems.append(f"{given.place}: {_hidden(option, str(error))}")
        if not good:
            return None
        if any(typed != good[0][0] for typed, _ in good[1:]):
            names = " and ".join(given.place for _, given in good)
            self.problems.append(f"{names} say different things: set only one")
        if option.secret:
            self._warn_of_exposure(*good[0])
        return good[0]

    def secret(self, text: str, given: Given) -> Secret:
        """The secret that a text is or refers to; an empty one with a reference after a problem."""
        if not self._run_commands and text.strip().startswith("cmd:"):
            return Secret("", describe_reference(text))
        try:
            return read_secret(text, self.environ, given.folder)
        except ValueError as error:
            self.problems.append(f"{given.place}: {error}")
            return Secret("", describe_reference(text) if is_reference(text) else "unusable")

    def _warn_of_exposure(self, typed: object, given: Given) -> None:
        # Most headers hold no secret: a mapping of them is not warned of.
        texts = (typed,) if isinstance(typed, str) else typed if isinstance(typed, tuple) else ()
        if not any(text and not is_reference(text) for text in texts):
            return
        better = "use env:NAME, file:PATH or cmd:COMMAND"
        if given.origin.source == "flag":
            self.warnings.append(f"{given.place}: other users can see this key in `ps`; {better}")
        if given.file and is_open_to_others(given.file):
            self.warnings.append(
                f"{given.place}: other users can read this key in the file; {better}, "
                f"or: chmod 600 {given.file}"
            )


def is_set(secret: Secret) -> bool:
    """Whether a secret was given, be it that it could be read or not."""
    return bool(secret or secret.reference)


def _hidden(option: Readable, message: str) -> str:
    if not option.secret:
        return message
    if option.kind == "list":
        return "the keys are not a list of texts: put each in quotes"
    if option.kind == "mapping":
        return message
    return "the key is not text: put it in quotes"
