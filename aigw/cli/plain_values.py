"""Command line values without pydantic: importing it takes longer than most commands run.

Typer (from 0.28) turns each value into its type with a pydantic adapter, even text into text. Here
text, absent values and numbers in their range are dealt with at once; everything else, and every
value that is wrong, still goes through typer, which then explains it. Other versions of typer are
left alone.
"""

from __future__ import annotations

from typing import Any

import typer

_TEXT = (str, list[str])
_NUMBERS = (int, float)


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
        if kind in _NUMBERS and isinstance(value, str | int | float):
            number = self._number(kind, value)
            if number is not None:
                return number
        from typer._coercion import build_runtime_param

        return build_runtime_param(self._descriptor).coerce(value, param=param, ctx=ctx)

    def _number(self, kind: type[int | float], value: str | float) -> int | float | None:
        """The number, or None where typer has to say what is wrong with it."""
        if kind is int and isinstance(value, float):
            return None
        try:
            number = kind(value)
        except ValueError:
            return None
        lowest, highest = (getattr(self._descriptor.parameter_info, end) for end in ("min", "max"))
        is_in_range = (lowest is None or number >= lowest) and (
            highest is None or number <= highest
        )
        return number if is_in_range else None


def take_plain_values(command: Any, parent: Any = None) -> Any:
    """Spare a command, and those below it, the import of pydantic; returns the command."""
    context = typer.Context(command, parent=parent, **command.context_settings)
    # Unlike `params`, they include `--help`, whose absence typer would have pydantic convert.
    for parameter in command.get_params(context):
        if hasattr(parameter, "_runtime_param") and hasattr(parameter, "type_descriptor"):
            parameter._runtime_param = _PlainValue(parameter.type_descriptor)  # noqa: SLF001
    for name in getattr(command, "commands", ()):
        take_plain_values(command.commands[name], context)
    return command
