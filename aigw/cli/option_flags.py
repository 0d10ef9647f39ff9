"""The flags of the option table, as parameters of a typer command.

Switches follow Go's way, as Coder's commands do: `--x`, `--x=true` and `--x=false`, but not
`--x false`. Typer knows no such option, so a bare `--x` is rewritten to `--x=true` first.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from aigw.cli.help import command_help
from aigw.options import BY_FLAG, OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Callable

_METAVARS = {
    "bool": "[=true|false]",
    "int": "NUMBER",
    "duration": "DURATION",
    "size": "SIZE",
    "address": "HOST:PORT",
    "url": "URL",
    "path": "PATH",
    "output": "PATH",
    "regex": "REGEX",
    "header": "HEADER",
    "percents": "PERCENT,...",
    "command": "COMMAND",
}
_BOOLEAN_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0", "t", "f"})


def with_option_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command every flag of the table.

    `command` has a keyword parameter `flags`, a dict of the flags given, by spelling, for
    `settings.resolve`; its other parameters are typer's as usual. Its class must be
    `OptionTableCommand`, which the attribute `command_class` says to `tree.load`.
    """
    names: dict[str, str] = {}
    parameters: list[inspect.Parameter] = []
    for option in OPTIONS:
        for flag in (option.flag, *option.flag_aliases):
            name = option.name if flag == option.flag else f"{option.name}_{len(names)}"
            names[name] = flag
            parameters.append(_parameter(option, name, flag))
    own = inspect.signature(command, eval_str=True).parameters
    kept = [parameter for name, parameter in own.items() if name != "flags"]

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        given = {flag: values.pop(name) for name, flag in names.items()}
        flags = {flag: value for flag, value in given.items() if value is not None}
        return command(flags=flags, **values)

    signature = inspect.Signature([*kept, *parameters])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    wrapper.command_class = OptionTableCommand  # type: ignore[attr-defined]
    del wrapper.__wrapped__  # typer would read the hidden signature through it
    return wrapper


def _parameter(option: Option, name: str, flag: str) -> inspect.Parameter:
    spellings = (flag, option.short) if option.short and flag == option.flag else (flag,)
    information = typer.Option(
        *spellings,
        help=help_of(option),
        metavar=_METAVARS.get(option.kind, "|".join(option.choices) or "TEXT"),
        rich_help_panel=option.group,
        hidden=flag != option.flag,
        show_default=False,
        autocompletion=_completer(option),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, information],
    )


def help_of(option: Option) -> str:
    """An option's help, with its variable and default."""
    default = "" if callable(option.default) else option.default
    return f"{option.help} [{option.variable}{f'; default {default}' if default else ''}]"


def _completer(option: Option) -> Callable[[str], list[str]] | None:
    if not option.choices:
        return None

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in option.choices if choice.startswith(incomplete)]

    return complete


class OptionTableCommand(TyperCommand):
    """A command whose switches may stand alone, and whose help shows all flags in full."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        del formatter
        sys.stdout.write(command_help(ctx, sys.stdout))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse after `--switch` became `--switch=true`."""
        return super().parse_args(ctx, spell_out_switches(args))


def spell_out_switches(arguments: list[str]) -> list[str]:
    """`--x` of a switch as `--x=true`; values of other options stay what they are.

    Raises:
        typer.BadParameter: a switch is followed by a loose `true` or `false`, which would be lost.
    """
    result: list[str] = []
    words = iter(range(len(arguments)))
    for index in words:
        word = arguments[index]
        option = BY_FLAG.get(word)
        if word == "--":
            return result + arguments[index:]
        if option is None:
            result.append(word)
        elif option.kind != "bool":
            result += arguments[index : index + 2]
            next(words, None)
        else:
            following = arguments[index + 1].lower() if index + 1 < len(arguments) else ""
            if following in _BOOLEAN_WORDS:
                raise typer.BadParameter(f"write {word}={following}", param_hint=word)
            result.append(f"{word}=true")
    return result
