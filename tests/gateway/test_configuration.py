"""What a reload may change, from the settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from multidict import CIMultiDict

from aigw.errors import ConfigError
from aigw.gateway.circuit import BreakerSettings
from aigw.gateway.configuration import Configuration, from_settings
from aigw.provider_settings import BedrockSettings, ProviderSettings
from aigw.providers.key_pool import KeyPool
from aigw.secrets import Secret
from aigw.settings import Settings, resolve
from tests.home import use_home

HOME = ProviderSettings(type="openai", name="home", keys=(Secret("sk-one-0123456789012"),))
AWAY = ProviderSettings(type="anthropic", name="away")
CLOUD = ProviderSettings(type="bedrock", name="cloud", bedrock=BedrockSettings(region="eu-west-1"))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    use_home(monkeypatch, tmp_path)
    return resolve({"db": str(tmp_path / "aigw.db")}, {})


class Configured:
    """Makes configurations of the providers given, as if the settings had them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(
        self, *described: ProviderSettings, previous: Configuration | None = None, **more: object
    ) -> Configuration:
        settings = replace(self._settings, providers=described, **more)  # type: ignore[arg-type]
        return from_settings(settings, previous)


@pytest.fixture
def configured(settings: Settings) -> Configured:
    return Configured(settings)


def told(made: Configuration) -> dict[str, str]:
    """Whom a provider would be told of."""
    headers: CIMultiDict[str] = CIMultiDict()
    made.actor.apply(headers, "an-id", "a-name", "a@b.example")
    return dict(headers)


def test_defaults(settings: Settings) -> None:
    made = from_settings(settings)
    assert list(made.providers) == ["openai", "anthropic"]
    assert (made.max_concurrency, made.rate_limit) == (0, 0)
    assert made.breaker is None
    assert told(made) == {}
    assert made.retention == timedelta(days=60)


def test_values(configured: Configured) -> None:
    made = configured(
        HOME,
        max_concurrency=5,
        rate_limit=6,
        send_actor_headers=True,
        actor_header_id="X-Who",
        actor_header_username="",
        actor_header_email="X-Mail",
        circuit_breaker_enabled=True,
        circuit_breaker_interval=timedelta(minutes=1),
        retention=timedelta(days=3),
    )
    assert (made.max_concurrency, made.rate_limit) == (5, 6)
    assert told(made) == {"X-Who": "an-id", "X-Mail": "a@b.example"}
    assert made.breaker == BreakerSettings(5, 60.0, 30.0, 3)
    assert made.retention == timedelta(days=3)


def test_disabled_providers_are_described_but_do_not_serve(configured: Configured) -> None:
    made = configured(HOME, replace(AWAY, enabled=False))
    assert list(made.providers) == ["home"]
    assert list(made.described) == ["home", "away"]
    assert list(made.disabled) == ["away"]


def test_problems_of_all_providers_are_reported(configured: Configured) -> None:
    first = replace(CLOUD, bedrock=BedrockSettings(region="here"))
    second = replace(CLOUD, name="other", bedrock=BedrockSettings(region="there"))
    with pytest.raises(ConfigError) as refused:
        configured(HOME, first, second, replace(first, name="off", enabled=False))
    assert [region in str(refused.value) for region in ("'here'", "'there'")] == [True, True]
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        ({}, True),
        ({"origins": {"keys": "file a.toml:9"}}, True),
        ({"keys": ()}, False),
        ({"keys": (Secret("sk-one-0123456789012", "env:OTHER"),)}, True),
        ({"headers": {"A": "b"}}, False),
        ({"base_url": "https://h"}, False),
    ],
)
def test_only_a_changed_provider_is_built_anew(
    configured: Configured, change: dict[str, object], is_kept: bool
) -> None:
    before = configured(HOME)
    after = configured(replace(HOME, **change), previous=before)  # type: ignore[arg-type]
    assert (after.providers["home"] is before.providers["home"]) is is_kept


def test_who_may_bring_a_key_is_the_providers_own_setting(configured: Configured) -> None:
    made = configured(HOME, replace(AWAY, allow_byok=False))
    assert [made.providers[name].allow_byok for name in ("home", "away")] == [True, False]


def test_awss_own_credentials_are_looked_for_again(configured: Configured) -> None:
    before = configured(CLOUD)
    assert configured(CLOUD, previous=before).providers["cloud"] is not before.providers["cloud"]
    pair = (Secret("AKIA0123456789"), Secret("secret-0123456789"))
    static = replace(CLOUD, bedrock=BedrockSettings(region="eu-west-1", access_keys=(pair,)))
    before = configured(static)
    assert configured(static, previous=before).providers["cloud"] is before.providers["cloud"]


def test_a_provider_that_was_switched_off_comes_back(configured: Configured) -> None:
    off = configured(replace(HOME, enabled=False))
    assert list(configured(HOME, previous=off).providers) == ["home"]


def test_which_keys_rest_is_taken_over(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[KeyPool, KeyPool]] = []
    monkeypatch.setattr(KeyPool, "adopt", lambda new, old: found.append((new, old)))
    second = replace(HOME, name="second")
    before = configured(HOME, second, AWAY, replace(HOME, name="gone"))
    changed = replace(HOME, headers={"A": "b"})
    after = configured(
        changed,
        second,
        replace(AWAY, headers={"A": "b"}),
        replace(HOME, name="new"),
        previous=before,
    )
    # Not before it is known that the new configuration comes into use.
    assert found == []
    after.adopt(before)
    assert found == [(after.providers["home"].pool, before.providers["home"].pool)]
