"""The requests that are sent and the answers that come back, as whole HTTP messages made in advance.

A request is a template with a number of eight digits in its prompt and in the header `x-bench`, so
that no two prompts are the same, as full-text search meets them in life. The header's first word
names the answer wanted; the simulated provider reads nothing else.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Final

NUMBER_MARK: Final = b"@@@@@@@@"
"""Where a request's number goes. As long as the number, so that Content-Length is right."""

CENTRAL_KEY: Final = "sk-bench"
CLIENT_KEY: Final = "client-key"
"""What clients send where the gateway asks for no key of its own."""

_WORDS: Final = [
    *("refactor", "parser", "buffer", "stream", "socket", "handler", "config", "schema", "index"),
    *("query", "token", "budget", "replay", "worker", "thread", "batch", "commit", "vacuum"),
    *("latency", "histogram", "cursor", "migration", "rollback", "fixture", "assert", "template"),
    *("renderer", "encoder", "decoder", "checksum", "archive", "symlink", "permission", "deploy"),
    *("container", "canary", "feature", "toggle", "session", "cookie", "header", "gateway"),
    *("upstream", "timeout", "retry", "backoff", "jitter", "cluster", "the", "a", "of", "in"),
    *("when", "before", "after", "should", "must", "never", "because", "please", "why", "does"),
]

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request and what its answer must look like.

    `answer` is the first word of `header`. `answer_size` is the size of a JSON answer's body,
    None for streams. `events` is the number of events of a stream, `event_end` the two bytes that
    end each and stand nowhere else.
    """

    name: str
    path: str
    bodies: tuple[bytes, ...]
    answer: str
    answer_size: int | None = None
    events: int = 0
    event_end: bytes = b"\n\n"
    header: str = "x-bench"

    def messages(self, authority: str, key: str) -> Messages:
        """The requests as bytes for the server at `authority` (host:port), with a client's key."""
        return Messages(self, authority, key)


class Messages:
    """Makes the requests of a workload, one per number."""

    def __init__(self, workload: Workload, authority: str, key: str) -> None:
        self._parts = [
            (_head(workload, authority, key, body) + body).split(NUMBER_MARK)
            for body in workload.bodies
        ]

    def number(self, number: int) -> bytes:
        """The whole HTTP request with that number."""
        return (b"%08d" % number).join(self._parts[number % len(self._parts)])


def _head(workload: Workload, authority: str, key: str, body: bytes) -> bytes:
    anthropic = workload.path.endswith("/messages")
    credential = (
        f"x-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n"
        if anthropic
        else f"authorization: Bearer {key}\r\n"
    )
    agent = "Anthropic/Python 1.17.0" if anthropic else "OpenAI/Python 3.54.0"
    head = (
        f"POST {workload.path} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json\r\n"
        f"Accept-Encoding: gzip, deflate\r\nContent-Type: application/json\r\nUser-Agent: {agent}\r\n"
        "X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 3.54.0\r\nX-Stainless-OS: Linux\r\n"
        "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Retry-Count: 0\r\n"
        f"{credential}{workload.header}: {workload.answer} {NUMBER_MARK.decode()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode()


def _text(source: random.Random, size: int) -> str:
    words: list[str] = []
    length = 0
    while length < size:
        word = source.choice(_WORDS)
        words.append(word)
        length += len(word) + 1
    return " ".join(words)


def encode(value: JsonObject) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _prompt(source: random.Random, size: int) -> str:
    return f"{_text(source, size)} ticket {NUMBER_MARK.decode()}"


def _small_body(source: random.Random) -> bytes:
    return encode(
        {
            "model": "gpt-5-mini",
            "messages": [
                {"role": "system", "content": _text(source, 350)},
                {"role": "user", "content": _text(source, 120)},
                {"role": "assistant", "content": _text(source, 200)},
                {"role": "user", "content": _prompt(source, 150)},
            ],
            "temperature": 0.2,
        }
    )


def _stream_body(source: random.Random) -> bytes:
    return encode(
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 8192,
            "stream": True,
            "system": _text(source, 500),
            "messages": [{"role": "user", "content": _prompt(source, 200)}],
        }
    )


def _tool(source: random.Random, number: int) -> JsonObject:
    properties = {
        f"argument_{i}": {"type": "string", "description": _text(source, 120)} for i in range(5)
    }
    return {
        "name": f"tool_{number}",
        "description": _text(source, 900),
        "input_schema": {"type": "object", "properties": properties, "required": ["argument_0"]},
    }


def _turn(source: random.Random, number: int) -> list[JsonObject]:
    """One step of an agent's loop: the call of a tool and its result."""
    call = f"toolu_{number:020d}"
    use = {"type": "tool_use", "id": call, "name": "tool_3", "input": {"path": _text(source, 60)}}
    result = {"type": "tool_result", "tool_use_id": call, "content": _text(source, 3100)}
    return [
        {"role": "assistant", "content": [{"type": "text", "text": _text(source, 300)}, use]},
        {"role": "user", "content": [result]},
    ]


def _large_body(source: random.Random) -> bytes:
    """A coding agent's request of about 200 KB: system prompt, 20 tools, 80 messages of history."""
    history = [message for number in range(40) for message in _turn(source, number)]
    body: JsonObject = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": _text(source, 16_000)}],
        "tools": [_tool(source, number) for number in range(20)],
        "messages": [
            *history,
            {"role": "assistant", "content": [{"type": "text", "text": _text(source, 200)}]},
            {"role": "user", "content": _prompt(source, 80)},
        ],
        "metadata": {"user_id": "bench"},
    }
    return encode(body)


_source = random.Random(20260101)

SMALL_ANSWER: Final = encode(
    {
        "id": "chatcmpl-bench0000000000000000",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "gpt-5-mini-2026-01-01",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _text(_source, 300)},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 210,
            "completion_tokens": 64,
            "total_tokens": 274,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
)

LARGE_ANSWER: Final = encode(
    {
        "id": "msg_bench00000000000000000",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [
            {"type": "text", "text": _text(_source, 49_500)},
            {
                "type": "tool_use",
                "id": "toolu_bench",
                "name": "tool_7",
                "input": {"argument_0": _text(_source, 200)},
            },
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 900,
            "cache_creation_input_tokens": 2100,
            "cache_read_input_tokens": 48_000,
            "output_tokens": 11_000,
        },
    }
)


def _event(kind: str, **fields: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encode({"type": kind, **fields}) + b"\n\n"


def stream_events(deltas: int) -> list[bytes]:
    """The events of a Messages answer with that many text deltas (five further events frame it)."""
    source = random.Random(deltas)
    message = {
        "id": "msg_bench00000000000000000",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {"input_tokens": 350, "cache_read_input_tokens": 1200, "output_tokens": 1},
    }
    text = [
        _event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": _text(source, 24)}
        )
        for _ in range(deltas)
    ]
    return [
        _event("message_start", message=message),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *text,
        _event("content_block_stop", index=0),
        _event(
            "message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": deltas * 6}
        ),
        _event("message_stop"),
    ]


FRAMING_EVENTS: Final = 5
"""How many events of a stream are not text deltas."""

_small_bodies = tuple(_small_body(_source) for _ in range(64))
_large_bodies = tuple(_large_body(_source) for _ in range(8))
STREAM_BODIES: Final = tuple(_stream_body(_source) for _ in range(64))

SMALL: Final = Workload(
    "small", "/openai/v1/chat/completions", _small_bodies, "small", len(SMALL_ANSWER)
)
LARGE: Final = Workload(
    "large", "/anthropic/v1/messages", _large_bodies, "large", len(LARGE_ANSWER)
)


def stream_workload(mode: str, events: int) -> Workload:
    """Streams of that many events in one of the modes of `upstream.py` (burst, step, paced)."""
    return Workload(
        f"stream {mode}",
        "/anthropic/v1/messages",
        STREAM_BODIES,
        f"{mode} {events:06d}",
        events=events,
    )
