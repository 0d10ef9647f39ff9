"""What the daemon tells the person who started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aigw.cli.serve import banner
from aigw.gateway.configuration import Configuration
from aigw.provider_settings import BedrockSettings, ProviderSettings
from aigw.providers.bedrock import Bedrock
from aigw.providers.call import ApiKey
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider
from aigw.providers.types import TYPES
from aigw.secrets import Secret
from aigw.settings import Settings, resolve
from aigw.store.lock import Runtime
from tests.home import use_home

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ("Authorization", "Bearer {}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    use_home(monkeypatch, tmp_path)
    return resolve({"db": str(tmp_path / "aigw.db")}, {})


def runtime(address: str, listening: str = "", metrics: str | None = None) -> Runtime:
    return Runtime(
        pid=1,
        address=address,
        listening=listening or address,
        started_at=1,
        version="9.9",
        metrics_address=metrics,
        control_token="canary",
    )


def pool(count: int) -> KeyPool:
    return KeyPool([ApiKey(Secret(f"sk-canary-{n}-0123456789012"), HEADER) for n in range(count)])


def test_open_mode(settings: Settings) -> None:
    nothing = Configuration(providers={}, described={})
    lines = banner(settings, runtime("http://127.0.0.1:4001"), nothing, 0)
    assert lines[0] == "aigw 9.9 is ready at http://127.0.0.1:4001"
    assert lines[1] == f"  database   {settings.db}"
    assert "  access     open mode: whoever uses this machine" in lines
    assert not any("metrics" in line for line in lines)


def test_every_kind_of_provider(settings: Settings) -> None:
    bedrock = BedrockSettings(region="eu-west-1")
    described = {
        "one": ProviderSettings(type="openai", name="one"),
        "two": ProviderSettings(type="openai", name="two"),
        "own": ProviderSettings(type="copilot", name="own"),
        "cloud": ProviderSettings(type="bedrock", name="cloud", bedrock=bedrock),
        "off": ProviderSettings(type="azure", name="off", enabled=False),
    }
    providers = {
        "one": Provider(TYPES["openai"], "one", "https://a/v1", pool(1)),
        "two": Provider(TYPES["openai"], "two", "https://b/v1", pool(2)),
        "own": Provider(TYPES["copilot"], "own", "https://c"),
        "cloud": Provider(
            TYPES["bedrock"], "cloud", "https://d", pool(1), bedrock=Bedrock(bedrock)
        ),
    }
    configuration = Configuration(providers=providers, described=described)
    lines = banner(settings, runtime("http://127.0.0.1:1"), configuration, 0)
    assert [line for line in lines if line.startswith("  provider")] == [
        "  provider   one        https://a/v1 (central key)",
        "  provider   two        https://b/v1 (2 keys)",
        "  provider   own        https://c (no key: the client's own is used)",
        "  provider   cloud      https://d, Amazon Bedrock in eu-west-1 (AWS credentials)",
        "  provider   off        disabled",
    ]
    assert "canary" not in "".join(lines)


def test_with_gateway_keys_and_tls(settings: Settings) -> None:
    nothing = Configuration(providers={}, described={})
    note = runtime("https://127.0.0.1:1", "https://0.0.0.0:1", "127.0.0.1:2112")
    lines = banner(settings, note, nothing, 2)
    assert lines[0] == ("aigw 9.9 is ready at https://127.0.0.1:1 (listening on https://0.0.0.0:1)")
    assert "  access     gateway keys: 2" in lines
    assert "  metrics    http://127.0.0.1:2112/metrics" in lines
    assert "# Your gateway key, as `aigw keys create NAME` showed it" in lines
    assert "canary" not in "".join(lines)
