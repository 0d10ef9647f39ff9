"""A coding agent by hand: each turn is a real request, and the test says what the provider answers."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from tests.e2e.asking import EVENT_STREAM, MESSAGES
from tests.e2e.polling import until
from tests.e2e.raw import Answer, Connection, Headers, ask
from tests.simulator import Gate, Script
from tests.simulator.sse import named_event, to_json

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator import Simulator

Block = dict[str, Any]


def said(text: str) -> Block:
    """A text block."""
    return {"type": "text", "text": text}


def thought(text: str) -> Block:
    """A thinking block."""
    return {"type": "thinking", "thinking": text, "signature": "s"}


def called(call_id: str, tool: str, **arguments: Any) -> Block:
    """A tool call."""
    return {"type": "tool_use", "id": call_id, "name": tool, "input": arguments}


def returned(call_id: str, content: str, *, is_error: bool = False) -> Block:
    """A tool's result."""
    result = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return result | {"is_error": True} if is_error else result


class Agent:
    """One conversation with Messages, as Claude Code has it. Agents of a session share its id."""

    def __init__(self, gateway: Daemon, simulator: Simulator, session_id: str) -> None:
        self.session_id = session_id
        self.model = f"claude-{session_id[:8]}"
        self._gateway = gateway
        self._simulator = simulator
        self._messages: list[Block] = []

    def turn(self, asked: list[Block], answered: list[Block]) -> None:
        """Ask, get the answer, and go on from there."""
        self._simulator.script(self._stream(answered), match=self._mark)
        answer = self._send(asked)
        assert answer.status == 200, answer
        assert answer.complete
        self._messages += [_user(asked), {"role": "assistant", "content": answered}]

    def refused(self, asked: list[Block], status: int, kind: str) -> None:
        """Ask, and get the provider's error: the conversation does not go on."""
        body = to_json({"type": "error", "error": {"type": kind, "message": "try again"}})
        self._simulator.script(Script(status=status, body=body), match=self._mark)
        assert self._send(asked).status == status

    def aborted(self, asked: list[Block], answered: list[Block]) -> None:
        """Ask, and leave in the middle of the answer."""
        gate = Gate()
        script = self._stream(answered, hold={3: gate})
        self._simulator.script(script, match=self._mark)
        before = len(self._gateway.recorded(self.model))
        with Connection(self._gateway.port) as connection:
            connection.send("POST", MESSAGES.path, self._body(asked), self._headers)
            assert gate.reached.wait(30)
            assert connection.receive_head().status == 200
        # Held until then: an answer that is whole before the gateway sees the client leave is not aborted.
        try:
            until(lambda: self._has_ended(before), what="the end of the aborted request")
        finally:
            gate.release()

    def _has_ended(self, number: int) -> bool:
        found = self._gateway.recorded(self.model)
        return len(found) > number and found[number].end is not None

    @property
    def _mark(self) -> bytes:
        return self.model.encode()

    @property
    def _headers(self) -> Headers:
        return [
            (b"Content-Type", b"application/json"),
            (b"User-Agent", b"claude-cli/2.1.197 (external, cli)"),
            (b"X-Api-Key", b"sk-ant-canary-of-the-agent"),
            (b"X-Claude-Code-Session-Id", self.session_id.encode()),
        ]

    def _body(self, asked: list[Block]) -> bytes:
        fields = {"model": self.model, "stream": True, "max_tokens": 100}
        return json.dumps(fields | {"messages": [*self._messages, _user(asked)]}).encode()

    def _send(self, asked: list[Block]) -> Answer:
        return ask(self._gateway.port, "POST", MESSAGES.path, self._body(asked), self._headers)

    def _stream(self, blocks: list[Block], **script: Any) -> Script:
        return Script(
            headers=EVENT_STREAM, body=_events(self.model, blocks), framing="chunked", **script
        )


def _user(blocks: list[Block]) -> Block:
    return {"role": "user", "content": blocks}


def _events(model: str, blocks: list[Block]) -> list[bytes]:
    """An answer's events, as the API writes them."""
    usage = {
        "input_tokens": 100,
        "cache_read_input_tokens": 20_000,
        "cache_creation_input_tokens": 300,
        "output_tokens": 1,
    }
    opening = {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": opening}]
    for index, block in enumerate(blocks):
        empty, delta = _opened(block)
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    reason = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append(
        {"type": "message_delta", "delta": reason, "usage": usage | {"output_tokens": 50}}
    )
    events.append({"type": "message_stop"})
    return [named_event(event) for event in events]


def _opened(block: Block) -> tuple[Block, Block]:
    """A block as a stream opens it, and all of it as one delta."""
    if block["type"] == "text":
        return block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
    if block["type"] == "thinking":
        empty = block | {"thinking": "", "signature": ""}
        return empty, {"type": "thinking_delta", "thinking": block["thinking"]}
    text = json.dumps(block["input"])
    return block | {"input": {}}, {"type": "input_json_delta", "partial_json": text}
