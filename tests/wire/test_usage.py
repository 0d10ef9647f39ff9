"""Token counts to the token, against the examples of the providers' pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aigw.wire.apis import Api
from aigw.wire.facts import UsageFact
from tests.simulator import eventstream

from .exchange import read_answer

JSON = "application/json"


def messages(usage: dict[str, Any]) -> bytes:
    return json.dumps({"id": "m", "type": "message", "content": [], "usage": usage}).encode()


def chat(usage: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"id": "c", "choices": [], "usage": usage, **more}).encode()


def responses(usage: dict[str, Any], output: list[Any] | None = None, **more: Any) -> bytes:
    answer = {"id": "r", "status": "completed", "output": output or [], "usage": usage, **more}
    return json.dumps(answer).encode()


def converse(usage: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"output": {"message": {"content": []}}, "usage": usage, **more}).encode()


def usages(api: Api, body: bytes, content_type: str = JSON) -> list[dict[str, Any]]:
    """The usage facts of an answer, without the fields at their default."""
    facts = read_answer(api, [body], content_type=content_type)["facts"]
    return [fact["UsageFact"] for fact in facts if "UsageFact" in fact]


EXAMPLES: list[tuple[str, Api, bytes, dict[str, Any]]] = [
    (
        # platform.claude.com, "Prompt caching": total input = read + created + input.
        "both lifetimes of a cache",
        Api.MESSAGES,
        messages(
            {
                "input_tokens": 2048,
                "cache_read_input_tokens": 1800,
                "cache_creation_input_tokens": 248,
                "output_tokens": 503,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 148,
                    "ephemeral_1h_input_tokens": 100,
                },
            }
        ),
        {
            "input_tokens": 2048,
            "output_tokens": 503,
            "cache_read_input_tokens": 1800,
            "cache_write_input_tokens": 248,
            "extra": {
                "cache_creation_input": 248,
                "cache_read_input": 1800,
                "cache_ephemeral_1h_input": 100,
                "cache_ephemeral_5m_input": 148,
            },
        },
    ),
    (
        # platform.claude.com, "Web search tool" and "Web fetch tool": fetches cost nothing.
        "searches and fetches",
        Api.MESSAGES,
        messages(
            {
                "input_tokens": 6039,
                "output_tokens": 931,
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 3},
            }
        ),
        {"input_tokens": 6039, "output_tokens": 931, "extra": {"web_search_requests": 2}},
    ),
    (
        "the priority tier",
        Api.MESSAGES,
        messages({"input_tokens": 410, "output_tokens": 585, "service_tier": "priority"}),
        {"input_tokens": 410, "output_tokens": 585, "service_tier": "priority"},
    ),
    (
        # platform.claude.com, "Fast mode" and "Data residency".
        "fast, in one place",
        Api.MESSAGES,
        messages(
            {
                "input_tokens": 523,
                "output_tokens": 1842,
                "service_tier": "standard",
                "speed": "fast",
                "inference_geo": "us",
            }
        ),
        {
            "input_tokens": 523,
            "output_tokens": 1842,
            "service_tier": "fast",
            "inference_geo": "us",
        },
    ),
    (
        "the usual speed, anywhere",
        Api.MESSAGES,
        messages(
            {
                "input_tokens": 25,
                "output_tokens": 150,
                "service_tier": "standard",
                "speed": "standard",
                "inference_geo": "not_available",
            }
        ),
        {"input_tokens": 25, "output_tokens": 150},
    ),
    (
        # developers.openai.com, "Prompt caching": cached tokens are among the prompt's.
        "a cached prompt",
        Api.CHAT_COMPLETIONS,
        chat(
            {
                "prompt_tokens": 2006,
                "completion_tokens": 300,
                "total_tokens": 2306,
                "prompt_tokens_details": {"cached_tokens": 1920},
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            service_tier="default",
        ),
        {
            "input_tokens": 86,
            "output_tokens": 300,
            "cache_read_input_tokens": 1920,
            "extra": {"prompt_cached": 1920},
        },
    ),
    (
        # API reference, "The chat completion object"; predictions that were rejected are paid for.
        "reasoning, predictions and audio",
        Api.CHAT_COMPLETIONS,
        chat(
            {
                "prompt_tokens": 120,
                "completion_tokens": 500,
                "total_tokens": 620,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 40},
                "completion_tokens_details": {
                    "reasoning_tokens": 320,
                    "audio_tokens": 60,
                    "accepted_prediction_tokens": 50,
                    "rejected_prediction_tokens": 30,
                },
            },
            service_tier="flex",
        ),
        {
            "input_tokens": 120,
            "output_tokens": 500,
            "reasoning_tokens": 320,
            "extra": {
                "prompt_audio": 40,
                "completion_accepted_prediction": 50,
                "completion_rejected_prediction": 30,
                "completion_audio": 60,
                "completion_reasoning": 320,
            },
            "service_tier": "flex",
        },
    ),
    (
        # openrouter.ai, "Usage accounting".
        "OpenRouter's written cache",
        Api.CHAT_COMPLETIONS,
        chat(
            {
                "completion_tokens": 2,
                "completion_tokens_details": {"reasoning_tokens": 0},
                "cost": 0.95,
                "cost_details": {"upstream_inference_cost": 19},
                "prompt_tokens": 194,
                "prompt_tokens_details": {
                    "cached_tokens": 0,
                    "cache_write_tokens": 100,
                    "audio_tokens": 0,
                },
                "total_tokens": 196,
            }
        ),
        {
            "input_tokens": 94,
            "output_tokens": 2,
            "cache_write_input_tokens": 100,
            "charged_micros": 950_000,
        },
    ),
    (
        # cloud.google.com, "Reasoning for Grok models": reasoning is beside the completion's tokens.
        "xAI's reasoning",
        Api.CHAT_COMPLETIONS,
        chat(
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "prompt_tokens_details": {"cached_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 94},
            }
        ),
        {
            "input_tokens": 26,
            "output_tokens": 103,
            "cache_read_input_tokens": 6,
            "reasoning_tokens": 94,
            "extra": {"prompt_cached": 6, "completion_reasoning": 94},
        },
    ),
    (
        "Google's reasoning, which only the total has",
        Api.CHAT_COMPLETIONS,
        chat({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}),
        {
            "input_tokens": 20,
            "output_tokens": 603,
            "reasoning_tokens": 405,
            "extra": {"completion_reasoning": 405},
        },
    ),
    (
        "a prompt without its cache, which the total has",
        Api.CHAT_COMPLETIONS,
        chat(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "prompt_tokens_details": {"cached_tokens": 100},
            }
        ),
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_read_input_tokens": 100,
            "extra": {"prompt_cached": 100},
        },
    ),
    (
        # api-docs.deepseek.com: prompt_tokens is hits plus misses.
        "DeepSeek's hits",
        Api.CHAT_COMPLETIONS,
        chat(
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "total_tokens": 105,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
            }
        ),
        {
            "input_tokens": 36,
            "output_tokens": 5,
            "cache_read_input_tokens": 64,
            "extra": {"prompt_cached": 64},
        },
    ),
    (
        # API reference, "The response object", with GPT-5.6's written cache.
        "cache, its lifetimes and reasoning",
        Api.RESPONSES,
        responses(
            {
                "input_tokens": 5000,
                "input_tokens_details": {
                    "cached_tokens": 1000,
                    "cache_write_tokens": 3207,
                    "cache_write_tokens_details": {"ttl_30m_tokens": 3000, "ttl_12h_tokens": 207},
                },
                "output_tokens": 1035,
                "output_tokens_details": {"reasoning_tokens": 832},
                "total_tokens": 6035,
            },
            service_tier="priority",
        ),
        {
            "input_tokens": 793,
            "output_tokens": 1035,
            "cache_read_input_tokens": 1000,
            "cache_write_input_tokens": 3207,
            "reasoning_tokens": 832,
            "extra": {
                "input_cached": 1000,
                "output_reasoning": 832,
                "cache_write_30m_input": 3000,
                "cache_write_12h_input": 207,
                "total_tokens": 6035,
            },
            "service_tier": "priority",
        },
    ),
    (
        # Amazon Bedrock API reference, "TokenUsage" and "CacheDetail".
        "Bedrock's cache by lifetime",
        Api.CONVERSE,
        converse(
            {
                "inputTokens": 12,
                "outputTokens": 30,
                "totalTokens": 1542,
                "cacheReadInputTokens": 1000,
                "cacheWriteInputTokens": 500,
                "cacheDetails": [
                    {"ttl": "1h", "inputTokens": 200},
                    {"ttl": "5m", "inputTokens": 300},
                ],
            },
            serviceTier={"type": "flex"},
        ),
        {
            "input_tokens": 12,
            "output_tokens": 30,
            "cache_read_input_tokens": 1000,
            "cache_write_input_tokens": 500,
            "extra": {
                "cache_creation_input": 500,
                "cache_read_input": 1000,
                "cache_ephemeral_1h_input": 200,
                "cache_ephemeral_5m_input": 300,
            },
            "service_tier": "flex",
        },
    ),
]


@pytest.mark.parametrize(
    ("api", "body", "expected"), [each[1:] for each in EXAMPLES], ids=[each[0] for each in EXAMPLES]
)
def test_examples(api: Api, body: bytes, expected: dict[str, Any]) -> None:
    assert usages(api, body) == [expected]


ITERATIONS = {
    # platform.claude.com, "Compaction" and "Advisor tool".
    "input_tokens": 23000,
    "output_tokens": 1000,
    "speed": "fast",
    "iterations": [
        {
            "type": "compaction",
            "input_tokens": 180000,
            "output_tokens": 3500,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 0,
        },
        {"type": "message", "input_tokens": 23000, "output_tokens": 1000},
        {
            "type": "advisor_message",
            "model": "claude-opus-5-5",
            "input_tokens": 823,
            "output_tokens": 1612,
        },
    ],
}
BESIDE = [
    {
        "input_tokens": 180000,
        "output_tokens": 3500,
        "cache_read_input_tokens": 5,
        "extra": {"cache_read_input": 5},
        "service_tier": "fast",
    },
    {
        "input_tokens": 823,
        "output_tokens": 1612,
        "service_tier": "fast",
        "model": "claude-opus-5-5",
    },
]
ITSELF = {"input_tokens": 23000, "output_tokens": 1000, "service_tier": "fast"}


def test_samplings_beside_the_answer_are_usages_of_their_own() -> None:
    assert usages(Api.MESSAGES, messages(ITERATIONS)) == [ITSELF, *BESIDE]


def test_samplings_beside_a_streamed_answer() -> None:
    events = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 23000}}},
        {"type": "message_delta", "delta": {}, "usage": ITERATIONS},
        {"type": "message_stop"},
    ]
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    assert usages(Api.MESSAGES, stream, "text/event-stream") == [ITSELF, *BESIDE]


@pytest.mark.parametrize("iterations", [None, 5, "x", [5, None], [{}], [{"type": ["compaction"]}]])
def test_odd_iterations(iterations: Any) -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "iterations": iterations}
    assert usages(Api.MESSAGES, messages(usage)) == [{"input_tokens": 1, "output_tokens": 2}]


def test_metadata() -> None:
    plain = UsageFact(1, 2, extra={"total_tokens": 3})
    assert plain.metadata() == {"total_tokens": 3}
    named = UsageFact(1, 2, service_tier="flex", inference_geo="us", model="m")
    assert named.metadata() == {"service_tier": "flex", "inference_geo": "us", "model": "m"}


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("standard", ""),
        ("default", ""),
        ("auto", ""),
        ("", ""),
        (None, ""),
        (5, ""),
        (["flex"], ""),
        (" batch ", "batch"),
        ("flex", "flex"),
        ("priority", "priority"),
        ("scale", "scale"),
        ("x" * 65, ""),
        ("a\nb", ""),
    ],
)
def test_tiers(stated: Any, kept: str) -> None:
    given = {"input_tokens": 1, "output_tokens": 1}
    bodies = [
        (Api.MESSAGES, messages({**given, "service_tier": stated}), JSON),
        (Api.CHAT_COMPLETIONS, chat(given, service_tier=stated), JSON),
        (
            Api.CHAT_COMPLETIONS,
            b"data: " + chat(given, service_tier=stated) + b"\n\ndata: [DONE]\n\n",
            "text/event-stream",
        ),
        (Api.RESPONSES, responses(given, service_tier=stated), JSON),
        (
            Api.RESPONSES,
            b'data: {"type":"response.completed","response":'
            + responses(given, service_tier=stated)
            + b"}\n\n",
            "text/event-stream",
        ),
        (Api.CONVERSE, converse({"inputTokens": 1}, serviceTier={"type": stated}), JSON),
        (
            Api.CONVERSE,
            eventstream.frame(
                "metadata", converse({"inputTokens": 1}, serviceTier={"type": stated})
            ),
            eventstream.CONTENT_TYPE,
        ),
    ]
    for api, body, content_type in bodies:
        (usage,) = usages(api, body, content_type)
        assert usage.get("service_tier", "") == kept, (api, content_type)


SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
TOOLS = [
    {**SEARCH, "action": {"type": "search", "query": "x", "queries": ["x", "y"]}},
    {**SEARCH, "id": "ws_2", "action": {"type": "open_page", "url": "u"}},
    {**SEARCH, "id": "ws_3", "action": {"type": "find_in_page", "url": "u", "pattern": "p"}},
    {**SEARCH, "id": "ws_4", "status": "failed", "action": {"type": "search", "query": "x"}},
    {**SEARCH, "id": "ws_5"},
    {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x"]},
    {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1"},
    {"type": "code_interpreter_call", "id": "ci_2", "status": "completed", "code": "2"},
    {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "message", "id": "msg_1", "content": []},
    {"type": "image_generation_call", "id": "ig_1", "status": "generating", "result": "AA"},
    {"type": "image_generation_call", "id": "ig_2", "status": "failed"},
    {"type": "shell_call", "id": "sh_1", "status": "completed", "environment": {"type": "local"}},
    {"type": "shell_call", "id": "sh_2", "environment": {"type": "container_reference"}},
    {"type": ["web_search_call"]},
]
COUNTED = {
    "web_search_requests": 2,
    "file_search_requests": 1,
    "code_interpreter_calls": 2,
    "image_generation_calls": 1,
    "hosted_shell_calls": 1,
}


def test_billed_tools_of_a_whole_answer() -> None:
    (usage,) = usages(Api.RESPONSES, responses({"input_tokens": 1}, TOOLS))
    assert usage["extra"] == COUNTED


@pytest.mark.parametrize("repeated", [True, False])
def test_billed_tools_of_a_stream_are_counted_once(repeated: bool) -> None:
    events: list[dict[str, Any]] = []
    for index, item in enumerate(TOOLS):
        opened = {**item, "status": "in_progress"}
        for kind, each in (("added", opened), ("done", item)):
            events.append(
                {"type": f"response.output_item.{kind}", "output_index": index, "item": each}
            )
    final = json.loads(responses({"input_tokens": 1}, TOOLS if repeated else []))
    events.append({"type": "response.completed", "response": final})
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    (usage,) = usages(Api.RESPONSES, stream, "text/event-stream")
    assert usage["extra"] == COUNTED


@pytest.mark.parametrize(
    ("offered", "name"),
    [
        (["web_search_preview"], "web_search_preview_requests"),
        (["function", "web_search_preview_2025_03_11"], "web_search_preview_requests"),
        (["web_search"], "web_search_requests"),
        (["web_search_2025_08_26", "web_search_preview"], "web_search_requests"),
        ([], "web_search_requests"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_searches_are_those_of_the_tool_that_was_offered(
    offered: list[str], name: str, streamed: bool
) -> None:
    tools = [{"type": kind} for kind in offered]
    body = responses({"input_tokens": 1}, [SEARCH], tools=tools)
    if streamed:
        event = {"type": "response.completed", "response": json.loads(body)}
        body = b"data: %b\n\n" % json.dumps(event).encode()
    (usage,) = usages(Api.RESPONSES, body, "text/event-stream" if streamed else JSON)
    assert usage["extra"] == {name: 1}


SERVED = [
    {"type": "message", "model": "claude-fable-5", "input_tokens": 7, "output_tokens": 0},
    {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 7, "output_tokens": 9},
]


@pytest.mark.parametrize(
    ("iterations", "model"), [(SERVED, "claude-opus-4-8"), (SERVED[:1], None), (SERVED[::-1], None)]
)
def test_a_model_that_stepped_in_is_the_one_that_is_paid(
    iterations: list[dict[str, Any]], model: str | None
) -> None:
    """platform.claude.com, "Refusals and fallback"."""
    usage = {"input_tokens": 7, "output_tokens": 9, "iterations": iterations}
    (found,) = usages(Api.MESSAGES, messages(usage))
    assert found.get("model") == model


def test_the_lifetimes_are_the_sum_where_that_is_not_stated() -> None:
    lifetimes = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70}
    (found,) = usages(Api.MESSAGES, messages({"input_tokens": 1, "cache_creation": lifetimes}))
    assert found["cache_write_input_tokens"] == 100


def test_a_model_run_faster_is_a_class_of_service_of_its_own() -> None:
    """AWS, "Optimize model inference for latency": it costs more, and no list has how much."""
    usage = {"inputTokens": 1, "outputTokens": 2}
    for latency, tier in (("optimized", "optimized"), ("standard", "")):
        body = converse(usage, performanceConfig={"latency": latency})
        (found,) = usages(Api.CONVERSE, body)
        assert found.get("service_tier", "") == tier


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        ({"cost": 0.95}, 950_000),
        ({"cost": 0}, 0),
        ({"cost": 0.0000005}, 1),
        ({"cost": 0.0000004}, 0),
        (
            {"cost": 0.1, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.1}},
            100_000,
        ),
        ({"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 2}}, 2_100_000),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        # docs.x.ai, "Cost Tracking": its own example, $0.0038.
        ({"cost_in_usd_ticks": 37_756_000}, 3776),
        ({"cost": "0.95"}, None),
        ({"cost": True}, None),
        ({"cost": -1}, None),
        ({"cost": None}, None),
        ({"cost": {"total_cost": 1}}, None),
        ({"cost": 1e300}, None),
        ({"cost_in_usd_ticks": -5}, None),
    ],
)
def test_what_is_said_to_be_charged(usage: dict[str, Any], micros: int | None) -> None:
    (found,) = usages(Api.CHAT_COMPLETIONS, chat({"prompt_tokens": 1, **usage}))
    assert found.get("charged_micros") == micros
    (found,) = usages(Api.RESPONSES, responses({"input_tokens": 1, **usage}))
    assert found.get("charged_micros") == micros


SAID = "a dozen words of an answer that somebody has to pay for, whoever counts"
CHOICE = {"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
NOTHING: list[Any] = [
    None, {}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": "1000", "completion_tokens": "50"}, {"prompt_tokens": -5}, [1], "x",
]  # fmt: skip


@pytest.mark.parametrize("usage", NOTHING)
def test_what_was_said_and_not_counted_is_estimated(usage: Any) -> None:
    """It is not free because a service counts nothing, or nothing that can be read."""
    body = json.dumps({"id": "c", "choices": [CHOICE], "usage": usage}).encode()
    assert usages(Api.CHAT_COMPLETIONS, body) == [
        {"input_tokens": 0, "output_tokens": len(SAID) // 6, "is_estimate": True}
    ]
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": SAID}}]}
    last = {"id": "c", "choices": [], "usage": usage}
    stream = b"".join(b"data: %b\n\n" % json.dumps(e).encode() for e in (chunk, last))
    assert usages(Api.CHAT_COMPLETIONS, stream + b"data: [DONE]\n\n", "text/event-stream") == [
        {"input_tokens": 0, "output_tokens": 1, "is_estimate": True}
    ]


TEXT = {"type": "text", "text": SAID}


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (Api.MESSAGES, {"type": "message", "content": [TEXT]}),
        (Api.MESSAGES, {"type": "message", "content": [TEXT], "usage": {"input_tokens": "7"}}),
        (
            Api.RESPONSES,
            {"status": "completed", "output": [{"type": "message", "content": [TEXT]}]},
        ),
        (Api.CONVERSE, {"output": {"message": {"content": [{"text": SAID}]}}}),
        (Api.INVOKE, {"choices": [CHOICE]}),
    ],
)
def test_so_it_is_in_every_api(api: Api, body: dict[str, Any]) -> None:
    assert usages(api, json.dumps(body).encode()) == [
        {"input_tokens": 0, "output_tokens": len(SAID) // 6, "is_estimate": True}
    ]


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (Api.CHAT_COMPLETIONS, {"choices": []}),
        (Api.CHAT_COMPLETIONS, {"error": {"message": SAID}}),
        (Api.RESPONSES, {"status": "queued", "output": [], "instructions": SAID}),
        (Api.MESSAGES, {"type": "error", "error": {"message": SAID}}),
        (Api.MESSAGES, {"input_tokens": 7}),
    ],
)
def test_where_nothing_was_said_nothing_is_estimated(api: Api, body: dict[str, Any]) -> None:
    assert usages(api, json.dumps(body).encode()) == []


def test_what_a_tool_of_the_provider_found_was_not_said() -> None:
    output = [
        {"type": "file_search_call", "queries": ["q"], "results": [{"text": SAID * 99}]},
        {"type": "message", "content": [{**TEXT, "annotations": [{"text": SAID * 99}]}]},
    ]
    body = json.dumps({"status": "completed", "output": output}).encode()
    (usage,) = usages(Api.RESPONSES, body)
    assert usage["output_tokens"] == len(SAID) // 6


@pytest.mark.parametrize("after", [{}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_an_empty_count_at_the_end_replaces_none(after: dict[str, int]) -> None:
    counted = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    events = [
        {
            "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}],
            "usage": counted,
        },
        {"choices": [], "usage": after},
    ]
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    assert usages(Api.CHAT_COMPLETIONS, stream, "text/event-stream") == [
        {"input_tokens": 100, "output_tokens": 50}
    ]


def test_a_search_that_was_not_done_is_not_counted() -> None:
    done = {"type": "response.output_item.done", "output_index": 0, "item": TOOLS[0]}
    opened = {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {**TOOLS[0], "id": "ws_9", "status": "in_progress"},
    }
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in (done, opened))
    (usage,) = usages(Api.RESPONSES, stream, "text/event-stream")
    assert usage["extra"] == {"web_search_requests": 1}
    assert usage["is_estimate"]
