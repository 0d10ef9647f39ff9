from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from aigw import __version__
from aigw.cli import main as main_module
from aigw.cli.commands import COMMANDS, PANELS, Command
from aigw.cli.main import main
from aigw.cli.option_flags import spell_out_switches
from aigw.errors import ConfigError, DaemonError, NotRunningError, StoreError
from aigw.options import OPTIONS
from tests.home import use_home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_home(monkeypatch, tmp_path / "home")
    monkeypatch.setenv("COLUMNS", "80")


def aigw(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aigw", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
        timeout=30,
    )


def test_help_lists_every_command_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for command in COMMANDS:
        assert command.panel in PANELS
        assert re.search(rf"│ {command.name} +{re.escape(command.help)}", captured.out)
    assert {
        len(line) for line in captured.out.splitlines() if line.startswith(("╭", "│", "╰"))
    } == {80}
    assert "\x1b" not in captured.out


@pytest.mark.parametrize("words", [["-h"], ["--help", "serve"], ["--help", "--version"]])
def test_every_way_to_the_help_gives_the_same_text(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--help"])
    expected = capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == expected.strip()


@pytest.mark.parametrize("words", [["session"], ["budgets", "set"], ["serve"]])
def test_help_flows_to_the_width_of_the_terminal(words: list[str]) -> None:
    done = aigw(*words, "--help")
    description = done.stdout.partition("\u256d")[0]
    for paragraph in re.split(r"\n *\n", description):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        for line, following in pairwise(lines):
            # Nothing breaks where the next word would have had room.
            assert len(f"{line} {following.split()[0]}") > 78, paragraph


def test_no_command_is_wrong_usage_and_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "serve" in captured.err


@pytest.mark.parametrize("words", [["--version"], ["--version", "serve"]])
def test_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"aigw {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from aigw.cli.main import main; main(['--help']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    heavy = {"typer", "rich", "aiohttp", "asyncio", "sqlite3", "msgspec", "pydantic", "yaml"}
    assert loaded & heavy == set()


def test_help_survives_a_terminal_without_frames() -> None:
    done = aigw("--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "+- Gateway ---" in done.stdout


def test_serve_help_shows_every_flag_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    for option in OPTIONS:
        assert f" {option.flag}" in text
        assert option.variable in text
        for alias in option.flag_aliases:
            assert alias not in text
    for group in {option.group for option in OPTIONS}:
        assert f"─ {group} ─" in text
    assert "…" not in text


def test_serve_has_exactly_the_flags_of_the_table() -> None:
    import typer

    from aigw.cli.tree import load

    command = load("serve")
    with typer.Context(command) as context:
        flags = [flag for p in command.get_params(context) for flag in p.opts]
    expected = [flag for option in OPTIONS for flag in option.flags]
    assert sorted(flags) == sorted([*expected, "--help", "-h"])


def settings_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What the flags of a command with the option table's flags come to."""
    assert main(["config", "show", "--json", *words]) == 0
    shown: dict[str, object] = json.loads(capsys.readouterr().out)
    return shown


@pytest.mark.parametrize(
    "words",
    [
        ["--aibridge-enabled"],
        ["--aibridge-enabled=true"],
        ["--aibridge-enabled=T"],
        ["--ai-gateway-enabled"],
        ["--ai-gateway-enabled=1"],
        ["--aibridge-enabled", "--ai-gateway-enabled"],
        ["--aibridge-enabled=false", "--aibridge-enabled"],
    ],
)
def test_forms_of_a_switch(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of([*words, "--db", "/x.db", "-l", ".*"], capsys)
    assert settings["aibridge.enabled"] is True
    assert str(settings["aigw.db"]).endswith("x.db")
    assert settings["introspection.logging.filter"] == ".*"


@pytest.mark.parametrize("words", [[], ["--aibridge-enabled=false"]])
def test_serve_without_being_enabled_says_what_is_missing(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *words]) == 2
    captured = capsys.readouterr()
    for name in ("--aibridge-enabled", "CODER_AIBRIDGE_ENABLED", "aibridge.enabled"):
        assert name in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["serve", "--aibridge-enable"],
            "No such option: --aibridge-enable (did you mean --aibridge-enabled?)",
        ),
        (["serve", "--ai-gateway-retentoin=5d"], "(did you mean --ai-gateway-retention?)"),
        (["serve", "--aibridge-budget-period=x"], "No such option: --aibridge-budget-period"),
        (["serve", "--aibridge-enabled", "true"], "write --aibridge-enabled=true"),
        (["serve", "--aibridge-enabled=perhaps"], "--aibridge-enabled: 'perhaps' is not a switch"),
        (["serve", "--aibridge-enabled", "extra"], "unexpected extra argument"),
        (["serve", "--db"], "requires an argument"),
        (["serve", "--aibridge-retention=60"], "--aibridge-retention: '60' has no unit"),
        (["serve", "--aibridge-retention=1d", "--ai-gateway-retention=2d"], "set only one"),
        (["serve", "--config", "missing.toml"], "missing.toml: cannot be read"),
        (["serv"], "No such command 'serv'. Did you mean 'serve'?"),
        (["config"], "Missing command"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish', 'powershell'"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert message in captured.err
    assert len(captured.err.splitlines()) <= 2


def test_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    # Not enabled: the warnings come before the reason why nothing starts.
    assert main(["serve", "--aibridge-openai-key", "sk-canary-0123456789"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Warning: --aibridge-openai-key: other users")
    assert "canary" not in captured.err + captured.out


def test_values_that_look_like_switches_stay_values() -> None:
    assert spell_out_switches(["--db", "--aibridge-enabled", "--prometheus-enable"]) == [
        "--db",
        "--aibridge-enabled",
        "--prometheus-enable=true",
    ]
    assert spell_out_switches(["--", "--aibridge-enabled"]) == ["--", "--aibridge-enabled"]
    assert spell_out_switches(["--db"]) == ["--db"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("one", "two"), 2, "Error: one\nError: two\n"),
        (StoreError("the database is gone"), 1, "Error: the database is gone\n"),
        (DaemonError("the port is taken"), 1, "Error: the port is taken\n"),
        (NotRunningError("no daemon"), 3, "Error: no daemon\n"),
        (KeyboardInterrupt(), 130, ""),
        (PermissionError(13, "Permission denied", "/x"), 1, "Error: /x: Permission denied\n"),
    ],
)
def test_errors_become_messages_and_exit_codes(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(main_module, "_run_command", fail)
    assert main(["logs"]) == code
    assert capsys.readouterr().err == message


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "aigw", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.stderr == b""
    assert done.returncode in (1, 141)


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from aigw.cli.messages import paint

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint("x", "1", Terminal()) == "\x1b[1mx\x1b[0m"
    assert paint("x", "1", StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "1", Terminal()) == "x"


def test_commands_have_distinct_names() -> None:
    names = [command.name for command in COMMANDS]
    assert len(names) == len(set(names))
    assert all(isinstance(command, Command) for command in COMMANDS)


def test_python_dash_m() -> None:
    done = aigw("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"aigw {__version__}\n", "")
