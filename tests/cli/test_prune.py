from __future__ import annotations

import io
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from aigw import clock
from tests.cli.reading import Command
from tests.store.rows import DAY, Store

if TYPE_CHECKING:
    from pathlib import Path


def count(store: Store) -> int:
    found: int = store.connection.execute("SELECT count(*) FROM interceptions").fetchone()[0]
    return found


@pytest.fixture
def filled(store: Store) -> Store:
    for days in (100, 80, 1):
        store.whole(clock.now() - days * DAY)
    return store


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_deletes_and_tells(filled: Store, command: Command) -> None:
    lines = command.lines("prune", "--retention", "90d")
    assert "1 interceptions deleted" in command.out
    assert "1 model_thoughts deleted" in command.out
    assert lines[-1].endswith(" freed")
    assert count(filled) == 2


def test_default_is_the_configured_retention(
    filled: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.json("prune", "--json")["retention"] == "60d"
    assert count(filled) == 1
    monkeypatch.setenv("CODER_AIBRIDGE_RETENTION", "12h")
    assert command.json("prune", "--json")["rows"]["interceptions"] == 1


def test_dry_run(filled: Store, command: Command) -> None:
    found = command.json("prune", "--retention", "2d", "--dry-run", "--json")
    assert found["dry_run"] is True
    assert found["rows"]["interceptions"] == 2
    assert found["bytes_freed"] > 0
    assert count(filled) == 3


@pytest.mark.parametrize("words", [(), ("--json",), ("--dry-run",)])
def test_zero_keeps_everything(filled: Store, command: Command, words: tuple[str, ...]) -> None:
    command.lines("prune", "--retention", "0", *words)
    assert count(filled) == 3
    assert "for ever" in command.out or '"before": null' in command.out


@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("\n", 3), ("no\n", 3), ("", 3)])
def test_asks_on_a_terminal(
    filled: Store, command: Command, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert command.run("prune", "--retention", "90d") == (0 if left == 2 else 1)
    assert "Delete 1 interceptions older than 90d" in command.err
    assert count(filled) == left


def test_yes_does_not_ask(filled: Store, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    command.lines("prune", "--retention", "90d", "--yes")
    assert count(filled) == 2


@pytest.mark.parametrize("text", ["90", "ten days", "-1d"])
def test_bad_durations_are_explained(command: Command, text: str) -> None:
    assert command.run("prune", f"--retention={text}") == 2
    assert "--retention" in command.err


def test_never_makes_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(tmp_path / "none.db", capsys)
    assert command.run("prune", "--retention", "1d") == 1
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_newer_database(filled: Store, command: Command) -> None:
    filled.connection.execute("PRAGMA user_version = 99")
    assert command.run("prune", "--retention", "1d") == 1
    assert "newer aigw" in command.err
    assert count(filled) == 3


def test_locked_database_is_one_line(
    filled: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aigw.cli.prune.BUSY_SECONDS", 0.05)
    filled.connection.execute("BEGIN IMMEDIATE")
    assert command.run("prune", "--retention", "1d") == 1
    assert "locked by another program" in command.err
    filled.connection.execute("ROLLBACK")
    assert isinstance(filled.connection, sqlite3.Connection)
