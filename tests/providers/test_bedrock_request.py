"""A Messages request as Bedrock takes it: what is moved, changed, left out, and left alone."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from multidict import CIMultiDict

from aigw.provider_settings import BedrockSettings
from aigw.providers.bedrock import Bedrock, BedrockRequest
from aigw.providers.bedrock_table import FAMILIES, NEWEST

SONNET_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_4_5 = "us.anthropic.claude-opus-4-5-20251101-v1:0"
OPUS_4_6 = "us.anthropic.claude-opus-4-6-v1"
OPUS_4_7 = "us.anthropic.claude-opus-4-7"
MESSAGES = '"messages": [{"role":"user","content":"h\\u00e9 \\ud83d"}]'
CANARY = "sk-ant-canary-0123456789"


def translate(
    body: str | dict[str, Any],
    model: str = OPUS_4_6,
    headers: dict[str, str] | CIMultiDict[str] | None = None,
    *,
    streaming: bool = False,
    pass_unknown: bool = False,
) -> BedrockRequest:
    settings = BedrockSettings(region="us-east-1", pass_unknown=pass_unknown)
    text = body if isinstance(body, str) else json.dumps(body)
    return Bedrock(settings).translate(
        text.encode(), CIMultiDict(headers or {}), model, streaming=streaming
    )


def body_of(*arguments: Any, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(translate(*arguments, **options).body)
    return found


def test_only_what_has_to_be_is_spliced() -> None:
    body = f'{{ "model":"m", "max_tokens": 1.0e2,\n{MESSAGES} , "stream":true }}'
    expected = f'{{"anthropic_version":"bedrock-2023-05-31", "max_tokens": 1.0e2,\n{MESSAGES} }}'
    assert translate(body).body.decode() == expected


def test_a_version_that_is_given_stays() -> None:
    assert translate('{"anthropic_version":"x","a":1}').body == b'{"anthropic_version":"x","a":1}'


@pytest.mark.parametrize("streaming", [False, True])
def test_where_it_goes(streaming: bool) -> None:
    request = translate("{}", f"{SONNET_4_5}/..?%", streaming=streaming)
    operation = "invoke-with-response-stream" if streaming else "invoke"
    assert request.url == (
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
        f"anthropic.claude-sonnet-4-5-20250929-v1%3A0%2F..%3F%25/{operation}"
    )
    kind = "application/vnd.amazon.eventstream" if streaming else "application/json"
    assert request.headers["Accept"] == kind
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept-Encoding"] == "identity"


def test_the_rule_is_reported() -> None:
    request = translate("{}", "claude-haiku-4-5")
    assert (request.model, request.rule) == (
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "bedrock small fast model",
    )
    assert (translate("{}").model, translate("{}").rule) == (OPUS_4_6, None)


@pytest.mark.parametrize("body", ["", "[]", "null", '"x"', "{", '{"a":1}}', "\ufeff{}"])
def test_what_is_no_object_is_an_error_for_the_client(body: str) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        translate(body)


def test_no_credential_and_no_cookie_of_the_client_goes_to_aws() -> None:
    headers = CIMultiDict(
        {
            "X-Api-Key": CANARY,
            "Authorization": f"Bearer {CANARY}",
            "Cookie": CANARY,
            "Proxy-Authorization": CANARY,
            "X-Coder-AI-Governance-Token": CANARY,
            "X-Amz-Security-Token": CANARY,
            "X-Stainless-Lang": "js",
            "anthropic-dangerous-direct-browser-access": "true",
            "anthropic-version": "2023-06-01",
            "X-Forwarded-For": "10.0.0.1",
            "Content-Encoding": "gzip",
            "User-Agent": "claude-cli/2",
            "traceparent": "00-1-2-01",
            "X-Amzn-Bedrock-GuardrailIdentifier": "g1",
        }
    )
    headers.add("X-Api-Key", CANARY)
    request = translate("{}", headers=headers)
    assert dict(request.headers) == {
        "User-Agent": "claude-cli/2",
        "traceparent": "00-1-2-01",
        "X-Amzn-Bedrock-GuardrailIdentifier": "g1",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
    assert CANARY not in repr(request)


CLAUDE_CODE = (
    "claude-code-20250219,context-1m-2025-08-07, interleaved-thinking-2025-05-14,,"
    "context-management-2025-06-27,prompt-caching-scope-2026-01-05,effort-2025-11-24"
)


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        (
            SONNET_4_5,
            [
                "context-1m-2025-08-07",
                "interleaved-thinking-2025-05-14",
                "context-management-2025-06-27",
            ],
        ),
        (
            OPUS_4_5,
            ["context-1m-2025-08-07", "interleaved-thinking-2025-05-14", "effort-2025-11-24"],
        ),
        (OPUS_4_6, ["context-1m-2025-08-07", "interleaved-thinking-2025-05-14"]),
        (OPUS_4_7, None),
        ("anthropic.claude-sonnet-5", None),
    ],
)
def test_flags_that_the_model_takes_move_into_the_body(model: str, flags: list[str] | None) -> None:
    request = translate("{}", model, {"Anthropic-Beta": CLAUDE_CODE})
    assert json.loads(request.body).get("anthropic_beta") == flags
    assert "Anthropic-Beta" not in request.headers


def test_unknown_flags_pass_where_the_operator_says_so() -> None:
    headers = {"anthropic-beta": f"{CLAUDE_CODE},oauth-2025-04-20,new-2030-01-01"}
    flags = body_of({}, OPUS_4_7, headers, pass_unknown=True)["anthropic_beta"]
    # Those that are known not to be taken by this model stay out.
    assert flags == ["claude-code-20250219", "prompt-caching-scope-2026-01-05", "new-2030-01-01"]


def test_flags_of_several_headers_and_of_the_body_are_merged_each_once() -> None:
    headers = CIMultiDict([("anthropic-beta", "output-128k-2025-02-19")])
    headers.add("Anthropic-Beta", "advanced-tool-use-2025-11-20,context-1m-2025-08-07")
    given = ["context-1m-2025-08-07", "tool-search-tool-2025-10-19", 5]
    assert body_of({"anthropic_beta": given}, OPUS_4_6, headers)["anthropic_beta"] == [
        "context-1m-2025-08-07",
        "tool-search-tool-2025-10-19",
        "output-128k-2025-02-19",
    ]


def test_flags_in_the_body_alone() -> None:
    kept = '{"anthropic_version":"x","anthropic_beta" : [ "context-1m-2025-08-07" ]}'
    assert translate(kept).body.decode() == kept
    assert "anthropic_beta" not in body_of({"anthropic_beta": ["unknown"]})
    # What is no list is for Bedrock to judge.
    assert body_of({"anthropic_beta": "x"})["anthropic_beta"] == "x"


FIELDS: dict[str, Any] = {
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "container": "c",
    "inference_geo": "us",
    "context_management": {"edits": []},
    "output_config": {"effort": "high"},
    "temperature": 1,
}


@pytest.mark.parametrize(
    ("model", "flags", "kept"),
    [
        (SONNET_4_5, "", {"temperature"}),
        (SONNET_4_5, "context-management-2025-06-27", {"temperature", "context_management"}),
        (SONNET_4_5, "effort-2025-11-24", {"temperature"}),
        (OPUS_4_5, "context-management-2025-06-27", {"temperature"}),
        (OPUS_4_5, "effort-2025-11-24", {"temperature", "output_config"}),
        (OPUS_4_6, "", {"temperature", "output_config"}),
        (
            OPUS_4_6,
            "compact-2026-01-12",
            {"temperature", "output_config", "context_management"},
        ),
        (OPUS_4_7, "context-management-2025-06-27", {"temperature", "output_config"}),
    ],
)
def test_fields_that_bedrock_refuses_are_left_out(model: str, flags: str, kept: set[str]) -> None:
    body = body_of(FIELDS, model, {"anthropic-beta": flags})
    assert body.keys() - {"anthropic_version", "anthropic_beta"} == kept


def enabled(budget: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget}


DISABLED = {"type": "disabled"}
ADAPTIVE = {"type": "adaptive"}


@pytest.mark.parametrize(
    ("model", "thinking", "max_tokens", "effort", "expected"),
    [
        (SONNET_4_5, ADAPTIVE, 10000, None, enabled(8000)),
        (SONNET_4_5, ADAPTIVE, 10000, "low", enabled(2000)),
        (SONNET_4_5, ADAPTIVE, 10000, "medium", enabled(5000)),
        (SONNET_4_5, ADAPTIVE, 10000, "high", enabled(8000)),
        (SONNET_4_5, ADAPTIVE, 10000, "xhigh", enabled(8000)),
        (SONNET_4_5, ADAPTIVE, 10000, "max", enabled(9500)),
        (SONNET_4_5, ADAPTIVE, 1280, None, enabled(1024)),
        (SONNET_4_5, ADAPTIVE, 1279, None, DISABLED),
        (SONNET_4_5, ADAPTIVE, None, None, DISABLED),
        (SONNET_4_5, ADAPTIVE, 0, None, DISABLED),
        (SONNET_4_5, ADAPTIVE, -5, None, DISABLED),
        (SONNET_4_5, ADAPTIVE, "many", ["low"], DISABLED),
        (SONNET_4_5, ADAPTIVE | {"display": "omitted"}, 10000, None, enabled(8000)),
        (SONNET_4_5, enabled(2000), 10000, None, enabled(2000)),
        (SONNET_4_5, DISABLED, 10000, None, DISABLED),
        (OPUS_4_6, ADAPTIVE, 10000, "low", ADAPTIVE),
        (OPUS_4_6, enabled(2000), 10000, None, enabled(2000)),
        (OPUS_4_7, ADAPTIVE, 10000, "low", ADAPTIVE),
        (OPUS_4_7, enabled(2000), 10000, None, ADAPTIVE),
        (OPUS_4_7, DISABLED, 10000, None, DISABLED),
        ("anthropic.claude-opus-6", ADAPTIVE, 10000, None, ADAPTIVE),
        (SONNET_4_5, "adaptive", 10000, None, "adaptive"),
    ],
)
def test_thinking_as_the_model_takes_it(
    model: str, thinking: Any, max_tokens: Any, effort: Any, expected: Any
) -> None:
    body: dict[str, Any] = {"thinking": thinking, "metadata": {}}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if effort is not None:
        body["output_config"] = {"effort": effort}
    edited = body_of(body, model, {"anthropic-beta": "context-1m-2025-08-07"})
    assert edited["thinking"] == expected
    # Whatever became of it, the later steps were taken.
    assert "metadata" not in edited


def test_a_count_wraps_the_translated_request() -> None:
    bedrock = Bedrock(BedrockSettings(region="us-east-1"))
    body = json.dumps({"model": "claude-haiku-4-5", "messages": [], "metadata": {}}).encode()
    headers = CIMultiDict({"X-Api-Key": CANARY, "Anthropic-Beta": "context-1m-2025-08-07"})
    request = bedrock.translate_count(body, headers, "claude-haiku-4-5")
    assert request.url.endswith("/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/count-tokens")
    assert request.rule == "bedrock small fast model"
    inner = base64.b64decode(json.loads(request.body)["input"]["invokeModel"]["body"])
    assert json.loads(inner) == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["context-1m-2025-08-07"],
        "messages": [],
        "max_tokens": 1,
    }
    assert "X-Api-Key" not in request.headers


def test_a_count_allows_for_the_thinking_that_is_asked_for() -> None:
    bedrock = Bedrock(BedrockSettings(region="us-east-1"))
    body = json.dumps({"thinking": enabled(2048)}).encode()
    request = bedrock.translate_count(body, CIMultiDict(), OPUS_4_6)
    inner = base64.b64decode(json.loads(request.body)["input"]["invokeModel"]["body"])
    assert json.loads(inner)["max_tokens"] == 2049


def test_a_count_says_when_it_cannot() -> None:
    arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
    bedrock = Bedrock(BedrockSettings(region="us-east-1"))
    with pytest.raises(ValueError, match="foundation models only"):
        bedrock.translate_count(b"{}", CIMultiDict(), arn)
    with pytest.raises(ValueError, match="not a JSON object"):
        bedrock.translate_count(b"[]", CIMultiDict(), OPUS_4_6)


def test_the_table_ends_with_what_holds_for_new_models() -> None:
    assert FAMILIES[-1] is NEWEST
    assert NEWEST.adaptive
    assert NEWEST.effort


def test_system_turns_become_the_users() -> None:
    turns = '[{"role":"user","content":"a \\"system\\""}, {"role":"system", "content":[ 1.0 ]}]'
    headers = {"Anthropic-Beta": "mid-conversation-system-2026-04-07"}
    found = translate(f'{{"messages": {turns},"max_tokens":1}}', headers=headers).body
    assert b'{"role":"user", "content":[ 1.0 ]}' in found
    assert b'"role":"system"' not in found
    assert b"mid-conversation" not in found
    # Where the operator has unknown flags passed on, so is what they stand for.
    passed = translate(f'{{"messages": {turns}}}', headers=headers, pass_unknown=True).body
    assert b'{"role":"system", "content":[ 1.0 ]}' in passed


def test_messages_without_system_turns_stay_to_the_byte() -> None:
    turns = '[ {"role":"user","content":"\\"system\\" and \\u0022system\\u0022"} ]'
    assert turns.encode() in translate(f'{{"messages":{turns}}}').body
