"""The tree of commands: a group that imports a command's module when the command is used."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from aigw import __version__
from aigw.cli.commands import COMMANDS, DESCRIPTION
from aigw.cli.plain_values import take_plain_values

CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["--help", "-h"]}

_BY_NAME = {command.name: command for command in COMMANDS}


def _version(value: bool) -> None:
    if value:
        print(f"aigw {__version__}")
        raise typer.Exit


def _callback(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None and not context.resilient_parsing:
        from aigw.cli.help import top_help

        sys.stderr.write(top_help(sys.stderr))
        raise typer.Exit(2)


class LazyGroup(TyperGroup):
    """`aigw` itself. Its commands are those of `commands.COMMANDS`, imported on first use."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # The names alone serve for suggestions on a misspelt command.
        self.commands = {name: _Unloaded(name) for name in _BY_NAME}

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of the help."""
        del ctx
        return list(_BY_NAME)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, imported now; None when there is none of this name."""
        if cmd_name not in _BY_NAME:
            return None
        if isinstance(self.commands[cmd_name], _Unloaded):
            self.commands[cmd_name] = load(cmd_name, ctx)
        return self.commands[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The same text as the quick way in `main`."""
        del ctx, formatter
        from aigw.cli.help import top_help

        sys.stdout.write(top_help(sys.stdout))


class _Unloaded(TyperCommand):
    """Stands for a command whose module is not imported yet."""


def root() -> Any:
    """The `aigw` command."""
    app = typer.Typer(
        cls=LazyGroup,
        add_completion=False,
        context_settings=CONTEXT_SETTINGS,
        help=DESCRIPTION,
    )
    app.callback(invoke_without_command=True)(_callback)
    return take_plain_values(get_group(app))


def load(name: str, parent: Any = None) -> Any:
    """Import a command and give it typer's form, in the group whose context is `parent`."""
    command = _BY_NAME[name]
    module, _, attribute = command.target.partition(":")
    target = getattr(import_module(module), attribute)
    if isinstance(target, typer.Typer):
        group = get_group(target)
        group.name = name
        group.short_help = command.help
        return take_plain_values(_flowing(group), parent)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    kind = getattr(target, "command_class", TyperCommand)
    app.command(name, cls=kind, short_help=command.help, context_settings=CONTEXT_SETTINGS)(target)
    return take_plain_values(_flowing(get_command(app)), parent)


def _flowing(command: Any) -> Any:
    """The command, and those below it, with help that fills the lines of any terminal.

    Of a docstring's later paragraphs rich keeps the line breaks.
    """
    if command.help:
        paragraphs = inspect.cleandoc(command.help).split("\n\n")
        command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    for each in getattr(command, "commands", {}).values():
        _flowing(each)
    return command
