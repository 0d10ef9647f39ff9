"""Which paths lead where is in tests/providers/test_provider; here is what is remembered of them."""

from __future__ import annotations

import pytest

from aigw.gateway.configuration import Configuration
from aigw.gateway.ways import _LENGTH_REMEMBERED, _REMEMBERED, PREFIXES, Ways
from aigw.providers.provider import ErrorShape, Provider
from aigw.providers.types import ANTHROPIC, OPENAI
from aigw.store.keys import PREFIX

CONFIGURATION = Configuration(
    providers={
        "openai": Provider(OPENAI, "openai", "http://127.0.0.1:1/v1"),
        "claude": Provider(ANTHROPIC, "claude", "http://127.0.0.1:1"),
    },
    described={},
)
MODEL = "/openai/v1/models/"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_way_is_the_same_each_time(prefix: str) -> None:
    ways = Ways(CONFIGURATION)
    first = ways.find(f"{prefix}claude/v1/messages")
    assert first.provider is CONFIGURATION.providers["claude"]
    assert first.rest == "/v1/messages"
    assert first.target is not None
    assert first.shape is ErrorShape.ANTHROPIC
    assert not first.has_key
    assert ways.find(f"{prefix}claude/v1/messages") is first


def test_a_path_without_a_provider_is_left_whole() -> None:
    way = Ways(CONFIGURATION).find("/healthz")
    assert way.provider is None
    assert way.rest == "/healthz"


def test_what_clients_invent_is_not_remembered() -> None:
    ways = Ways(CONFIGURATION)
    for path in ("/nobody/v1/messages", "/openai/v1/unknown", MODEL + "m" * _LENGTH_REMEMBERED):
        ways.find(path)
    assert not ways._known


def test_a_gateway_key_is_not_remembered() -> None:
    ways = Ways(CONFIGURATION)
    assert ways.find(f"{MODEL}{PREFIX}{'a' * 10}_{'b' * 43}").has_key
    assert not ways._known


def test_the_memory_is_bounded() -> None:
    ways = Ways(CONFIGURATION)
    for number in range(_REMEMBERED + 10):
        ways.find(f"{MODEL}{number}")
    assert 0 < len(ways._known) <= _REMEMBERED
