"""What may follow on a command line: the answer to a shell's completion script.

The scripts (`completion.SCRIPTS`) run `aigw` with `_AIGW_COMPLETE` naming the shell and
`_AIGW_COMPLETE_LINE` holding the line up to the cursor. The answer is a line per candidate, with a
tab and its help where the shell can show it. No candidates: the shell offers files.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from aigw.cli.commands import COMMANDS
from aigw.options import BY_FLAG

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_VARIABLE = "_AIGW_COMPLETE_LINE"
BREAKS_VARIABLE = "_AIGW_COMPLETE_BREAKS"


class Candidate(NamedTuple):
    """A word that may stand at the cursor."""

    value: str
    help: str = ""


def answer(environ: Mapping[str, str]) -> int:
    """Print the candidates for the line in the environment, in the shell's form."""
    shell = environ.get("_AIGW_COMPLETE", "")
    words, incomplete = split_line(environ.get(LINE_VARIABLE, ""), shell)
    breaks = environ.get(BREAKS_VARIABLE, "")
    # Bash replaces only what follows the last break (`:`, `=`) within the word at the cursor.
    known = max((incomplete.rfind(mark) for mark in breaks if mark in ":="), default=-1) + 1
    for candidate in candidates(words[1:], incomplete):
        print(_shell_form(shell, candidate, known))
    return 0


def split_line(line: str, shell: str) -> tuple[list[str], str]:
    """The whole words of a line, and the one at its end that is being typed."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if shell == "powershell":
        lexer.escape = "`"
    words: list[str] = []
    try:
        words.extend(iter(lexer.get_token, None))
    except ValueError:  # the word at the cursor has an open quote
        return words, lexer.token.lstrip("\"'")
    if not words or line[-1:].isspace():
        return words, ""
    return words[:-1], words[-1]


def candidates(words: list[str], incomplete: str) -> list[Candidate]:
    """What may stand at the cursor after these words of an `aigw` line."""
    if not words and not incomplete.startswith("-"):
        return [Candidate(c.name, c.help) for c in COMMANDS if c.name.startswith(incomplete)]
    place = _walk(words)
    if place is None:
        return []
    return _candidates_at(place, incomplete)


def _candidates_at(place: _Place, incomplete: str) -> list[Candidate]:
    if place.option is not None:
        return _values(place, place.option, incomplete)
    if incomplete.startswith("--") and "=" in incomplete:
        return _flag_values(place, incomplete)
    if incomplete.startswith("-"):
        return _flags(place, incomplete)
    if hasattr(place.command, "list_commands"):
        return _subcommands(place, incomplete)
    return _arguments(place, incomplete)


class _Place(NamedTuple):
    """Where the words have led: a command, and the option whose value comes next, if any."""

    context: Any
    command: Any
    option: Any
    arguments: int


def _walk(words: list[str]) -> _Place | None:
    from aigw.cli.tree import root

    command = root()
    context = command.make_context("aigw", [], resilient_parsing=True)
    option = None
    arguments = 0
    for word in words:
        if option is not None:
            _note_database(option, word)
            option = None
        elif word.startswith("-") and word != "-":
            flag, equals, value = word.partition("=")
            found = _option(command, flag)
            option = found if found and not equals and _takes_value(found) else None
            if found and equals:
                _note_database(found, value)
        elif hasattr(command, "get_command"):
            command = command.get_command(context, word)
            if command is None:
                return None
            context = command.make_context(word, [], parent=context, resilient_parsing=True)
        else:
            arguments += 1
    return _Place(context, command, option, arguments)


def _note_database(option: Any, value: str) -> None:
    """A `--db` on the line says which store the values come from."""
    if "--db" in option.opts:
        os.environ["AIGW_DB"] = value


def _option(command: Any, flag: str) -> Any:
    return next((p for p in command.params if flag in p.opts and flag.startswith("-")), None)


def _takes_value(option: Any) -> bool:
    switch = any(flag in BY_FLAG and BY_FLAG[flag].kind == "bool" for flag in option.opts)
    return not (switch or option.is_flag or getattr(option, "count", False))


def _values(place: _Place, parameter: Any, incomplete: str) -> list[Candidate]:
    switch = parameter.opts[0] in BY_FLAG and BY_FLAG[parameter.opts[0]].kind == "bool"
    if switch:
        return [Candidate(word) for word in ("true", "false") if word.startswith(incomplete)]
    items = parameter.shell_complete(place.context, incomplete)
    found = [Candidate(i.value, i.help or "") for i in items if i.type == "plain"]
    if found:
        return found
    from aigw.cli.complete import BY_PARAMETER

    names = (*parameter.opts, parameter.name)
    complete = next((BY_PARAMETER[name] for name in names if name in BY_PARAMETER), None)
    return [Candidate(value) for value in complete(incomplete)] if complete else []


def _arguments(place: _Place, incomplete: str) -> list[Candidate]:
    arguments = [p for p in place.command.params if p.param_type_name == "argument"]
    following = arguments[place.arguments : place.arguments + 1] or [
        argument for argument in arguments[-1:] if argument.nargs == -1
    ]
    return _values(place, following[0], incomplete) if following else []


def _flag_values(place: _Place, incomplete: str) -> list[Candidate]:
    """What may follow in `--flag=...`."""
    flag, _, typed = incomplete.partition("=")
    option = _option(place.command, flag)
    found = _values(place, option, typed) if option else []
    return [Candidate(f"{flag}={value}", text) for value, text in found]


def _flags(place: _Place, incomplete: str) -> list[Candidate]:
    return [
        Candidate(flag, _first_sentence(getattr(parameter, "help", "")))
        for parameter in place.command.get_params(place.context)
        if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False)
        for flag in (*parameter.opts, *parameter.secondary_opts)
        if flag.startswith(incomplete)
    ]


def _subcommands(place: _Place, incomplete: str) -> list[Candidate]:
    found = []
    for name in place.command.list_commands(place.context):
        command = place.command.get_command(place.context, name)
        if name.startswith(incomplete) and not command.hidden:
            found.append(Candidate(name, _first_sentence(command.help)))
    return found


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split()).partition(". ")[0].removesuffix(".")


def _shell_form(shell: str, candidate: Candidate, known: int) -> str:
    if shell == "bash":
        return candidate.value[known:]
    if shell == "zsh":
        value = candidate.value.replace("\\", "\\\\").replace(":", "\\:")
        return f"{value}:{candidate.help}" if candidate.help else value
    return f"{candidate.value}\t{candidate.help}" if candidate.help else candidate.value
