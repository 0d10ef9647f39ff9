"""The recorder's guarantee, seen from both sides of the relay.

The start of an interception is committed before a byte goes upstream; its end is committed before
the client sees the terminal event, the last byte or the last chunk.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aigw.gateway.exchange import Exchange
from tests.gateway.assembly import Gateway, gateway
from tests.gateway.client import LONG, QUIET, Client
from tests.simulator import Gate, Script, Simulator
from tests.simulator.script import Framing
from tests.store.writing import until

CHAT = "/api/v2/aibridge/openai/v1/chat/completions"
RESPONSES = "/api/v2/aibridge/openai/v1/responses"
MESSAGES = "/api/v2/aibridge/anthropic/v1/messages"

SSE = "text/event-stream"
JSON = "application/json"


def event(payload: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(payload)}\n\n".encode()


def chat_chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})


USAGE = event(
    {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
)
DONE = b"data: [DONE]\n\n"
ANSWER = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "message": {"content": "hello " * 20}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7},
}
ANSWER_BYTES = json.dumps(ANSWER).encode()
HALF = len(ANSWER_BYTES) // 2
MESSAGE_PIECES = [
    event(
        {
            "type": "message_start",
            "message": {"id": "msg_1", "usage": {"input_tokens": 5, "output_tokens": 1}},
        },
        "message_start",
    ),
    event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 7},
        },
        "message_delta",
    ),
    event({"type": "message_stop"}, "message_stop"),
]
RESPONSE_PIECES = [
    event({"type": "response.created", "response": {"id": "resp_1"}}, "response.created"),
    event({"type": "response.output_text.delta", "delta": "hi"}, "response.output_text.delta"),
    event(
        {
            "type": "response.completed",
            "response": {
                "id": "resp_1",
                "status": "completed",
                "usage": {"input_tokens": 5, "output_tokens": 7},
            },
        },
        "response.completed",
    ),
]


@dataclass(frozen=True)
class Case:
    """An answer in pieces.

    Attributes:
        early: what the client must see while the provider has not sent the last piece yet.
        shown: all that it may see before the end is committed.
    """

    path: str
    content_type: str
    framing: Framing
    pieces: Sequence[bytes]
    early: bytes
    shown: bytes
    whole: bytes
    fields: dict[str, Any]

    @property
    def script(self) -> Script:
        return Script(
            headers=[("Content-Type", self.content_type)], body=self.pieces, framing=self.framing
        )

    def gated(self, gate: Gate, before: int) -> Script:
        return Script(
            headers=[("Content-Type", self.content_type)],
            body=self.pieces,
            framing=self.framing,
            hold={before: gate},
        )

    @property
    def request(self) -> bytes:
        prompt = [{"role": "user", "content": "hello"}]
        fields = {"model": "m", "messages": prompt, "input": prompt, "max_tokens": 9, **self.fields}
        return json.dumps(fields).encode()


ASKED = {"stream": True, "stream_options": {"include_usage": True}}
CHAT_PIECES = [chat_chunk("hel"), chat_chunk("lo", "stop"), USAGE, DONE]
CASES = {
    "sse messages": Case(
        MESSAGES, SSE, "chunked", MESSAGE_PIECES,
        b"".join(MESSAGE_PIECES[:-1]), b"".join(MESSAGE_PIECES[:-1]), b"".join(MESSAGE_PIECES), {"stream": True},
    ),
    "sse chat": Case(
        CHAT, SSE, "chunked", CHAT_PIECES,
        b"".join(CHAT_PIECES[:-1]), b"".join(CHAT_PIECES[:-1]), b"".join(CHAT_PIECES), ASKED,
    ),
    "sse chat, usage asked for by the gateway": Case(
        CHAT, SSE, "chunked", CHAT_PIECES,
        b"".join(CHAT_PIECES[:-2]), b"".join(CHAT_PIECES[:-2]), b"".join([*CHAT_PIECES[:2], DONE]), {"stream": True},
    ),
    "sse responses": Case(
        RESPONSES, SSE, "chunked", RESPONSE_PIECES,
        b"".join(RESPONSE_PIECES[:-1]), b"".join(RESPONSE_PIECES[:-1]), b"".join(RESPONSE_PIECES), {"stream": True},
    ),
    "sse without framing": Case(
        MESSAGES, SSE, "close", MESSAGE_PIECES,
        b"".join(MESSAGE_PIECES[:-1]), b"".join(MESSAGE_PIECES[:-1]), b"".join(MESSAGE_PIECES), {"stream": True},
    ),
    "json with a length": Case(
        CHAT, JSON, "length", [ANSWER_BYTES[:HALF], ANSWER_BYTES[HALF:]],
        ANSWER_BYTES[:HALF], ANSWER_BYTES[:HALF], ANSWER_BYTES, {},
    ),
    "json in chunks": Case(
        CHAT, JSON, "chunked", [ANSWER_BYTES[:HALF], ANSWER_BYTES[HALF:]],
        ANSWER_BYTES[: HALF - 1], ANSWER_BYTES[:-1], ANSWER_BYTES, {},
    ),
    "json until the connection closes": Case(
        CHAT, JSON, "close", [ANSWER_BYTES[:HALF], ANSWER_BYTES[HALF:]],
        ANSWER_BYTES[: HALF - 1], ANSWER_BYTES[:-1], ANSWER_BYTES, {},
    ),
    "an error": Case(
        CHAT, "text/plain", "chunked", [b"some text ", b"that is no answer"],
        b"some text", b"some text that is no answe", b"some text that is no answer", {},
    ),
}  # fmt: skip


def _blank_line_apart(case: Case) -> Case:
    """The terminal event's lines in one piece and the blank line that ends it in the next."""
    *pieces, last = case.pieces
    before = b"".join(pieces)
    return replace(case, pieces=[*pieces, last[:-1], last[-1:]], early=before, shown=before)


CASES |= {
    f"{name}, the last blank line apart": _blank_line_apart(CASES[name])
    for name in ("sse messages", "sse chat", "sse responses")
}

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def statuses(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT status, error_type, output_tokens FROM interceptions"
        ).fetchall()


async def nothing_arrives(simulator: Simulator) -> bool:
    """Whether the provider hears nothing in a time that is long for one that is on this machine."""
    try:
        await asyncio.to_thread(simulator.wait_for, None, 1, QUIET)
    except TimeoutError:
        return simulator.connection_count == 0
    return False


@cases
async def test_no_byte_goes_upstream_before_the_start_is_committed(
    running: Gateway, case: Case
) -> None:
    running.simulator.script(case.script)
    running.sink.holding = True
    async with Client(running.port) as client:
        await client.send("POST", case.path, case.request)
        start = await running.sink.next()
        assert start.is_start
        assert await nothing_arrives(running.simulator)
        assert client.received == b""
        running.sink.holding = False
        await start.release()
        await client.answer()
        assert client.body == case.whole
    (request,) = running.simulator.requests
    assert json.loads(request.body)["model"] == "m"


@cases
async def test_the_client_sees_no_end_before_it_is_committed(running: Gateway, case: Case) -> None:
    last = len(case.pieces) - 1
    gate = Gate()
    running.simulator.script(case.gated(gate, last))
    async with Client(running.port) as client:
        running.sink.holding = True
        await client.send("POST", case.path, case.request)
        await (await running.sink.next()).release()
        # All but the last piece goes on at once.
        await client.until(lambda: client.body == case.early)
        gate.release()
        end = await running.sink.next()
        assert end.is_end
        # The provider has sent everything; whatever leaks past the commit arrives now.
        await asyncio.sleep(QUIET)
        assert client.body == case.shown
        assert not client.complete
        assert not client.closed
        assert statuses(running.database) == [(None, None, None)]
        await end.release()
        assert statuses(running.database)[0][0] is not None
        await client.answer()
        assert client.body == case.whole
        assert client.complete


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_an_answer_in_one_piece_is_held_whole(running: Gateway, path: str) -> None:
    case = Case(path, JSON, "length", [ANSWER_BYTES], b"", b"", ANSWER_BYTES, {})
    running.simulator.script(case.script)
    running.sink.holding = True
    async with Client(running.port) as client:
        await client.send("POST", path, case.request)
        await (await running.sink.next()).release()
        end = await running.sink.next()
        await asyncio.sleep(QUIET)
        assert len(client.body) < len(ANSWER_BYTES)
        await end.release()
        await client.answer()
        assert client.body == ANSWER_BYTES


@cases
async def test_an_end_that_cannot_be_committed_is_not_shown(running: Gateway, case: Case) -> None:
    last = len(case.pieces) - 1
    gate = Gate()
    running.simulator.script(case.gated(gate, last))
    async with Client(running.port) as client:
        running.sink.holding = True
        await client.send("POST", case.path, case.request)
        await (await running.sink.next()).release()
        await client.until(lambda: client.body == case.early)
        gate.release()
        end = await running.sink.next()
        end.refuse()
        await client.until(lambda: client.closed)
        assert client.body == case.shown
        # Closed in the middle of its framing: no client takes it for whole.
        assert not client.complete
    assert list(running.sink.posted_again) == end.records
    assert running.metrics.in_flight == 0


async def test_an_answer_of_which_nothing_was_shown_becomes_a_503(running: Gateway) -> None:
    case = Case(CHAT, JSON, "length", [ANSWER_BYTES], b"", b"", ANSWER_BYTES, {})
    running.simulator.script(case.script)
    running.sink.holding = True
    async with Client(running.port) as client:
        await client.send("POST", CHAT, case.request)
        await (await running.sink.next()).release()
        (await running.sink.next()).refuse()
        await client.answer()
        # Where head and body came apart, the head was shown, and a cut says it.
        if client.complete:
            assert client.status == 503
            assert json.loads(client.body)["error"]["code"] == "store_unavailable"
        else:
            assert len(client.body) < len(ANSWER_BYTES)


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
async def test_a_start_that_cannot_be_committed_is_refused(running: Gateway, path: str) -> None:
    running.sink.holding = True
    async with Client(running.port) as client:
        await client.send("POST", path, b'{"model": "m"}')
        (await running.sink.next()).refuse()
        await client.answer()
        assert client.status == 503
        error = json.loads(client.body)["error"]
        assert error["code"] == "store_unavailable"
        assert "disk full" in error["message"]
    assert await nothing_arrives(running.simulator)
    assert running.metrics.in_flight == 0


@pytest.mark.parametrize("case", [CASES["sse chat"], CASES["json with a length"]])
async def test_fail_open_lets_both_flow(tmp_path: Path, simulator: Simulator, case: Case) -> None:
    simulator.script(case.script)
    async with gateway(tmp_path, simulator, fail_open=True) as running:
        running.sink.holding = True
        async with Client(running.port) as client:
            await client.send("POST", case.path, case.request)
            start = await running.sink.next()
            start.refuse()
            end = await running.sink.next()
            end.refuse()
            await client.answer()
            assert client.status == 200
            assert client.complete
            assert client.body == case.whole
        assert running.sink.posted_again == start.records + end.records
        await running.ended(1)
    assert [row[0] for row in statuses(running.database)] == ["completed"]


async def test_a_client_that_leaves_before_the_start_is_committed(running: Gateway) -> None:
    running.sink.holding = True
    async with Client(running.port) as client:
        await client.send("POST", CHAT, b'{"model": "m"}')
        start = await running.sink.next()
        await client.leave()
        await until(start.future.cancelled, "the client's leaving")
    # A commit cannot be called back: what was handed to the writer is written.
    await running.writer.commit(start.records)
    assert await nothing_arrives(running.simulator)
    assert running.metrics.in_flight == 0


async def test_an_end_outlives_the_client_that_waited_for_it(running: Gateway) -> None:
    case = CASES["sse messages"]
    running.simulator.script(case.script)
    running.sink.holding = True
    async with Client(running.port) as client:
        await client.send("POST", case.path, case.request)
        await (await running.sink.next()).release()
        end = await running.sink.next()
        await client.leave()
        await asyncio.sleep(QUIET)
    end.refuse()
    await until(lambda: running.sink.posted_again, "the end to be kept")
    (row,) = await running.ended()
    assert (row["status"], row["output_tokens"]) == ("completed", 7)


async def test_a_client_that_leaves_in_the_middle(running: Gateway) -> None:
    case = CASES["sse messages"]
    gate = Gate()
    running.simulator.script(case.gated(gate, 2))
    async with Client(running.port) as client:
        await client.send("POST", case.path, case.request)
        await client.until(lambda: client.body == case.shown)
        assert running.metrics.in_flight == 1
        await client.leave()
        request = running.simulator.requests[0]
        assert await asyncio.to_thread(request.disconnected.wait, LONG)
    await until(lambda: running.metrics.in_flight == 0, "the end")
    (row,) = await running.ended()
    assert (row["status"], row["error_type"]) == ("aborted", "client_disconnected")
    assert row["output_tokens"] == 7


@pytest.mark.parametrize("case", [CASES["sse chat"], CASES["sse messages"], CASES["sse responses"]])
async def test_a_stream_that_breaks_off_is_cut_and_failed(running: Gateway, case: Case) -> None:
    whole = b"".join(case.pieces)
    cut = len(whole) - len(case.pieces[-1])
    running.simulator.script(
        Script(
            headers=[("Content-Type", SSE)],
            body=[whole],
            framing="chunked",
            ending="close",
            cut=cut,
        )
    )
    async with Client(running.port) as client:
        await client.send("POST", case.path, case.request)
        await client.until(lambda: client.closed)
        assert client.body == whole[:cut]
        assert not client.complete
    (row,) = await running.ended()
    assert (row["status"], row["error_type"]) == ("failed", "upstream_disconnected")
    assert row["status_code"] == 200


async def test_a_provider_that_stalls(tmp_path: Path, simulator: Simulator) -> None:
    case = CASES["sse messages"]
    gate = Gate()
    simulator.script(case.gated(gate, 2))
    async with gateway(tmp_path, simulator, idle_timeout=0.2) as running:
        async with Client(running.port) as client:
            await client.send("POST", case.path, case.request)
            await client.until(lambda: client.closed)
            assert client.body == case.shown
            assert not client.complete
        (row,) = await running.ended()
    assert (row["status"], row["error_type"]) == ("failed", "upstream_timeout")
    gate.release()


@pytest.mark.parametrize(("path", "kind"), [(CHAT, "server_error"), (MESSAGES, "api_error")])
async def test_a_provider_that_refuses_connections(
    tmp_path: Path, simulator: Simulator, path: str, kind: str
) -> None:
    async with gateway(tmp_path, simulator, base_url="http://127.0.0.1:1") as running:
        async with Client(running.port) as client:
            await client.send("POST", path, b'{"model": "m", "messages": []}')
            await client.answer()
            assert client.status == 502
            assert json.loads(client.body)["error"]["type"] == kind
        (row,) = await running.ended()
        assert running.metrics.in_flight == 0
    assert (row["status"], row["error_type"]) == ("failed", "upstream_unreachable")
    assert row["status_code"] == 502


async def test_a_refusal_that_cannot_be_recorded_is_a_503(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with gateway(tmp_path, simulator, base_url="http://127.0.0.1:1") as running:
        running.sink.holding = True
        async with Client(running.port) as client:
            await client.send("POST", CHAT, b'{"model": "m"}')
            await (await running.sink.next()).release()
            (await running.sink.next()).refuse()
            await client.answer()
            assert client.status == 503


async def test_times_are_of_the_answer(running: Gateway) -> None:
    gate = Gate()
    case = CASES["sse messages"]
    running.simulator.script(case.gated(gate, -1))
    async with Client(running.port) as client:
        await client.send("POST", case.path, case.request)
        assert await asyncio.to_thread(gate.reached.wait, LONG)
        await asyncio.sleep(0.05)
        gate.release()
        await client.answer()
    (row,) = await running.ended()
    assert row["streaming"] == 1
    assert row["duration_ms"] >= row["time_to_first_byte_ms"] >= 50


@cases
async def test_an_exchange_that_is_over_is_no_garbage(running: Gateway, case: Case) -> None:
    """Its bodies would stay in memory until the collector comes by."""

    def left() -> int:
        return sum(type(each) is Exchange for each in gc.get_objects())

    gc.collect()
    before = left()
    gc.disable()
    try:
        running.simulator.script(case.script)
        async with Client(running.port) as client:
            await client.send("POST", case.path, case.request)
            await client.answer()
        await until(lambda: left() == before, "the exchange to be gone")
    finally:
        gc.enable()
