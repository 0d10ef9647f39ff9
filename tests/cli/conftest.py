from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.reading import Command
from tests.home import use_home
from tests.store.rows import Store, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "aigw.db") as made:
        yield made


@pytest.fixture
def command(
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Command:
    use_home(monkeypatch, tmp_path / "home")
    return Command(store.path, capsys)
