from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from aigw.cli import complete
from aigw.cli.complete_line import candidates, split_line
from aigw.cli.completion import SCRIPTS, Shell
from aigw.cli.main import main
from aigw.options import OPTIONS
from aigw.store.schema import migrate
from tests.home import use_home

FOLDER = Path(__file__).parent.parent.parent / "completions"
FIRST_ID = "01930000-0000-7000-8000-000000000001"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_home(monkeypatch, tmp_path / "home")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "aigw.db"
    with closing(sqlite3.connect(path)) as connection:
        migrate(connection)
        for seq, model, client in ((1, "gpt-5", "Codex"), (2, "vendor:m-1", "Claude Code")):
            connection.execute(
                "INSERT INTO interceptions (seq, id, started_at, initiator_id, provider,"
                " provider_name, route, model, client, client_session_id, credential_kind,"
                " credential_hint, metadata)"
                " VALUES (?, ?, 0, 'me', 'openai', 'mine', '/', ?, ?, 's-1', '', '', '{}')",
                (seq, f"{FIRST_ID[:-1]}{seq}", model, client),
            )
        connection.commit()
    return path


@pytest.mark.parametrize("shell", list(Shell))
def test_the_scripts_are_in_step(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    name, script = SCRIPTS[shell]
    assert (FOLDER / name).read_text(encoding="utf-8") == script, (
        "run: python -m aigw.cli.completion_files completions"
    )
    assert main(["completion", shell.value]) == 0
    assert capsys.readouterr().out == script


def values(words: list[str], incomplete: str) -> list[str]:
    return [candidate.value for candidate in candidates(words, incomplete)]


def test_commands_and_their_flags() -> None:
    assert values([], "s") == [
        "serve", "status", "sessions", "session", "statusline", "show", "sql",
    ]  # fmt: skip
    assert values([], "--v") == ["--version"]
    assert values(["config"], "") == ["show", "check", "path", "init"]
    assert values(["config", "init"], "--f") == ["--force"]
    assert values(["completion"], "") == ["bash", "zsh", "fish", "powershell"]
    assert values(["nonsense"], "") == []
    flags = values(["serve"], "--")
    assert {option.flag for option in OPTIONS} <= set(flags)
    assert not [flag for flag in flags if flag.startswith("--ai-gateway")]


def test_values_of_flags() -> None:
    assert values(["serve", "--store-synchronous"], "") == ["normal", "full"]
    assert values(["serve"], "--store-synchronous=f") == ["--store-synchronous=full"]
    assert values(["serve"], "--aibridge-enabled=") == [
        "--aibridge-enabled=true",
        "--aibridge-enabled=false",
    ]
    assert values(["serve", "--db"], "") == []  # the shell's files
    assert values(["serve", "--aibridge-enabled"], "--store-f") == ["--store-fail-open"]


@pytest.mark.parametrize(
    ("line", "words", "incomplete"),
    [
        ("aigw ", ["aigw"], ""),
        ("aigw lo", ["aigw"], "lo"),
        ("aigw logs --client 'Claude Co", ["aigw", "logs", "--client"], "Claude Co"),
        ('aigw logs --client "Claude Code" ', ["aigw", "logs", "--client", "Claude Code"], ""),
        (r"aigw logs --client Claude\ C", ["aigw", "logs", "--client"], "Claude C"),
        ("aigw logs -q it#is ", ["aigw", "logs", "-q", "it#is"], ""),
        ("", [], ""),
    ],
)
def test_lines_are_split_as_shells_do(line: str, words: list[str], incomplete: str) -> None:
    assert split_line(line, "bash") == (words, incomplete)


def test_windows_paths_keep_their_backslashes() -> None:
    assert split_line(r"aigw serve --db C:\x\a.db", "powershell")[1] == r"C:\x\a.db"


def test_values_from_the_store(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGW_DB", str(database))
    assert complete.complete_provider("") == ["anthropic", "mine", "openai"]
    assert complete.complete_model("V") == ["vendor:m-1"]
    assert complete.complete_client("cl") == ["Claude Code"]
    assert complete.complete_session("") == ["s-1"]
    assert complete.complete_initiator("m") == ["me"]
    assert complete.complete_interception_id("0193") == [f"{FIRST_ID[:-1]}2", FIRST_ID]
    assert complete.complete_interception_id(FIRST_ID) == [FIRST_ID]
    assert complete.complete_interception_id("ff") == []
    assert "token_usage" in complete.complete_record_type("tok")


def test_flags_of_commands_complete_from_the_store(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIGW_DB", str(tmp_path / "missing.db"))  # also restores what --db sets
    assert values(["logs", "--model"], "") == []
    assert values(["logs", f"--db={database}", "--model"], "g") == ["gpt-5"]
    assert values(["logs", "--db", str(database)], "--client=C") == [
        "--client=Claude Code",
        "--client=Codex",
    ]
    assert values(["logs", "--record-type"], "prompt") == ["prompt_usage"]


def test_show_completes_ids(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGW_DB", str(database))
    assert values(["show"], "0193") == [f"{FIRST_ID[:-1]}2", FIRST_ID]


@pytest.mark.parametrize("state", ["missing", "empty", "folder", "corrupt", "locked", "bad config"])
def test_a_store_in_trouble_offers_nothing(
    state: str, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database if state == "locked" else tmp_path / "other.db"
    monkeypatch.setenv("AIGW_DB", str(path))
    if state == "empty":
        path.touch()
    elif state == "folder":
        path.mkdir()
    elif state == "corrupt":
        path.write_bytes(b"not a database, whatever its name says" * 100)
    elif state == "bad config":
        monkeypatch.delenv("AIGW_DB")
        monkeypatch.setenv("CODER_CONFIG_PATH", str(tmp_path / "missing.toml"))
    with closing(sqlite3.connect(database)) as connection:
        if state == "locked":
            connection.execute("BEGIN EXCLUSIVE")
        assert complete.complete_model("") == []
        assert complete.complete_interception_id("") == []
        assert complete.complete_provider("o") == ["openai"]
    if state == "missing":
        assert not path.exists()


BASH = shutil.which("bash")


def bash_completes(line: str, tmp_path: Path, **environ: str) -> list[str]:
    """What bash has in COMPREPLY after Tab at the end of a line."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir(exist_ok=True)
    command = bin_folder / "aigw"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aigw "$@"\n')
    command.chmod(0o755)
    script = r"""
source "$SCRIPT"
complete -p aigw >/dev/null || exit 1
COMP_LINE=$LINE COMP_POINT=${#LINE}
read -ra COMP_WORDS <<<"$LINE"
[[ "$LINE" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_aigw_completion aigw "${COMP_WORDS[COMP_CWORD]}"
printf '%s\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        [str(BASH), "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={
            **os.environ,
            **environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(FOLDER.parent),
            "SCRIPT": str(FOLDER / "aigw.bash"),
            "LINE": line,
        },
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(BASH is None or os.name == "nt", reason="needs bash")
def test_bash(tmp_path: Path, database: Path) -> None:
    assert bash_completes("aigw serv", tmp_path) == ["serve"]
    assert bash_completes("aigw serve --prometheus-e", tmp_path) == ["--prometheus-enable"]
    assert bash_completes("aigw serve --store-synchronous ", tmp_path) == ["normal", "full"]
    assert bash_completes("aigw logs --client Cl", tmp_path, AIGW_DB=str(database)) == [
        r"Claude\ Code"
    ]
    assert bash_completes("aigw logs --model vendor:m", tmp_path, AIGW_DB=str(database)) == ["m-1"]
    # `=` starts a new word for bash: only what follows it is replaced.
    assert bash_completes("aigw serve --store-synchronous=f", tmp_path) == ["full"]


@pytest.mark.skipif(BASH is None or os.name == "nt", reason="needs bash")
@pytest.mark.parametrize("shell", [Shell.BASH])
def test_scripts_parse(shell: Shell) -> None:
    subprocess.run([str(BASH), "-n", str(FOLDER / SCRIPTS[shell][0])], check=True)
