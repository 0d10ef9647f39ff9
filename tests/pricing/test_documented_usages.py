"""Usages as the providers' documentation shows them, through our readers, to what they cost.

Each case has the page's own figures in the form of the wire, in the bodies that our readers read, and
names the page. Rates are those of `test_examples`, the sums worked out by hand. Where a page shows
only the shape, the figures are ours, and the case says so.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from aigw.pricing.price import cost_micros
from aigw.wire.apis import Api, response_reader
from aigw.wire.facts import UsageFact
from tests.pricing.test_examples import REGIONAL, SONNET, price_of
from tests.simulator.eventstream import frame

CACHING = "https://platform.claude.com/docs/en/build-with-claude/prompt-caching"
SEARCHING = "https://platform.claude.com/docs/en/about-claude/pricing#web-search-tool"
FETCHING = "https://platform.claude.com/docs/en/about-claude/pricing#web-fetch-tool"
STREAMING = "https://platform.claude.com/docs/en/build-with-claude/streaming"
OPENAI_CACHING = "https://developers.openai.com/api/docs/guides/prompt-caching"
REASONING = "https://developers.openai.com/api/docs/guides/reasoning"
RESPONSES = "https://developers.openai.com/api/docs/api-reference/responses/create"
XAI_CACHING = "https://docs.x.ai/developers/advanced-api-usage/prompt-caching/usage-and-pricing"
TOKEN_USAGE = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html"

JSON = "application/json"
EVENTS = "text/event-stream"
FRAMES = "application/vnd.amazon.eventstream"


class Documented(NamedTuple):
    """An answer, the total of the input that its page states or implies, and what it costs."""

    page: str
    api: Api
    content_type: str
    answer: bytes
    kind: str
    model: str
    total_input: int
    micros: int


def document(**members: Any) -> bytes:
    return msgspec.json.encode(members)


def events(*found: dict[str, Any]) -> bytes:
    lines = (
        b"event: %s\ndata: %s\n\n" % (e["type"].encode(), msgspec.json.encode(e)) for e in found
    )
    return b"".join(lines)


def message(usage: dict[str, Any]) -> bytes:
    return document(id="msg_1", type="message", role="assistant", content=[], usage=usage)


def message_stream(first: dict[str, Any], last: dict[str, Any]) -> bytes:
    return events(
        {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": first}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    )


def completion(usage: dict[str, Any], **members: Any) -> bytes:
    return document(id="chatcmpl_1", object="chat.completion", choices=[], usage=usage, **members)


def response(usage: dict[str, Any], *output: dict[str, Any]) -> dict[str, Any]:
    return {"id": "resp_1", "status": "completed", "output": list(output), "usage": usage}


def converse_stream(usage: dict[str, Any]) -> bytes:
    return frame("messageStop", document(stopReason="end_turn")) + frame(
        "metadata", document(usage=usage)
    )


# The page's total is 100,050: what was read, what was written, and the 50 after the last mark.
READ_AND_REST = {
    "input_tokens": 50,
    "cache_read_input_tokens": 100_000,
    "cache_creation_input_tokens": 0,
    "output_tokens": 503,
}
# The page's own counts of each lifetime, 456 and 100, and their sum, which it says they are.
LIFETIMES = {
    "input_tokens": 2048,
    "cache_read_input_tokens": 1800,
    "cache_creation_input_tokens": 556,
    "output_tokens": 503,
    "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 100},
}
SEARCHED = {
    "input_tokens": 105,
    "output_tokens": 6039,
    "cache_read_input_tokens": 7123,
    "cache_creation_input_tokens": 7345,
    "server_tool_use": {"web_search_requests": 1},
}
FETCHED = {
    "input_tokens": 25_039,
    "output_tokens": 931,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "server_tool_use": {"web_fetch_requests": 1},
}
# 2,679 at the start and 10,682 at the end, which counts all: the search's results are in between.
BEFORE_SEARCHING = {
    "input_tokens": 2679,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 3,
}
AFTER_SEARCHING = {
    "input_tokens": 10_682,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 510,
    "server_tool_use": {"web_search_requests": 1},
}
CACHED_PROMPT = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
# The page's two fields; the figures are ours.
WRITTEN_PROMPT = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 1920},
}
REASONED = {
    "input_tokens": 75,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1186,
    "output_tokens_details": {"reasoning_tokens": 1024},
    "total_tokens": 1261,
}
FILES_SEARCHED = {
    "input_tokens": 18_307,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 348,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 18_655,
}
WEB_SEARCHED = {
    "input_tokens": 328,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 356,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 684,
}
XAI_CACHED = {
    "prompt_tokens": 125,
    "completion_tokens": 48,
    "total_tokens": 173,
    "prompt_tokens_details": {
        "text_tokens": 125, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 98,
    },
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}  # fmt: skip
# The members that the reference names, an hour's first; the figures are ours.
CONVERSED = {
    "inputTokens": 100,
    "outputTokens": 50,
    "totalTokens": 1_300,
    "cacheReadInputTokens": 150,
    "cacheWriteInputTokens": 1000,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 400}, {"ttl": "5m", "inputTokens": 600}],
}
SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search"},
}
OPEN_PAGE = {
    "type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page"},
}  # fmt: skip
FILE_SEARCH = {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["a"]}

CASES = {
    # 50 x 3 + 100,000 x 0.3 + 503 x 15.
    "anthropic read": Documented(
        CACHING, Api.MESSAGES, JSON, message(READ_AND_REST), "anthropic", SONNET, 100_050,
        150 + 30_000 + 7545,
    ),
    # 2,048 x 3 + 1,800 x 0.3 + 456 x 3.75 + 100 x 6 + 503 x 15.
    "anthropic lifetimes": Documented(
        CACHING, Api.MESSAGES, JSON, message(LIFETIMES), "anthropic", SONNET, 2048 + 1800 + 556,
        6144 + 540 + 1710 + 600 + 7545,
    ),
    # A stream states the input at its start, and the output at its end.
    "anthropic lifetimes streamed": Documented(
        CACHING, Api.MESSAGES, EVENTS,
        message_stream({**LIFETIMES, "output_tokens": 1}, {"output_tokens": 503}),
        "anthropic", SONNET, 2048 + 1800 + 556, 6144 + 540 + 1710 + 600 + 7545,
    ),
    # 105 x 3 + 7,123 x 0.3 + 7,345 x 3.75 + 6,039 x 15 = 120,580.65, and one search at a cent.
    "anthropic search": Documented(
        SEARCHING, Api.MESSAGES, JSON, message(SEARCHED), "anthropic", SONNET, 14_573,
        120_581 + 10_000,
    ),
    # Fetching a page costs its tokens alone: 25,039 x 5 + 931 x 25.
    "anthropic fetch": Documented(
        FETCHING, Api.MESSAGES, JSON, message(FETCHED), "anthropic", "claude-opus-5", 25_039,
        125_195 + 23_275,
    ),
    # 10,682 x 5 + 510 x 25 + a cent: the last word, not the sum of both.
    "anthropic search streamed": Documented(
        STREAMING, Api.MESSAGES, EVENTS, message_stream(BEFORE_SEARCHING, AFTER_SEARCHING),
        "anthropic", "claude-opus-5", 10_682, 53_410 + 12_750 + 10_000,
    ),
    # 86 x 1.25 + 1,920 x 0.125 + 300 x 10 = 3,347.5.
    "chat cached": Documented(
        OPENAI_CACHING, Api.CHAT_COMPLETIONS, JSON, completion(CACHED_PROMPT), "openai", "gpt-5",
        2006, 3348,
    ),
    "chat cached streamed": Documented(
        OPENAI_CACHING, Api.CHAT_COMPLETIONS, EVENTS,
        b"data: %s\n\ndata: [DONE]\n\n" % completion(CACHED_PROMPT), "openai", "gpt-5", 2006, 3348,
    ),
    # In a class of service: twice that.
    "chat cached fast": Documented(
        OPENAI_CACHING, Api.CHAT_COMPLETIONS, JSON,
        completion(CACHED_PROMPT, service_tier="priority"), "openai", "gpt-5", 2006, 6695,
    ),
    # GPT-5.6 asks a quarter more for writing: 86 x 4 + 1,920 x 5 + 300 x 20.
    "chat written": Documented(
        OPENAI_CACHING, Api.CHAT_COMPLETIONS, JSON, completion(WRITTEN_PROMPT), "openai",
        "gpt-5.6-sol", 2006, 344 + 9600 + 6000,
    ),
    # 75 x 1.25 + 1,186 x 10: the 1,024 are among the 1,186. 93.75 rounds up.
    "responses reasoning": Documented(
        REASONING, Api.RESPONSES, JSON, document(**response(REASONED)), "openai", "gpt-5", 75,
        11_954,
    ),
    "responses reasoning streamed": Documented(
        REASONING, Api.RESPONSES, EVENTS,
        events({"type": "response.completed", "response": response(REASONED)}), "openai", "gpt-5",
        75, 11_954,
    ),
    # 18,307 x 2 + 348 x 8, and a quarter of a cent for the search in files.
    "responses file search": Documented(
        RESPONSES, Api.RESPONSES, JSON, document(**response(FILES_SEARCHED, FILE_SEARCH)), "openai",
        "gpt-4.1", 18_307, 36_614 + 2784 + 2500,
    ),
    # 328 x 1.25 + 356 x 10, and a cent: the page opened after the search costs nothing. The calls are
    # ours, with the figures of the page's example of an older tool.
    "responses web search": Documented(
        RESPONSES, Api.RESPONSES, JSON, document(**response(WEB_SEARCHED, SEARCH, OPEN_PAGE)),
        "openai", "gpt-5", 328, 410 + 3560 + 10_000,
    ),
    "responses web search streamed": Documented(
        RESPONSES, Api.RESPONSES, EVENTS,
        events(
            {"type": "response.output_item.done", "output_index": 0, "item": SEARCH},
            {"type": "response.output_item.done", "output_index": 1, "item": OPEN_PAGE},
            {
                "type": "response.completed",
                "response": response(WEB_SEARCHED, SEARCH, OPEN_PAGE),
            },
        ),
        "openai", "gpt-5", 328, 410 + 3560 + 10_000,
    ),
    # Converse, at a regional endpoint: 100 x 3.3 + 150 x 0.33 + 600 x 4.125 + 400 x 6.6 + 50 x 16.5.
    "converse": Documented(
        TOKEN_USAGE, Api.CONVERSE, JSON,
        document(output={"message": {"content": []}}, stopReason="end_turn", usage=CONVERSED),
        "bedrock", REGIONAL, 1250, 6320,
    ),
    "converse streamed": Documented(
        TOKEN_USAGE, Api.CONVERSE, FRAMES, converse_stream(CONVERSED), "bedrock", REGIONAL, 1250,
        6320,
    ),
}  # fmt: skip


def usages(case: Documented) -> list[UsageFact]:
    reader = response_reader(case.api, 200, case.content_type)
    facts = reader.feed(case.answer) + reader.finish()
    return [fact for fact in facts if isinstance(fact, UsageFact)]


@pytest.mark.parametrize("name", CASES)
def test_a_documented_usage_costs_what_its_page_asks(name: str) -> None:
    case = CASES[name]
    (usage,) = usages(case)
    assert not usage.is_estimate
    assert usage.total_input_tokens == case.total_input, case.page
    assert cost_micros(price_of(case.kind, case.model), usage) == case.micros, case.page


def test_what_xai_says_is_cached_is_part_of_the_prompt() -> None:
    """As at OpenAI, though its completion tokens leave the reasoning out."""
    case = Documented(
        XAI_CACHING, Api.CHAT_COMPLETIONS, JSON, completion(XAI_CACHED), "", "", 125, 0
    )
    (usage,) = usages(case)
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (27, 98)
    assert (usage.output_tokens, usage.total_input_tokens) == (48, 125)


def test_writes_to_the_cache_of_one_lifetime_are_added_up() -> None:
    """The reference has one entry for each lifetime; more of one are all paid."""
    details = [{"ttl": "1h", "inputTokens": 150}, {"ttl": "5m", "inputTokens": 600}]
    given = {**CONVERSED, "cacheDetails": [*details, {"ttl": "1h", "inputTokens": 250}]}
    case = CASES["converse streamed"]._replace(answer=converse_stream(given))
    (usage,) = usages(case)
    assert usage.extra["cache_ephemeral_1h_input"] == 400
    assert cost_micros(price_of(case.kind, case.model), usage) == case.micros
