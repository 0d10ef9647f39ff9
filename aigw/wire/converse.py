"""Bedrock's Converse API: `read_request`, and the readers of its two kinds of answer.

Wire format: Amazon Bedrock API reference, "Converse" and "ConverseStream". The answers of Amazon's
own models to InvokeModel have the same form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aigw.wire.answers import COMPLETED, JsonReader
from aigw.wire.converse_request import read_request
from aigw.wire.errors import failure
from aigw.wire.facts import ThoughtFact, ToolCallFact, UsageFact
from aigw.wire.frame_reader import FrameReader
from aigw.wire.lenient import (
    Shape,
    arguments_text,
    clean,
    count_of,
    dict_of,
    json_text,
    list_of,
    text_of,
    tier_of,
)

if TYPE_CHECKING:
    from aigw.wire.facts import Outcome, ResponseFact

__all__ = ["ConverseJson", "ConverseStream", "read_request"]

_BLOCK_COST = 256


class _Start(msgspec.Struct, gc=False, rename="camel"):
    tool_use: Any = None


class _Delta(msgspec.Struct, gc=False, rename="camel"):
    """The `delta` of an event and a content block of a whole answer, without the text itself."""

    tool_use: Any = None
    reasoning_content: Any = None


class _Event(msgspec.Struct, gc=False, rename="camel"):
    content_block_index: Any = None
    start: _Start | None = None
    delta: _Delta | None = None
    usage: Any = None
    service_tier: Any = None
    performance_config: Any = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Delta] | None = None


class _Output(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    output: _Output | None = None
    usage: Any = None
    service_tier: Any = None
    performance_config: Any = None
    error: Any = None


_EVENT = Shape(_Event)
_ANSWER = Shape(_Answer)


class _Block:
    """A thought or, where it has a `use`, a tool call as its pieces come in."""

    __slots__ = ("parts", "use")

    def __init__(self, use: dict[str, Any] | None) -> None:
        self.use = use
        self.parts: list[str] = []

    def release(self, facts: list[ResponseFact]) -> None:
        text = "".join(self.parts)
        if self.use is not None:
            _add_call(self.use, arguments_text(text), facts)
        elif text:
            facts.append(ThoughtFact(clean(text), "thinking"))


class ConverseStream(FrameReader):
    """Reads a streamed answer.

    Thoughts and tool calls come with their block's end. The last event is `metadata` with the usage;
    a stream that stops after `messageStop` and without it is complete, but its usage is not known.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, _Block] = {}
        self._usage: UsageFact | None = None

    def take(self, name: str, payload: bytes | msgspec.Raw, facts: list[ResponseFact]) -> None:
        """Read one event that came framed in another way; append the facts that it completes."""
        if not self.ended:
            self._read(name, payload, facts)

    def _read(self, name: str, payload: bytes | msgspec.Raw, facts: list[ResponseFact]) -> None:
        if name == "contentBlockDelta":
            # Most events of a stream carry text, which is not recorded: an unescaped key can only
            # be one of the event's own, never part of what the model wrote.
            data = bytes(payload)
            if b'"toolUse"' in data or b'"reasoningContent"' in data:
                self._add_delta(_EVENT.read(data))
            elif b'"text":""' not in data:
                self._produced += 1
        elif name == "contentBlockStart":
            self._begun = True
            self._open_block(_EVENT.read(payload))
        elif name == "messageStart":
            self._begun = True
        elif name == "contentBlockStop":
            self._close_block(_index(_EVENT.read(payload)), facts)
        elif name == "messageStop":
            self._outcome = COMPLETED
        elif name == "metadata":
            event = _EVENT.read(payload)
            if event is not None and (usage := dict_of(event.usage)):
                self._usage = usage_fact(usage, _tier(event))
            self._end(COMPLETED, facts)

    def _open_block(self, event: _Event | None) -> None:
        if event is not None and event.start is not None and isinstance(event.start.tool_use, dict):
            self._block(_index(event), event.start.tool_use)

    def _add_delta(self, event: _Event | None) -> None:
        if event is None or event.delta is None:
            return
        index = _index(event)
        use = event.delta.tool_use
        # A thought has no event that starts it.
        block = self._open.get(index)
        if block is None and use is None:
            block = self._block(index, None)
        if block is not None:
            piece = dict_of(event.delta.reasoning_content if block.use is None else use)
            text = piece.get("text" if block.use is None else "input")
            self._produced += bool(text)
            self._keep(block.parts, text)

    def _block(self, index: int, use: dict[str, Any] | None) -> _Block | None:
        self._room -= _BLOCK_COST
        if self._room < 0:
            return None
        block = self._open[index] = _Block(use)
        return block

    def _close_block(self, index: int, facts: list[ResponseFact]) -> None:
        block = self._open.pop(index, None)
        if block is not None:
            block.release(facts)

    def _release(self, facts: list[ResponseFact]) -> None:
        for index in list(self._open):
            self._close_block(index, facts)
        self._add_usage(self._usage, facts, is_final=True)
        self._usage = None


class ConverseJson(JsonReader):
    """Reads a whole answer."""

    output_marks = (b'"content":',)
    outputs = ("output",)

    def _read(self, body: bytes, facts: list[ResponseFact]) -> Outcome | None:
        answer = _ANSWER.read(body)
        if answer is None:
            return None
        message = answer.output.message if answer.output is not None else None
        for block in (message.content if message is not None else None) or ():
            if isinstance(block.tool_use, dict):
                given = block.tool_use.get("input")
                _add_call(block.tool_use, "{}" if given is None else json_text(given), facts)
            elif thought := _thought(block.reasoning_content):
                facts.append(ThoughtFact(thought, "thinking"))
        if usage := dict_of(answer.usage):
            facts.append(usage_fact(usage, _tier(answer)))
        return failure(answer.error) if answer.error else COMPLETED


def _tier(found: _Event | _Answer) -> str:
    """The class of service. A faster way to run a model ("latency-optimized inference") is one too."""
    latency = tier_of(dict_of(found.performance_config).get("latency"))
    return tier_of(dict_of(found.service_tier).get("type")) or latency


def usage_fact(usage: dict[str, Any], tier: str = "") -> UsageFact:
    """The fact of a `TokenUsage`.

    As in Anthropic's API `inputTokens` is what was neither read from the cache nor written to it
    (Amazon Bedrock User Guide, "Prompt caching": the total input is the sum of the three).
    InvokeModel names the counts of the cache with `Count` at their end.
    """
    read = _count(usage, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _count(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    lifetimes: dict[str, int] = {}
    for detail in list_of(usage.get("cacheDetails")):
        found = dict_of(detail)
        if found.get("ttl") in ("5m", "1h"):
            count = count_of(found.get("inputTokens")) or 0
            lifetimes[found["ttl"]] = lifetimes.get(found["ttl"], 0) + count
    extra = {
        "cache_creation_input": written,
        "cache_read_input": read,
        "cache_ephemeral_1h_input": lifetimes.get("1h", 0),
        "cache_ephemeral_5m_input": lifetimes.get("5m", 0),
    }
    return UsageFact(
        input_tokens=_count(usage, "inputTokens"),
        output_tokens=_count(usage, "outputTokens"),
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        extra={name: value for name, value in extra.items() if value},
        service_tier=tier,
    )


def _count(usage: dict[str, Any], *names: str) -> int:
    return next((count for name in names if (count := count_of(usage.get(name)))), 0)


def _index(event: _Event | None) -> int:
    index = event.content_block_index if event is not None else None
    return index if isinstance(index, int) else -1


def _add_call(use: dict[str, Any], arguments: str, facts: list[ResponseFact]) -> None:
    if name := text_of(use.get("name")):
        facts.append(ToolCallFact(text_of(use.get("toolUseId")), name, arguments))


def _thought(content: Any) -> str:
    return text_of(dict_of(dict_of(content).get("reasoningText")).get("text"))
