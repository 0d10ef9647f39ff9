"""Where the database is, found in a few milliseconds: for `aigw statusline` and what lists records.

`settings.database_path` decides by the same rules (a test compares them), and is asked wherever the
configuration file may have a say. Importing it takes longer than all else that a status line does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "AIGW_DB"
CONFIG_VARIABLE = "CODER_CONFIG_PATH"
FILE_NAMES = ("config.toml", "config.yaml", "config.yml")

_MENTION = b"db"
# A configuration is smaller; a wrong path may be anything.
_LARGEST_FILE = 1_048_576


def database_place(flag: str | None, environ: Mapping[str, str]) -> Path:
    """The database that `--db` or the settings name.

    Raises:
        ConfigError: what decides is wrong.
    """
    text = flag if flag is not None else environ.get(VARIABLE, "")
    if _is_plain(text):
        return Path(os.path.normpath(Path.cwd() / text))
    if text.strip() or flag is not None:
        return _of_settings(flag, environ)
    deciding = [path for path in _config_files(environ) if _may_decide(path)]
    if deciding:
        named = _of_toml(deciding[0]) if len(deciding) == 1 else None
        return named or _of_settings(flag, environ)
    from platformdirs import user_data_path

    return user_data_path("aigw", appauthor=False) / "aigw.db"


def _of_settings(flag: str | None, environ: Mapping[str, str]) -> Path:
    from aigw.settings import database_path

    return database_path(flag, environ)


def _is_plain(text: str) -> bool:
    """Whether it is a path as it stands."""
    return bool(text.strip()) and "\0" not in text and not text.startswith("~")


def _config_files(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get(CONFIG_VARIABLE, "").strip():
        yield Path(named).expanduser()
        return
    from platformdirs import user_config_path

    folder = user_config_path("aigw", appauthor=False)
    yield from (path for name in FILE_NAMES if (path := folder / name).exists())


def _may_decide(path: Path) -> bool:
    """Whether a file mentions the key at all; true for one that cannot be read so."""
    if not path.is_file():
        return True
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE)
    return _MENTION in content or len(content) == _LARGEST_FILE


def _of_toml(path: Path) -> Path | None:
    """What a TOML file names; None where the settings have to look at it."""
    if path.suffix.lower() != ".toml":
        return None
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("aigw")
    except (OSError, ValueError):
        return None
    text = table.get("db") if isinstance(table, dict) else None
    if not isinstance(text, str) or not _is_plain(text):
        return None
    return Path(os.path.normpath(path.absolute().parent / text))
