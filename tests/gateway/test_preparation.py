"""Rules for models where the provider is asked for another name than the client's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aigw.provider_settings import BedrockSettings, ProviderSettings
from aigw.providers.build import build_provider
from aigw.providers.provider import Provider
from aigw.secrets import Secret
from tests.gateway.assembly import gateway
from tests.gateway.client import Headers
from tests.gateway.test_server import ask
from tests.simulator import Simulator, sigv4

JSON: Headers = [("Content-Type", "application/json")]
MESSAGES = "/aws/v1/messages"


def aws(
    url: str, protocol: str, *, deny: tuple[str, ...] = (), aliases: dict[str, str] | None = None
) -> dict[str, Provider]:
    bedrock = BedrockSettings(
        region="us-east-1",
        base_url=url,
        protocol=protocol,
        access_keys=((Secret(sigv4.ACCESS_KEY), Secret(sigv4.SECRET_KEY)),),
        model="global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    )
    settings = ProviderSettings(
        type="bedrock", name="aws", bedrock=bedrock, deny_models=deny, model_aliases=aliases or {}
    )
    return {"aws": build_provider(settings)}


def body(model: str) -> bytes:
    message = {"role": "user", "content": "hi"}
    return json.dumps({"model": model, "max_tokens": 9, "messages": [message]}).encode()


async def test_mantle_is_asked_for_what_an_alias_stands_for(
    tmp_path: Path, simulator: Simulator
) -> None:
    providers = aws(simulator.mantle_url, "mantle", aliases={"fast": "sim-text"})
    async with gateway(tmp_path, simulator, providers=providers) as running:
        await ask(running, "POST", MESSAGES, body("fast"), JSON)
        (request,) = simulator.requests
        assert request.json()["model"] == "sim-text"
        (row,) = await running.ended()
        assert (row["model"], row["requested_model"]) == ("sim-text", "fast")


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "global.anthropic.claude-sonnet-4-5-x"])
async def test_a_denied_model_is_not_reached_through_the_mapping(
    tmp_path: Path, simulator: Simulator, model: str
) -> None:
    providers = aws(simulator.url, "invoke", deny=("global.anthropic.claude-sonnet*",))
    async with gateway(tmp_path, simulator, providers=providers) as running:
        answer = await ask(running, "POST", MESSAGES, body(model), JSON)
        assert answer.status == 404
        counted = await ask(running, "POST", f"{MESSAGES}/count_tokens", body(model), JSON)
        assert counted.status == 404
    assert simulator.requests == []


async def test_a_model_in_a_passed_path_is_judged(tmp_path: Path, simulator: Simulator) -> None:
    providers = aws(simulator.url, "invoke", deny=("*opus*",))
    async with gateway(tmp_path, simulator, providers=providers) as running:
        path = "/aws/model/anthropic.claude-opus-4/count-tokens"
        assert (await ask(running, "POST", path, b"{}", JSON)).status == 404
    assert simulator.requests == []
