"""No secret shows where a program prints what it holds."""

from __future__ import annotations

import logging
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest
from multidict import CIMultiDict

from aigw.errors import AigwError
from aigw.gateway.configuration import from_settings
from aigw.providers.call import Call
from aigw.settings import Settings, resolve
from aigw.telemetry.logs import HumanFormatter, JsonFormatter
from tests.home import use_home

OPENAI = "sk-canary-openai-5f1e9d7b33"
ANTHROPIC = "sk-ant-canary-8c2a6e4f10"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    use_home(monkeypatch, tmp_path)
    return resolve(
        {"enabled": "true", "db": str(tmp_path / "aigw.db")},
        {"CODER_AIBRIDGE_OPENAI_KEY": OPENAI, "CODER_AIBRIDGE_ANTHROPIC_KEY": ANTHROPIC},
    )


def shows_none(text: str) -> bool:
    return OPENAI not in text and ANTHROPIC not in text


async def test_the_keys_are_there(settings: Settings) -> None:
    providers = from_settings(settings).providers
    for name, key in (("openai", OPENAI), ("anthropic", ANTHROPIC)):
        pool = providers[name].pool
        assert pool is not None
        call = Call("POST", "http://h", CIMultiDict(), b"")
        await pool.credentials[0].apply(call)
        assert any(key in value for value in call.headers.values())


def test_printing_shows_none(settings: Settings) -> None:
    held = [settings, from_settings(settings), asdict(settings), AigwError(settings)]
    for value in held:
        assert shows_none(repr(value))
        assert shows_none(str(value))
        assert shows_none(f"{value}")


def test_log_lines_show_none(settings: Settings) -> None:
    made = logging.LogRecord(
        "aigw", logging.ERROR, "", 1, "%s %r", (settings, from_settings(settings)), None
    )
    assert shows_none(HumanFormatter().format(made))
    assert shows_none(JsonFormatter().format(made))


def test_problems_and_warnings_show_none(settings: Settings) -> None:
    assert shows_none("".join(settings.warnings))
    assert shows_none(repr(settings.origins))


def test_a_canary_would_be_seen(settings: Settings) -> None:
    assert not shows_none(pickle.dumps(settings.openai_key.reveal()).decode("latin-1"))
