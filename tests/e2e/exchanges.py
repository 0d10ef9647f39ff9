"""One exchange through the gateway, seen from both ends, and what must be equal in it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.raw import HOP_BY_HOP, Answer, Headers, ask, end_to_end

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator import Script, Simulator
    from tests.simulator.wire import Received

numbers = itertools.count()

NOT_THE_CLIENT_S = HOP_BY_HOP | {b"host", b"content-length", b"expect"}

INTERCEPTED = [
    ("/api/v2/aibridge/openai/v1/chat/completions", "/v1/chat/completions"),
    ("/api/v2/ai-gateway/openai/v1/responses", "/v1/responses"),
    ("/anthropic/v1/messages", "/v1/messages"),
]

PASSED = [
    ("/api/v2/aibridge/openai/v1/models/ft:gpt%20x", "/v1/models/ft:gpt%20x"),
    ("/openai/v1/responses/resp_1/input_items", "/v1/responses/resp_1/input_items"),
    ("/openai/v1/conversations", "/v1/conversations"),
    ("/api/v2/ai-gateway/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    ("/anthropic/api/event_logging/batch", "/api/event_logging/batch"),
]


@dataclass
class Exchange:
    """Both sides of one exchange, from both ends."""

    arrived: Received
    answer: Answer
    script: Script


def exchange(
    simulator: Simulator,
    gateway: Daemon,
    method: str,
    path: str,
    script: Script,
    *,
    body: bytes | None = None,
    headers: Headers | None = None,
    query: str = "",
    chunks: list[int] | None = None,
) -> Exchange:
    """Send one request through; a header of its own makes it find its script."""
    mark = f"exchange-{next(numbers)}-".encode()
    simulator.script(script, match=mark)
    sent = [*(headers or []), (b"X-Mark", mark)]
    target = f"{path}?{query}" if query else path
    answer = ask(gateway.port, method, target, body, sent, chunks=chunks)
    return Exchange(simulator.wait_for(mark), answer, script)


def check_request(crossed: Exchange, target: str, body: bytes | None, headers: Headers) -> None:
    arrived = crossed.arrived
    assert arrived.target == target
    assert arrived.body == (body or b"")
    mark = arrived.value("x-mark")
    assert mark is not None
    sent = end_to_end([*headers, (b"X-Mark", mark.encode())], NOT_THE_CLIENT_S)
    assert end_to_end(arrived.headers, NOT_THE_CLIENT_S) == sent


def check_answer(crossed: Exchange, body: bytes) -> None:
    answer, script = crossed.answer, crossed.script
    assert (answer.status, answer.reason) == (script.status, script.reason)
    assert answer.complete
    assert answer.body == body
    expected = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in script.headers]
    if script.encoding:
        expected.append((b"Content-Encoding", script.encoding.encode()))
    assert answer.end_to_end("content-length") == end_to_end(expected)
    if script.framing == "length":
        assert answer.values("content-length") == [str(len(body))]
