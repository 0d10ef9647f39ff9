"""A home folder of the test's own, so that no test reads the developer's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.config_file import default_folder

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def use_home(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """Move the platform's folders below `home`; returns the (made) configuration folder."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(home / "appdata"))
    folder = default_folder()
    assert folder.is_relative_to(home)
    folder.mkdir(parents=True)
    return folder
