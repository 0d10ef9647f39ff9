"""`aigw`: run a command, and turn what goes wrong into a message and an exit code.

0 done, 1 failed, 2 wrong usage or configuration, 3 daemon not running, 4 not allowed,
130 interrupted. A command returns None or its exit code, or raises an `AigwError`.

Only what every start needs is imported at the top: `aigw --help` answers without typer.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from aigw import __version__
from aigw.cli import messages
from aigw.errors import AigwError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

COMPLETION_VARIABLE = "_AIGW_COMPLETE"
"""Set by the completion scripts: print what may follow instead of running a command."""

_INTERRUPTED = 130
# What a shell reports of a program that a closed pipe has ended: 128 + SIGPIPE.
_BROKEN_PIPE = 141


def run() -> NoReturn:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code. Never raises."""
    try:
        code = _answer(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return _BROKEN_PIPE
    except ConfigError as error:
        for problem in error.problems:
            messages.error(problem)
        return error.exit_code
    except AigwError as error:
        messages.error(str(error))
        return error.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        messages.error(f"{where}{error.strerror or error}")
        return 1
    return code


def _answer(arguments: Sequence[str]) -> int:
    if COMPLETION_VARIABLE in os.environ:
        from aigw.cli.complete_line import answer

        return answer(os.environ)
    words = list(arguments)
    if words in (["--help"], ["-h"]):
        print_help()
        return 0
    if words == ["--version"]:
        print(f"aigw {__version__}")
        return 0
    if words[:1] == ["statusline"]:
        # Run every few seconds: it answers without typer, too.
        from aigw.cli.statusline import answer as status

        code = status(words[1:])
        if code is not None:
            return code
    return _run_command(words)


def print_help() -> None:
    """Print the help of `aigw` itself."""
    from aigw.cli.help import top_help

    sys.stdout.write(top_help(sys.stdout))


def _run_command(words: list[str]) -> int:
    import typer

    from aigw.cli.tree import root

    group = root()
    try:
        with group.make_context("aigw", words) as context:
            result = group.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        messages.error("given up")
        return 1
    except typer.TyperException as error:
        return _usage_error(error)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _usage_error(error: typer.TyperException) -> int:
    text = " ".join(error.format_message().split()).replace("Value error, ", "")
    flag = getattr(error, "option_name", "")
    if flag and hasattr(error, "possibilities"):
        from aigw.options import nearest

        text = f"No such option: {flag}"
        context = getattr(error, "ctx", None)
        if context is not None:
            text += nearest(flag, _flags_of(context))
    messages.error(text)
    context = getattr(error, "ctx", None)
    if context is not None:
        sys.stderr.write(f"Try '{context.command_path} --help'.\n")
    return error.exit_code


def _flags_of(context: typer.Context) -> list[str]:
    """A command's flags, those that its help shows first: of two as near, the first wins."""
    parameters = sorted(
        context.command.get_params(context), key=lambda p: bool(getattr(p, "hidden", False))
    )
    return [flag for parameter in parameters for flag in parameter.opts]


def _silence_stdout() -> None:
    """Keep the interpreter from complaining of the closed pipe when it flushes at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
