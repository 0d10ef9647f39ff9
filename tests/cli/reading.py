"""Running a reading command in this process, on a store that the test has filled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aigw.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Command:
    """Runs `aigw` with `--db` set, and keeps what it said."""

    def __init__(self, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.database = database
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def run(self, *words: str) -> int:
        """The exit code; `out` and `err` hold the text."""
        code = main([*words, "--db", str(self.database)])
        self.out, self.err = self._capsys.readouterr()
        return code

    def lines(self, *words: str) -> list[str]:
        """The lines on stdout of a command that must succeed in silence."""
        assert self.run(*words) == 0, self.err
        assert self.err == ""
        return self.out.splitlines()

    def json(self, *words: str) -> Any:
        """The JSON document on stdout."""
        return json.loads("\n".join(self.lines(*words)))
