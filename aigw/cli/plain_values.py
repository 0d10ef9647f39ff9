"""Command line values without pydantic: importing it takes longer than most commands run.

Typer (from 0.28) turns each value into its type with a pydantic adapter, even text into text. Here
text, absent values and whole numbers are dealt with at once; everything else, and every value that
is wrong, still goes through typer, which then explains it. Other versions of typer are left alone.
"""

from __future__ import annotations

from typing import Any

_TEXT = (str, list[str])


class _PlainValue:
    """Stands before typer's own conversion of one parameter."""

    def __init__(self, descriptor: Any) -> None:
        self._descriptor = descriptor

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value in the parameter's type.

        Raises:
            BadParameter: typer refuses the value.
        """
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        kind = self._descriptor.annotation
        if kind in _TEXT:
            return value
        if kind is int and isinstance(value, str | int) and not self._descriptor.is_ranged:
            try:
                return int(value)
            except ValueError:
                pass
        from typer._coercion import build_runtime_param

        return build_runtime_param(self._descriptor).coerce(value, param=param, ctx=ctx)


def take_plain_values(command: Any) -> Any:
    """Spare a command, and those below it, the import of pydantic; returns the command."""
    for parameter in command.params:
        if hasattr(parameter, "_runtime_param") and hasattr(parameter, "type_descriptor"):
            parameter._runtime_param = _PlainValue(parameter.type_descriptor)  # noqa: SLF001
    for name in getattr(command, "commands", ()):
        take_plain_values(command.commands[name])
    return command
