"""Rules for models on the routes that are only passed through."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aigw.providers.model_rules import ModelRules
from aigw.providers.provider import Provider
from aigw.providers.types import OPENAI
from tests.gateway.assembly import Gateway, gateway
from tests.gateway.client import Headers
from tests.gateway.test_server import ask
from tests.simulator import Simulator

COUNT = "/openai/v1/responses/input_tokens"
JSON: Headers = [("Content-Type", "application/json")]


@pytest.fixture
async def running(tmp_path: Path, simulator: Simulator) -> AsyncIterator[Gateway]:
    rules = ModelRules((), ("gpt-4*",), {"fast": "gpt-5-nano"}, "openai")
    providers = {"openai": Provider(OPENAI, "openai", f"{simulator.url}/v1", rules=rules)}
    async with gateway(tmp_path, simulator, providers=providers) as started:
        yield started


def sent(simulator: Simulator) -> list[bytes]:
    return [request.body for request in simulator.requests]


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b'{"model": "gpt-4o"}', JSON, "model_not_found"),
        (b'{"model": "gpt-5", "model": "gpt-4o"}', JSON, "ambiguous_model"),
        (b'{"mod\\u0065l": "gpt-5", "model": "gpt-4o"}', JSON, "ambiguous_model"),
        (
            gzip.compress(b'{"model": "gpt-4o"}', mtime=0),
            [*JSON, ("Content-Encoding", "gzip")],
            "model_not_found",
        ),
        (b"\x00\x01", [*JSON, ("Content-Encoding", "secret")], "unreadable_body"),
    ],
)
async def test_no_denied_model_is_asked_for_on_the_side(
    running: Gateway, simulator: Simulator, body: bytes, headers: Headers, code: str
) -> None:
    answer = await ask(running, "POST", COUNT, body, headers)
    assert answer.status in {400, 404}
    assert json.loads(answer.body)["error"]["code"] == code
    assert simulator.requests == []


async def test_an_alias_counts_there_too(running: Gateway, simulator: Simulator) -> None:
    await ask(running, "POST", COUNT, b'{ "model":"fast",  "input": "x"}', JSON)
    await ask(running, "POST", COUNT, b'{ "model":"gpt-5",  "input": "x"}', JSON)
    assert sent(simulator) == [
        b'{ "model":"gpt-5-nano",  "input": "x"}',
        b'{ "model":"gpt-5",  "input": "x"}',
    ]


async def test_requests_that_name_no_model_pass(running: Gateway, simulator: Simulator) -> None:
    await ask(running, "GET", "/openai/v1/models")
    await ask(running, "POST", "/openai/v1/conversations", b'{"items": []}', JSON)
    assert sent(simulator) == [b"", b'{"items": []}']
