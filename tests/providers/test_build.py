"""From settings to a provider."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from multidict import CIMultiDict

from aigw.provider_settings import BedrockSettings, ProviderSettings
from aigw.providers.build import build_provider, type_of
from aigw.providers.call import Call
from aigw.providers.key_pool import KeyPool
from aigw.providers.types import BEDROCK, TYPES
from aigw.secrets import Secret

KEYS = (Secret("sk-canary-first-0123456789"), Secret("sk-canary-second-012345678"))


def described(kind: str = "openai", **more: object) -> ProviderSettings:
    return replace(ProviderSettings(type=kind, name="mine"), **more)  # type: ignore[arg-type]


def pool_of(settings: ProviderSettings) -> KeyPool:
    pool = build_provider(settings).pool
    assert pool is not None
    return pool


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_every_type(kind: str) -> None:
    if kind == "bedrock":
        settings = described(kind, bedrock=BedrockSettings(region="eu-west-1"))
    else:
        settings = described(kind, base_url="https://h.example/v1/")
    made = build_provider(settings)
    assert made.type is TYPES[kind] is type_of(settings)
    assert made.name == "mine"
    assert not made.base_url.endswith("/")
    assert made.rules is None
    assert made.allow_byok


def test_the_types_own_address() -> None:
    assert build_provider(described("openrouter")).base_url == "https://openrouter.ai/api/v1"
    made = build_provider(described("openrouter", base_url="https://h/x/"))
    assert made.base_url == "https://h/x"


async def test_keys_in_order_in_the_types_header() -> None:
    pool = pool_of(described("azure", keys=KEYS, key_cooldown=timedelta(minutes=2)))
    assert (pool.cooldown, pool.provider) == (120.0, "mine")
    sent = []
    for credential in pool.credentials:
        call = Call("POST", "https://h", CIMultiDict(), b"")
        await credential.apply(call)
        sent.append(dict(call.headers))
    assert sent == [{"api-key": key.reveal()} for key in KEYS]
    assert "canary" not in repr(pool)


def test_without_keys_clients_bring_their_own() -> None:
    assert build_provider(described()).pool is None
    assert build_provider(described(keys=(Secret(),))).pool is None


@pytest.mark.parametrize("kind", ["copilot", "chatgpt"])
def test_personal_providers_have_no_central_key(kind: str) -> None:
    assert build_provider(described(kind, keys=KEYS)).pool is None


def test_rules_headers_and_byok() -> None:
    made = build_provider(
        described(
            allow_models=("gpt-*",),
            deny_models=("gpt-4*",),
            model_aliases={"fast": "gpt-5-mini"},
            headers={"X-Team": "a"},
            allow_byok=False,
        )
    )
    assert made.rules is not None
    assert made.headers == {"X-Team": "a"}
    assert not made.allow_byok
    assert build_provider(described(model_aliases={"a": "b"})).rules is not None


@pytest.mark.parametrize("kind", ["anthropic", "bedrock"])
@pytest.mark.parametrize("protocol", ["invoke", "mantle"])
def test_whatever_has_bedrock_settings_is_served_by_bedrock(kind: str, protocol: str) -> None:
    bedrock = BedrockSettings(region="eu-west-1", protocol=protocol)
    made = build_provider(described(kind, base_url="https://api.anthropic.com", bedrock=bedrock))
    assert made.type is BEDROCK
    assert made.bedrock is not None
    service = "mantle" if protocol == "mantle" else "runtime"
    assert made.base_url.startswith(f"https://bedrock-{service}.eu-west-1.")


async def test_bedrocks_own_keys() -> None:
    settings = described("bedrock", keys=KEYS, bedrock=BedrockSettings(region="eu-west-1"))
    call = Call("POST", "https://h", CIMultiDict(), b"")
    await pool_of(settings).credentials[1].apply(call)
    assert call.headers["Authorization"] == f"Bearer {KEYS[1].reveal()}"


def test_anthropics_keys_never_go_to_aws() -> None:
    pair = (Secret("AKIAIOSFODNN7EXAMPLE"), Secret("aws-secret-0123456789"))
    bedrock = BedrockSettings(region="eu-west-1", access_keys=(pair,))
    pool = build_provider(described("anthropic", keys=KEYS, bedrock=bedrock)).pool
    hints = [] if pool is None else [each.hint for each in pool.credentials]
    assert not {str(key) for key in KEYS} & set(hints)
