"""Anthropic's Messages API: `read_request`, and the readers of its two kinds of answer.

Wire format: platform.claude.com docs, "Messages" and "Streaming Messages".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aigw.wire.answers import COMPLETED, JsonReader, StreamReader, TextEvent
from aigw.wire.bedrock_metrics import METRICS, complete_usage
from aigw.wire.errors import failure
from aigw.wire.facts import Outcome, ResponseFact, ThoughtFact, ToolCallFact
from aigw.wire.lenient import Shape, arguments_text, clean, dict_of, json_text, text_of
from aigw.wire.messages_request import read_request
from aigw.wire.messages_usage import usage_facts

if TYPE_CHECKING:
    from aigw.wire.sse import SseEvent

__all__ = ["MessagesJson", "MessagesStream", "read_request"]

_BLOCK_COST = 256

_TEXT = TextEvent(b"event: content_block_delta\ndata: ", b'"text_delta"', b'"text":""}}')
"""Unescaped, the mark can only be a JSON string of its own, never part of what the model wrote. Some
services begin a block with an empty text."""


class _Delta(msgspec.Struct, gc=False):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None


class _Block(msgspec.Struct, gc=False):
    type: Any = None
    id: Any = None
    name: Any = None
    thinking: Any = None
    input: Any = None


class _Message(msgspec.Struct, gc=False):
    id: Any = None
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    index: Any = None
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: Any = None
    error: Any = None
    metrics: Any = msgspec.field(default=None, name=METRICS)


class _Answer(msgspec.Struct, gc=False):
    type: Any = None
    id: Any = None
    content: list[_Block] | None = None
    usage: Any = None
    error: Any = None


_EVENT = Shape(_Event)
_ANSWER = Shape(_Answer)


class MessagesStream(StreamReader):
    """Reads a streamed message.

    Thoughts and tool calls come with their block's end, the usage with the message's: the figures
    of `message_start`, over which every `message_delta` (cumulative) is laid.
    """

    text_event = _TEXT

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, tuple[_Block, list[str]]] = {}
        self._usage: dict[str, Any] = {}
        self._counted = False
        self._metrics: dict[str, Any] = {}

    def _read(self, event: SseEvent, facts: list[ResponseFact]) -> None:
        data = event.data
        if event.event == "content_block_delta" and _TEXT.mark in data:
            if _TEXT.empty not in data:
                self._produced += 1
            return
        found = _EVENT.read(data)
        if found is None:
            if event.event == "error":
                self._end(failure(event.data.decode("utf-8", "replace")), facts)
            return
        kind = found.type if isinstance(found.type, str) else event.event
        if kind == "error" or event.event == "error":
            self._end(failure(found.error), facts)
        elif kind == "message_stop":
            # Of an answer of Bedrock's that was translated.
            self._metrics = dict_of(found.metrics)
            self._end(COMPLETED, facts)
        else:
            self._take(kind, found, facts)

    def _take(self, kind: str, found: _Event, facts: list[ResponseFact]) -> None:
        if kind == "content_block_delta":
            self._add_delta(found)
        elif kind == "content_block_start":
            self._open_block(found)
        elif kind == "content_block_stop":
            self._close_block(_index(found), facts)
        elif kind == "message_start" and found.message is not None:
            self.response_id = text_of(found.message.id)
            self._begun = True
            _lay_over(self._usage, found.message.usage)
        elif kind == "message_delta":
            self._counted = self._counted or bool(dict_of(found.usage))
            _lay_over(self._usage, found.usage)

    def _open_block(self, event: _Event) -> None:
        block = event.content_block
        if block is None or not (block.type == "thinking" or _is_tool_use(block)):
            return
        self._room -= _BLOCK_COST
        if self._room >= 0:
            parts: list[str] = []
            self._keep(parts, block.thinking)
            self._open[_index(event)] = (block, parts)

    def _add_delta(self, event: _Event) -> None:
        delta = event.delta
        if delta is None:
            return
        if delta.text or delta.thinking or delta.partial_json:
            self._produced += 1
        opened = self._open.get(_index(event))
        if opened is not None:
            block, parts = opened
            self._keep(parts, delta.thinking if block.type == "thinking" else delta.partial_json)

    def _close_block(self, index: int, facts: list[ResponseFact]) -> None:
        opened = self._open.pop(index, None)
        if opened is not None:
            block, parts = opened
            _add_block(block, "".join(parts), facts)

    def _release(self, facts: list[ResponseFact]) -> None:
        for index in list(self._open):
            self._close_block(index, facts)
        stated = usage_facts(self._usage)
        self._add_usage(stated[0] if stated else None, facts, is_final=self._counted)
        complete_usage(facts, {}, self._metrics, is_final=True)
        facts += stated[1:]
        self._usage = {}


class MessagesJson(JsonReader):
    """Reads a whole message."""

    output_marks = (b'"content":',)
    outputs = ("content",)

    def _read(self, body: bytes, facts: list[ResponseFact]) -> Outcome | None:
        answer = _ANSWER.read(body)
        if answer is None:
            return None
        self.response_id = text_of(answer.id)
        for block in answer.content or ():
            if block.type == "thinking":
                _add_block(block, text_of(block.thinking), facts)
            elif _is_tool_use(block):
                _add_block(block, "", facts)
        facts += usage_facts(dict_of(answer.usage))
        return failure(answer.error) if answer.type == "error" or answer.error else COMPLETED


def _index(event: _Event) -> int:
    return event.index if isinstance(event.index, int) else -1


def _is_tool_use(block: _Block) -> bool:
    """`tool_use`, and the provider's own `server_tool_use` and `mcp_tool_use`."""
    return isinstance(block.type, str) and block.type.endswith("tool_use")


def _add_block(block: _Block, streamed: str, facts: list[ResponseFact]) -> None:
    """Append a finished block's fact. `streamed`: its thinking, or its input if that came in parts.

    Redacted thinking has another block type, and an empty thought is none.
    """
    if block.type == "thinking":
        if streamed:
            facts.append(ThoughtFact(clean(streamed), "thinking"))
    elif name := text_of(block.name):
        text = arguments_text(streamed) if streamed or not block.input else json_text(block.input)
        facts.append(ToolCallFact(text_of(block.id), name, text))


def _lay_over(usage: dict[str, Any], later: Any) -> None:
    """Replace the figures that a later, cumulative usage object states.

    A zero that follows a real figure is a placeholder of an imitating service, except for the
    output, which every `message_delta` states.
    """
    for name, value in dict_of(later).items():
        if value or name == "output_tokens" or name not in usage:
            usage[name] = value
