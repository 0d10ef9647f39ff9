from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aigw.cli.database_place import (
    CONFIG_VARIABLE,
    FILE_NAMES,
    VARIABLE,
    database_place,
)
from aigw.config_file import FILE_NAMES as KNOWN_FILE_NAMES
from aigw.errors import ConfigError
from aigw.options import BY_NAME
from aigw.settings import database_path
from tests.home import use_home

if TYPE_CHECKING:
    from pathlib import Path


def test_names_are_those_of_the_options() -> None:
    assert BY_NAME["db"].variables == (VARIABLE,)
    assert BY_NAME["config"].variables == (CONFIG_VARIABLE,)
    assert FILE_NAMES == KNOWN_FILE_NAMES


@pytest.mark.parametrize("flag", [None, "x.db", "../x.db", "~/x.db", "/x/./y.db"])
@pytest.mark.parametrize("variable", [None, "", "v.db", "~/v.db"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (None, ""),
        ("config.toml", '[aigw]\ndb = "other.db"\n'),
        ("config.toml", "# nothing\n"),
        ("config.toml", "# db = 1\n[aibridge]\nretention = '2h'\n"),
        ("config.toml", "aigw.db = '~/other.db'\n"),
        ("config.toml", "[aigw]\n'db' = '../../other.db'\n"),
        ("config.yaml", "aigw:\n  db: ~/other.db\n"),
        ("config.yml", ""),
        ("named.toml", '[aigw]\ndb = "/named/other.db"\n'),
        ("named.yaml", "{}"),
    ],
)
def test_the_place_is_that_of_the_settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flag: str | None,
    variable: str | None,
    name: str | None,
    content: str,
) -> None:
    folder = use_home(monkeypatch, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    environ = {} if variable is None else {VARIABLE: variable}
    if name is not None:
        path = folder / name
        path.write_text(content)
        if name.startswith("named"):
            environ[CONFIG_VARIABLE] = str(path)
    assert database_place(flag, environ) == database_path(flag, environ)


@pytest.mark.parametrize("flag", ["", " ", "a\0b"])
def test_no_path_is_refused(flag: str) -> None:
    with pytest.raises(ConfigError):
        database_place(flag, {})


@pytest.mark.parametrize("content", ["db", "[aigw]\ndb = 7\n", "[aigw]\ndb = ' '\n", "aigw.db = ["])
def test_a_wrong_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(content)
    with pytest.raises(ConfigError):
        database_place(None, {CONFIG_VARIABLE: str(path)})


def test_two_files_that_may_decide_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_home(monkeypatch, tmp_path / "home")
    (folder / "config.toml").write_text("[aigw]\ndb = 'x'\n")
    (folder / "config.yaml").write_text("aigw: {db: y}\n")
    with pytest.raises(ConfigError, match="two configuration files"):
        database_place(None, {})


def test_a_missing_file_that_is_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        database_place(None, {CONFIG_VARIABLE: str(tmp_path / "none.toml")})
