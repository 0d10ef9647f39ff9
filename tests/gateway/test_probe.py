"""What a probe asks, and what it makes of each answer."""

from __future__ import annotations

import json

import pytest

from aigw.gateway.probe import probe_call
from aigw.gateway.probe_verdict import Answer, message_of, verdict_of_answer
from aigw.provider_settings import BedrockSettings, ProviderSettings
from aigw.provider_types import PROVIDER_TYPES
from aigw.providers.build import build_provider
from aigw.secrets import Secret

JSON = "application/json"


@pytest.mark.parametrize(
    ("kind", "model", "expected"),
    [
        ("openai", "", ("GET", "https://h/v1/models")),
        ("google", "", ("GET", "https://h/v1/models")),
        ("openrouter", "", ("GET", "https://h/v1/key")),
        ("vercel", "", ("GET", "https://h/v1/credits")),
        ("openai", "m", ("POST", "https://h/v1/chat/completions")),
        ("anthropic", "", ("GET", "https://h/v1/v1/models")),
        ("anthropic", "m", ("POST", "https://h/v1/v1/messages")),
        ("copilot", "m", ("GET", "https://h/v1/models")),
        ("chatgpt", "", ("GET", "https://h/v1/models")),
    ],
)
def test_what_is_asked(kind: str, model: str, expected: tuple[str, str]) -> None:
    settings = ProviderSettings(
        type=kind, name="p", base_url="https://h/v1", headers={"X-Team": "a"}
    )
    call, _ = probe_call(build_provider(settings), model)
    assert (call.method, call.url) == expected
    assert call.headers["X-Team"] == "a"
    assert bool(call.body) == (call.method == "POST")


def test_bedrock_is_asked_for_a_token() -> None:
    bedrock = BedrockSettings(region="us-east-1", base_url="https://h", model="a.b:0")
    settings = ProviderSettings(
        type="bedrock", name="b", base_url="https://h", bedrock=bedrock, keys=(Secret("k"),)
    )
    call, subject = probe_call(build_provider(settings), "")
    assert (call.method, call.url) == ("POST", "https://h/model/a.b%3A0/invoke")
    assert json.loads(call.body)["max_tokens"] == 1
    assert subject == "model a.b:0 in region us-east-1"


@pytest.mark.parametrize(
    ("configured", "asked", "expected"),
    [
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "", "anthropic.claude-sonnet-4-5"),
        ("anthropic.claude-opus-4-7", "", "anthropic.claude-opus-4-7"),
        ("anthropic.claude-opus-4-7", "anthropic.claude-x", "anthropic.claude-x"),
    ],
)
def test_mantle_has_names_of_its_own(configured: str, asked: str, expected: str) -> None:
    bedrock = BedrockSettings(
        region="us-east-1", base_url="https://h", model=configured, protocol="mantle"
    )
    settings = ProviderSettings(
        type="bedrock", name="b", base_url="https://h", bedrock=bedrock, keys=(Secret("k"),)
    )
    call, _ = probe_call(build_provider(settings), asked)
    assert call.url == "https://h/v1/messages"
    assert json.loads(call.body)["model"] == expected
    assert call.headers["anthropic-version"]


def test_no_type_is_left_out() -> None:
    for kind in PROVIDER_TYPES:
        bedrock = None
        if kind == "bedrock":
            bedrock = BedrockSettings(region="us-east-1", base_url="https://h")
        keys = (Secret("k"),) if bedrock else ()
        settings = ProviderSettings(
            type=kind, name="p", base_url="https://h", bedrock=bedrock, keys=keys
        )
        call, _ = probe_call(build_provider(settings), "")
        assert call.url.startswith("https://h/")


def openai_error(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


@pytest.mark.parametrize(
    ("answer", "has_key", "subject", "problem", "words"),
    [
        (Answer(200, JSON, b'{"data": []}'), True, "", "", "the provider answers"),
        (Answer(200, JSON, b"{}"), True, "model m", "", "model m answers"),
        (Answer(200, "text/html", b"<html>"), True, "", "base_url", "a web page at this address"),
        (Answer(200, JSON, b"[]"), True, "", "base_url", "nothing of the API"),
        (Answer(301, "", b""), True, "", "base_url", "leads to another address"),
        (Answer(401, JSON, openai_error("no")), True, "", "key_refused", "refused (401): no"),
        (Answer(401, JSON, openai_error("no")), False, "", "", "no central key"),
        (Answer(403, JSON, b'{"message":"no"}'), True, "", "key_refused", "not allowed"),
        (
            Answer(403, JSON, b'{"Message":"no access"}'),
            True,
            "model m in region r",
            "key_refused",
            "refused, or not allowed to do this for model m in region r (403): no access",
        ),
        (
            Answer(400, JSON, b'[{"error":{"message":"API key not valid"}}]'),
            True,
            "",
            "key_refused",
            "API key not valid",
        ),
        (Answer(429, JSON, openai_error("slow")), True, "", "rate_limited", "limited, or has no"),
        (Answer(404, JSON, openai_error("gone")), True, "model m", "model", "(404): gone"),
        (Answer(400, JSON, b'{"message":"bad id"}'), True, "model m", "model", "(400): bad id"),
        (Answer(404, JSON, openai_error("gone")), True, "", "base_url", "nothing of the API"),
        (Answer(404, "text/html", b"<p>"), True, "model m", "base_url", "a web page"),
        (Answer(400, JSON, openai_error("odd")), True, "", "request", "the request (400): odd"),
        (Answer(503, "text/html", b"<p>"), True, "", "provider_error", "the provider fails (503)"),
        (Answer(529, JSON, openai_error("busy")), True, "", "provider_error", "(529): busy"),
        (Answer(999, JSON, b""), True, "", "provider_error", "fails (999)"),
    ],
)
def test_what_answers_mean(
    answer: Answer, has_key: bool, subject: str, problem: str, words: str
) -> None:
    verdict = verdict_of_answer(answer, has_key=has_key, subject=subject)
    assert verdict.problem == problem
    assert words in verdict.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"null", ""),
        (b"[]", ""),
        (b'"x"', ""),
        (b'{"error": "gone"}', "gone"),
        (b'{"error": {"message": 5}}', ""),
        (b'{"error": {"message": "two\\n lines"}}', "two lines"),
        (b'{"message": "aws"}', ""),
        (b"[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
def test_messages_of_errors(body: bytes, message: str) -> None:
    expected = "aws" if body == b'{"message": "aws"}' else message
    assert message_of(Answer(400, JSON, body)) == expected
