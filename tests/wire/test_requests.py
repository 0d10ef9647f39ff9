"""What a request says of itself, in whatever JSON it comes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aigw.wire.apis import Api, keeps_for_hour, read_request
from aigw.wire.facts import RequestFacts

EVERY_API = pytest.mark.parametrize("api", list(Api))
BEDROCK = (Api.INVOKE, Api.CONVERSE)
"""Their path names the model, and whether the answer is a stream: the body is not asked."""


def body(api: Api, **fields: Any) -> bytes:
    key = "input" if api is Api.RESPONSES else "messages"
    return json.dumps({key: [{"role": "user", "content": "hi"}], **fields}).encode()


@EVERY_API
@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_object_has_no_facts(api: Api, data: bytes) -> None:
    assert read_request(api, data) == RequestFacts()


@EVERY_API
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(api: Api, encoding: str) -> None:
    data = body(api, model="m").decode().encode(encoding)
    assert read_request(api, data).prompt == "hi"
    assert read_request(api, data).model == ("" if api in BEDROCK else "m")


@EVERY_API
@pytest.mark.parametrize(
    "odd",
    [
        b'"temperature":NaN',
        b'"temperature":1e999',
        b'"seed":' + b"9" * 5000,
        b'"user":"\\ud800"',
        b'"user":"\xff"',
        b'"user":"a\tb"',
        b'"metadata":[1]',
        b'"stream_options":"x"',
        b'"prompt_cache_key":{}',
        b'"client_metadata":"x"',
        b'"model":"first"',
    ],
)
def test_an_odd_field_loses_no_other(api: Api, odd: bytes) -> None:
    found = read_request(api, b"{" + odd + b"," + body(api, model="m", stream=True)[1:])
    named = ("", False) if api in BEDROCK else ("m", True)
    assert (found.model, found.streaming, found.prompt) == (*named, "hi")


@EVERY_API
def test_odd_messages_lose_no_other_field(api: Api) -> None:
    oddities: list[Any] = [None, 5, {}, "x", [None], [[]], [{"role": 5, "content": 7}]]
    for odd in oddities:
        data = body(api, model="m", stream=True, messages=odd, input=5)
        found = read_request(api, data)
        assert (found.model, found.streaming) == (("", False) if api in BEDROCK else ("m", True))


@EVERY_API
def test_lone_surrogates_can_be_stored(api: Api) -> None:
    data = body(api).replace(b'"hi"', b'"a\\ud83d \\ud83d\\ude00"')
    assert read_request(api, data).prompt == "a\ufffd 😀"


@EVERY_API
def test_a_nul_does_not_end_a_text(api: Api) -> None:
    """As it would in most of SQLite's functions: the rest could not be measured, cut or compared."""
    data = body(api).replace(b'"hi"', b'"a\\u0000b"')
    assert read_request(api, data).prompt == "a\ufffdb"


@pytest.mark.parametrize(
    ("value", "strict", "lenient"),
    [
        (True, True, True),
        (False, False, False),
        ("true", False, True),
        ("1", False, True),
        ("yes", False, False),
        (1, False, True),
        (0, False, False),
        (None, False, False),
        ([], False, False),
    ],
)
def test_streaming(value: Any, strict: bool, lenient: bool) -> None:
    for api, expected in zip(Api, (strict, strict, lenient, False, False), strict=True):
        assert read_request(api, body(api, stream=value)).streaming is expected


@pytest.mark.parametrize(
    ("value", "strict", "lenient"),
    [("m", "m", "m"), (5, "", "5"), (True, "", "true"), (None, "", ""), ({}, "", "")],
)
def test_model(value: Any, strict: str, lenient: str) -> None:
    for api, expected in zip(Api, (strict, strict, lenient, "", ""), strict=True):
        assert read_request(api, body(api, model=value)).model == expected


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({"stream": True}, True),
        ({"stream": True, "stream_options": None}, True),
        ({"stream": True, "stream_options": {}}, True),
        ({"stream": True, "stream_options": {"include_usage": False}}, True),
        ({"stream": True, "stream_options": {"include_usage": True}}, False),
        ({"stream": False}, False),
        ({}, False),
    ],
)
def test_lacks_usage(fields: dict[str, Any], lacks: bool) -> None:
    data = body(Api.CHAT_COMPLETIONS, **fields)
    assert read_request(Api.CHAT_COMPLETIONS, data).lacks_usage is lacks
    assert not read_request(Api.MESSAGES, data).lacks_usage


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        ('{"device_id":"d","session_id":"s"}', "s"),
        ('{"session_id":" s "}', "s"),
        ('{"session_id":""}', None),
        ('{"session_id":7}', None),
        ('{"session_id":"","x":"_session_y"}', None),
        ("user_1_account__session_abc", "abc"),
        ("a_session_b_session_c", "b_session_c"),
        ("user-1", None),
        ("{broken _session_x", "x"),
        ("\ud800_session_x", "x"),
        (5, None),
        (None, None),
    ],
)
def test_claude_codes_session(user_id: Any, session: str | None) -> None:
    data = body(Api.MESSAGES, metadata={"user_id": user_id})
    assert read_request(Api.MESSAGES, data).session_key == session


def test_codex_session() -> None:
    data = body(Api.RESPONSES, client_metadata={"session_id": " s "}, prompt_cache_key="k")
    found = read_request(Api.RESPONSES, data)
    assert (found.session_key, found.prompt_cache_key) == ("s", "k")
    assert read_request(Api.RESPONSES, body(Api.RESPONSES, client_metadata={})).session_key is None


def test_more_tool_results_than_any_agent_sends_are_cut() -> None:
    results = [{"type": "tool_result", "tool_use_id": f"t{i}", "content": "x"} for i in range(999)]
    body = {"model": "m", "messages": [{"role": "user", "content": results}]}
    facts = read_request(Api.MESSAGES, json.dumps(body).encode())
    assert len(facts.tool_results) == 256
    assert facts.tool_results[-1].tool_call_id == "t998"


@pytest.mark.parametrize(
    ("api", "fields", "bound"),
    [
        (Api.MESSAGES, {"max_tokens": 4096}, 4096),
        (Api.MESSAGES, {"max_tokens": 0}, 0),
        (Api.MESSAGES, {"max_completion_tokens": 5}, None),
        (Api.CHAT_COMPLETIONS, {"max_tokens": 100}, 100),
        (Api.CHAT_COMPLETIONS, {"max_completion_tokens": 200}, 200),
        (Api.CHAT_COMPLETIONS, {"max_completion_tokens": 200, "max_tokens": 100}, 200),
        (Api.CHAT_COMPLETIONS, {"max_completion_tokens": None, "max_tokens": 100}, 100),
        (Api.CHAT_COMPLETIONS, {"max_tokens": 100, "n": 3}, 300),
        (Api.CHAT_COMPLETIONS, {"max_tokens": 100, "n": None}, 100),
        (Api.CHAT_COMPLETIONS, {"max_tokens": 100, "n": 10**9}, 100),
        # llama.cpp's "no bound".
        (Api.CHAT_COMPLETIONS, {"max_tokens": -1}, None),
        (Api.RESPONSES, {"max_output_tokens": 300}, 300),
        (Api.RESPONSES, {"max_tokens": 300}, None),
        (Api.CONVERSE, {"inferenceConfig": {"maxTokens": 400}}, 400),
        (Api.CONVERSE, {"inferenceConfig": None}, None),
        (Api.CONVERSE, {"inferenceConfig": [5]}, None),
        (Api.INVOKE, {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 500}, 500),
        (Api.INVOKE, {"messages": [], "inferenceConfig": {"max_new_tokens": 600}}, 600),
        (Api.INVOKE, {"messages": [], "prompt": "x", "max_gen_len": 700}, 700),
        (Api.INVOKE, {"messages": [], "prompt": "x", "max_tokens_to_sample": 800}, 800),
        (Api.INVOKE, {"messages": [], "prompt": "x", "max_tokens": 900}, 900),
    ],
)
def test_the_bound_of_an_answer(api: Api, fields: dict[str, Any], bound: int | None) -> None:
    assert read_request(api, body(api, **fields)).max_output_tokens == bound


@EVERY_API
@pytest.mark.parametrize("value", [None, "5", 1.5, True, -1, [], 2**63])
def test_odd_bounds_are_none(api: Api, value: Any) -> None:
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    data = body(api, inferenceConfig={"maxTokens": value}, **dict.fromkeys(names, value))
    assert read_request(api, data).max_output_tokens is None


@pytest.mark.parametrize(
    ("api", "fields", "tier"),
    [
        (Api.MESSAGES, {"speed": "fast"}, "fast"),
        (Api.MESSAGES, {"speed": "standard"}, ""),
        (Api.CHAT_COMPLETIONS, {"service_tier": "priority"}, "priority"),
        (Api.CHAT_COMPLETIONS, {"service_tier": "auto"}, ""),
        (Api.RESPONSES, {"service_tier": "flex"}, "flex"),
        (Api.RESPONSES, {"service_tier": ["flex"]}, ""),
        (Api.CONVERSE, {"serviceTier": {"type": "priority"}}, "priority"),
        (Api.CONVERSE, {"serviceTier": "priority"}, ""),
    ],
)
def test_the_class_of_service_asked_for(api: Api, fields: dict[str, Any], tier: str) -> None:
    assert read_request(api, body(api, **fields)).service_tier == tier


@pytest.mark.parametrize("api", [Api.MESSAGES, Api.CHAT_COMPLETIONS, Api.CONVERSE, Api.INVOKE])
def test_what_is_to_be_cached_for_an_hour(api: Api) -> None:
    marked = body(api, system=[{"cache_control": {"type": "ephemeral", "ttl": "1h"}}])
    assert keeps_for_hour(api, marked)
    shorter = body(api, system=[{"cache_control": {"type": "ephemeral", "ttl": "5m"}}])
    assert not keeps_for_hour(api, shorter)
    # Words are no mark.
    spoken = body(api, system=[{"text": 'say "1h", and {"ttl": "1h"}'}])
    assert not keeps_for_hour(api, spoken)
