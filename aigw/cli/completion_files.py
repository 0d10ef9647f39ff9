"""`python -m aigw.cli.completion_files FOLDER`: write the completion scripts into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from aigw.cli.completion import SCRIPTS


def write(folder: Path) -> None:
    """Write each shell's script under its usual file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in SCRIPTS.values():
        (folder / name).write_text(script, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "completions"))
