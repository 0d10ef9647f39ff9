"""What an option is: one entry of the table in `options.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigw.option_values import READERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NONE_WHEN_EMPTY = ("path", "string", "url", "command")


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. `kind` is a key of `option_values.READERS`.

    `default` is in text form; a path default that depends on the platform is a function of none.
    A secret's value may be a reference (`env:`, `file:`, `cmd:`) and is never shown. `short` is a
    one-letter flag. `positive` refuses zero, `between` what lies outside its two ends; `choices`
    lists the only values allowed.
    """

    name: str
    kind: str
    group: str
    help: str
    flag: str
    variable: str
    key: str
    default: str | Callable[[], Path] = ""
    short: str = ""
    flag_aliases: tuple[str, ...] = ()
    variable_aliases: tuple[str, ...] = ()
    key_aliases: tuple[str, ...] = ()
    secret: bool = False
    positive: bool = False
    between: tuple[int, int] | None = None
    choices: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling on the command line, the main one first."""
        return (self.flag, *((self.short,) if self.short else ()), *self.flag_aliases)

    @property
    def variables(self) -> tuple[str, ...]:
        """Every environment variable, the main one first."""
        return (self.variable, *self.variable_aliases)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every dotted key in a file, the main one first; none for an option that no file sets."""
        return (self.key, *self.key_aliases) if self.key else ()

    def read(self, value: object) -> object:
        """The typed value of what a flag, variable or file holds. Secrets stay references.

        None for the empty text where what has no default is switched off with it.

        Raises:
            ValueError: it is not allowed; the message says what is.
        """
        if value == "" and not (self.default or self.secret) and self.kind in _NONE_WHEN_EMPTY:
            return None
        if self.choices and value not in self.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(self.choices)}")
        typed = READERS[self.kind](value)
        if self.positive and not typed:
            raise ValueError("must be more than 0")
        if self.between and not self.between[0] <= typed <= self.between[1]:
            raise ValueError(f"must be between {self.between[0]} and {self.between[1]}")
        return typed

    def default_text(self) -> str:
        """The default as text, on this machine."""
        return self.default if isinstance(self.default, str) else str(self.default())
