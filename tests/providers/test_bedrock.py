"""Requests for Bedrock as they go over the wire, judged by a Bedrock that checks signatures."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict

from aigw.errors import ConfigError
from aigw.gateway.upstream import Upstream
from aigw.provider_settings import BedrockSettings
from aigw.providers.bedrock import Bedrock
from aigw.providers.bedrock_credentials import aws_credentials
from aigw.providers.bedrock_signing import SIGNED_INLINE
from aigw.providers.call import Call
from aigw.secrets import Secret
from tests.providers.aws import forget_aws
from tests.simulator import Simulator, sigv4

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PAIR = ((Secret(sigv4.ACCESS_KEY), Secret(sigv4.SECRET_KEY)),)
TEMPORARY = ((Secret(sigv4.TEMPORARY_KEY), Secret(sigv4.TEMPORARY_SECRET)),)
QUESTION = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
NATIVE = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": []})
CANARY = "sk-ant-canary-0123456789"
CLIENT_HEADERS = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=CLIENT/20260101/us-east-1/bedrock/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=00",
    "X-Amz-Date": "20260101T000000Z",
    "X-Amz-Security-Token": CANARY,
    "X-Amz-Content-Sha256": "00",
    "X-Api-Key": CANARY,
    "Cookie": CANARY,
    "Host": "gateway:1",
    "Content-Type": "application/json",
    "amz-sdk-invocation-id": "i",
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    forget_aws(monkeypatch, tmp_path)
    return tmp_path


@asynccontextmanager
async def bedrock_at(url: str, **settings: Any) -> AsyncIterator[tuple[Bedrock, Any]]:
    """A `Bedrock` and a function that signs a call and sends it, giving status and body."""
    chosen = BedrockSettings(
        **({"region": "eu-west-1", "base_url": url, "access_keys": PAIR} | settings)
    )
    upstream = Upstream(connect_timeout=5.0, idle_timeout=5.0)
    (credential,) = aws_credentials(chosen)

    async def send(call: Call) -> tuple[int, bytes]:
        await credential.apply(call)
        answer = await upstream.send(call.method, call.url, call.headers, call.body)
        return answer.status, await answer.content.read()

    try:
        yield Bedrock(chosen), send
    finally:
        await upstream.close()


@pytest.mark.parametrize(
    ("base", "region"),
    [
        ({"region": "us-west-2"}, "us-west-2"),
        ({"base_url": "https://bedrock-runtime.us-east-2.amazonaws.com"}, "us-east-2"),
        ({"base_url": "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"}, "us-gov-west-1"),
        (
            {"base_url": "https://vpce-1.bedrock-runtime.ap-south-1.vpce.amazonaws.com"},
            "ap-south-1",
        ),
        (
            {
                "base_url": "https://bedrock-mantle.us-east-2.api.aws/anthropic",
                "protocol": "mantle",
            },
            "us-east-2",
        ),
        (
            {"base_url": "https://bedrock-runtime.us-east-2.amazonaws.com", "region": "us-west-2"},
            "us-west-2",
        ),
        ({"base_url": "https://proxy.example/path"}, "sa-east-1"),
        ({}, "sa-east-1"),
    ],
)
def test_the_region(base: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    assert Bedrock(BedrockSettings(**base)).endpoint.region == region  # type: ignore[arg-type]


def test_the_region_of_aws_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".aws" / "config").write_text(
        "[default]\nregion = eu-north-1\n[profile p]\nregion = eu-south-1\n"
    )
    assert Bedrock(BedrockSettings()).endpoint.region == "eu-north-1"
    assert Bedrock(BedrockSettings(profile="p")).endpoint.region == "eu-south-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert Bedrock(BedrockSettings()).endpoint.region == "eu-west-3"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert Bedrock(BedrockSettings()).endpoint.region == "eu-west-2"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no region"),
        ({"base_url": "https://proxy.example"}, "no region"),
        ({"region": "us-east-1.evil.example/"}, "not an AWS region"),
        ({"region": "us-east-1", "base_url": "ftp://x"}, "https://"),
        ({"region": "us-east-1", "base_url": "https://"}, "https://"),
        ({"region": "us-east-1", "base_url": "https://x:port"}, "not a URL"),
        ({"region": "us-east-1", "base_url": f"https://u:{CANARY}@x"}, "no user"),
        ({"region": "us-east-1", "base_url": "https://x?a=1"}, "no user"),
        ({"profile": "absent"}, "absent"),
    ],
)
def test_nothing_is_signed_without_a_region_or_a_proper_url(
    settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        Bedrock(BedrockSettings(**settings))  # type: ignore[arg-type]
    assert CANARY not in str(refused.value)
    with pytest.raises(ConfigError, match=message):
        aws_credentials(BedrockSettings(access_keys=PAIR, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "https://bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("us-iso-east-1", "https://bedrock-runtime.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "https://bedrock-runtime.us-isob-east-1.sc2s.sgov.gov"),
        ("eusc-de-east-1", "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_endpoint_of_a_region(region: str, url: str) -> None:
    assert Bedrock(BedrockSettings(region=region)).runtime_url == url


def test_a_base_url_is_written_as_it_is_signed() -> None:
    settings = BedrockSettings(region="us-east-1", base_url="https://EXAMPLE.com:443/Path/")
    assert Bedrock(settings).runtime_url == "https://example.com/Path"


@pytest.mark.parametrize("prefix", ["", "/some/path", "/with%20space/and:colon/~x"])
@pytest.mark.parametrize(
    "model",
    [
        "anthropic.sim-text",
        "us.anthropic.sim-text-v1:0",
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.sim-text",
        "anthropic.a b~c(d)*'!é%2F",
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_translated_requests_are_signed_right(
    simulator: Simulator, prefix: str, model: str, streaming: bool
) -> None:
    async with bedrock_at(simulator.url + prefix) as (bedrock, send):
        body = json.dumps(QUESTION | {"stream": streaming, "metadata": {}}).encode()
        headers = CIMultiDict(CLIENT_HEADERS | {"anthropic-beta": "claude-code-20250219"})
        request = bedrock.translate(body, headers, model, streaming=streaming)
        status, answer = await send(request.call())
    assert status == 200, answer
    received = simulator.signed[-1]
    assert received.signed == sigv4.Signed(sigv4.ACCESS_KEY, "eu-west-1", "bedrock")
    assert CANARY.encode() not in received.head
    assert received.path.startswith(f"{prefix}/model/")


RAW_PATHS = [
    "/model/anthropic.sim-text-v1%3A0/invoke",
    "/model/anthropic.sim-text-v1:0/invoke",
    "/model/anthropic.sim-text-v1%3a0/invoke-with-response-stream",
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.sim-text/invoke",
    "/model/arn:aws:bedrock:us-east-1:1:inference-profile%2Fus.anthropic.sim-text/invoke",
    "/model/anthropic.sim-text%20%7e~(x)*'!,/converse",
]


@pytest.mark.parametrize("prefix", ["", "/some/path"])
@pytest.mark.parametrize(
    "query", ["", "?beta=true", "?b=2&a=%31&a=:/x&c", "?X-Amz-Signature=0&d=%2B+"]
)
@pytest.mark.parametrize("path", RAW_PATHS)
async def test_bedrocks_own_requests_are_signed_anew(
    simulator: Simulator, path: str, query: str, prefix: str
) -> None:
    body = f" {NATIVE}\n".encode()
    async with bedrock_at(simulator.url + prefix) as (bedrock, send):
        call = bedrock.resign(Call("POST", path + query, CIMultiDict(CLIENT_HEADERS), body))
        status, answer = await send(call)
    assert status == 200, answer
    received = simulator.signed[-1]
    assert received.signed == sigv4.Signed(sigv4.ACCESS_KEY, "eu-west-1", "bedrock")
    assert received.path == prefix + path
    assert received.body == body
    assert CANARY.encode() not in received.head
    assert received.value("amz-sdk-invocation-id") == "i"
    assert "X-Amz-Signature" not in received.target


async def test_headers_of_amazons_own_are_signed_with_the_request(simulator: Simulator) -> None:
    headers = CIMultiDict({"X-Amz-User-Agent": "aws-sdk-js/3  two  spaces", "X-Amzn-Trace": "1"})
    async with bedrock_at(simulator.url) as (bedrock, send):
        path = "/model/anthropic.sim-text/invoke"
        call = bedrock.resign(Call("POST", path, headers, NATIVE.encode()))
        status, answer = await send(call)
    assert status == 200, answer


async def test_temporary_credentials_send_their_token(simulator: Simulator) -> None:
    token = Secret(sigv4.SESSION_TOKEN)
    async with bedrock_at(simulator.url, access_keys=TEMPORARY, session_token=token) as (
        bedrock,
        send,
    ):
        call = bedrock.resign(
            Call("POST", RAW_PATHS[0], CIMultiDict(CLIENT_HEADERS), NATIVE.encode())
        )
        assert (await send(call))[0] == 200
    assert simulator.signed[-1].value("x-amz-security-token") == sigv4.SESSION_TOKEN


async def test_a_call_is_signed_anew_for_another_credential(simulator: Simulator) -> None:
    """A key that takes over leaves nothing of the one before it."""
    async with bedrock_at(simulator.url) as (bedrock, send):
        settings = BedrockSettings(
            region="eu-west-1", access_keys=TEMPORARY, session_token=Secret(sigv4.SESSION_TOKEN)
        )
        (before,) = aws_credentials(settings)
        request = bedrock.translate(
            json.dumps(QUESTION).encode(), CIMultiDict(), "x", streaming=False
        )
        call = request.call()
        await before.apply(call)
        assert (await send(call))[0] == 200
    assert simulator.signed[-1].value("x-amz-security-token") is None


async def test_a_large_body_is_hashed_beside_the_loop(simulator: Simulator) -> None:
    question = QUESTION | {"system": "x" * (SIGNED_INLINE + 1)}
    async with bedrock_at(simulator.url) as (bedrock, send):
        request = bedrock.translate(
            json.dumps(question).encode(), CIMultiDict(), "anthropic.sim-text", streaming=False
        )
        sends = [send(request.call()) for _ in range(5)]
        assert [status for status, _ in await asyncio.gather(*sends)] == [200] * 5


async def test_mantle_gets_the_body_as_it_is(simulator: Simulator) -> None:
    body = json.dumps(QUESTION | {"metadata": {}, "thinking": {"type": "adaptive"}}).encode()
    headers = CIMultiDict(
        CLIENT_HEADERS | {"anthropic-version": "2023-06-01", "anthropic-beta": "any-2030"}
    )
    async with bedrock_at(simulator.mantle_url, protocol="mantle") as (bedrock, send):
        request = bedrock.translate(
            body, headers, "claude-haiku-4-5", streaming=False, query="beta=true"
        )
        assert (request.model, request.rule) == ("claude-haiku-4-5", None)
        status, answer = await send(request.call())
        assert status == 200, answer
        received = simulator.signed[-1]
        count = bedrock.translate_count(body, headers, "claude-haiku-4-5")
        counted = bedrock.count_answer(*await send(count.call()))
    assert received.signed == sigv4.Signed(sigv4.ACCESS_KEY, "eu-west-1", "bedrock-mantle")
    assert received.body == body
    assert received.target == "/mantle/anthropic/v1/messages?beta=true"
    assert received.value("anthropic-beta") == "any-2030"
    assert CANARY.encode() not in received.head
    assert json.loads(counted.body)["input_tokens"] > 0


def test_mantle_of_a_region() -> None:
    bedrock = Bedrock(BedrockSettings(region="us-east-1", protocol="mantle"))
    request = bedrock.translate(b"{}", CIMultiDict(), "m", streaming=True)
    assert request.url == "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages"
    assert bedrock.endpoint.service(request.url) == "bedrock-mantle"
    native = bedrock.resign(Call("POST", RAW_PATHS[0], CIMultiDict(), b""))
    assert native.url == f"https://bedrock-runtime.us-east-1.amazonaws.com{RAW_PATHS[0]}"
    assert bedrock.endpoint.service(native.url) == "bedrock"


async def test_tokens_are_counted(simulator: Simulator) -> None:
    body = json.dumps({"model": "claude-haiku-4-5", "messages": []}).encode()
    async with bedrock_at(simulator.url) as (bedrock, send):
        request = bedrock.translate_count(body, CIMultiDict(), "us.anthropic.sim-text")
        answer = bedrock.count_answer(*await send(request.call()))
    assert answer.status == 200
    assert json.loads(answer.body)["input_tokens"] > 10


@pytest.mark.parametrize(
    ("status", "body", "expected", "kind", "message"),
    [
        (400, b'{"message":"no"}', 400, "invalid_request_error", "no"),
        (403, b'{"Message":"denied"}', 403, "permission_error", "denied"),
        (429, b"not json", 429, "rate_limit_error", "Bedrock answered 429"),
        (500, b'{"message":7}', 500, "api_error", "Bedrock answered 500"),
        (200, b"{}", 502, "api_error", "Bedrock's answer holds no token count"),
        (200, b'{"inputTokens":"x"}', 502, "api_error", "Bedrock's answer holds no token count"),
    ],
)
def test_a_failed_count_is_an_error_of_anthropics(
    status: int, body: bytes, expected: int, kind: str, message: str
) -> None:
    answer = Bedrock(BedrockSettings(region="us-east-1")).count_answer(status, body)
    assert answer.status == expected
    assert json.loads(answer.body) == {
        "type": "error",
        "error": {"type": kind, "message": message},
    }


def test_the_gateways_own_answers() -> None:
    table = {"claude-opus-*": "x", "claude-opus-4-6": "us.anthropic.claude-opus-4-6-v1"}
    settings = BedrockSettings(region="us-east-1", models=table)
    bedrock = Bedrock(settings)
    answer = bedrock.local_answer("/v1/models")
    assert answer is not None
    page = json.loads(answer.body)
    names = ["claude-opus-4-6", settings.model, settings.small_fast_model]
    assert [model["id"] for model in page["data"]] == names
    assert (page["first_id"], page["last_id"], page["has_more"]) == (names[0], names[2], False)
    assert "gateway's list" in page["data"][0]["display_name"]
    one = bedrock.local_answer("/v1/models/global.anthropic.claude-sonnet-4-5-20250929-v1%3A0")
    assert one is not None
    assert json.loads(one.body) == page["data"][1]
    none = bedrock.local_answer("/v1/models/claude-9")
    assert none is not None
    assert (none.status, json.loads(none.body)["error"]["type"]) == (404, "not_found_error")
    events = bedrock.local_answer("/api/event_logging/batch")
    assert events is not None
    assert (events.status, events.body) == (200, b"{}")
    assert bedrock.local_answer("/v1/messages/count_tokens") is None
    assert bedrock.local_answer("/model/x/invoke") is None
