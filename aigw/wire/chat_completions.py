"""OpenAI's Chat Completions API: `read_request`, and the readers of its two kinds of answer.

Wire format: platform.openai.com API reference, "Chat Completions". Compatible services differ in
ways that are read too: no `[DONE]`, usage on every chunk, `reasoning_content` or `reasoning`, tool
calls without an index, tool calls and `finish_reason` in one chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aigw.wire.answers import COMPLETED, JsonReader, StreamReader
from aigw.wire.chat_request import read_request
from aigw.wire.chat_usage import says_something, usage_fact
from aigw.wire.errors import failure
from aigw.wire.facts import Outcome, ResponseFact, ThoughtFact, ToolCallFact
from aigw.wire.lenient import (
    Shape,
    arguments_text,
    clean,
    dict_of,
    json_text,
    list_of,
    text_of,
    tier_of,
)

if TYPE_CHECKING:
    from aigw.wire.sse import SseEvent

__all__ = ["ChatJson", "ChatStream", "read_request"]

_CALL_COST = 256


class _Delta(msgspec.Struct, gc=False):
    """The `delta` of a chunk and the `message` of a whole answer. Of the text only that there is some."""

    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None


_CHUNK = Shape(_Chunk)


class _Call:
    """A tool call as its pieces come in."""

    __slots__ = ("custom", "id", "name", "parts", "position")

    def __init__(self, position: object) -> None:
        self.position = position
        self.id = ""
        self.name = ""
        self.custom = False
        self.parts: list[str] = []

    def fact(self) -> ToolCallFact:
        text = "".join(self.parts)
        return ToolCallFact(clean(self.id), clean(self.name), _input_text(text, self.custom))


class _OpenChoice:
    """What a choice has yielded and not released yet."""

    __slots__ = ("calls", "thoughts")

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.thoughts: list[str] = []

    def release(self, facts: list[ResponseFact]) -> None:
        if self.thoughts:
            facts.append(ThoughtFact(clean("".join(self.thoughts)), "reasoning_content"))
        facts.extend(call.fact() for call in self.calls if call.name)
        self.thoughts.clear()
        self.calls.clear()


class ChatStream(StreamReader):
    """Reads a streamed completion of any number of choices.

    A choice's thought and tool calls come with its `finish_reason`, the usage (the last one stated)
    with the end. The end is `[DONE]`, or the end of the bytes after a `finish_reason`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._choices: dict[object, _OpenChoice] = {}
        self._usage: dict[str, Any] | None = None
        self._tier = ""

    def _read(self, event: SseEvent, facts: list[ResponseFact]) -> None:
        chunk = _CHUNK.read(event.data)
        if chunk is None:
            if event.data.lstrip().startswith(b"[DONE]"):
                self._outcome = COMPLETED
                self._end(COMPLETED, facts)
            elif event.event == "error":
                self._end(failure(event.data.decode("utf-8", "replace")), facts)
            return
        self._note(chunk)
        for choice in chunk.choices or ():
            delta = choice.delta
            if delta is not None:
                self._add(choice.index, delta)
            if choice.finish_reason is not None:
                self._finish_choice(choice.index, facts)
        if chunk.error or event.event == "error":
            self._end(failure(chunk.error), facts)

    def _note(self, chunk: _Chunk) -> None:
        """Take what is said of the whole answer."""
        if not self.response_id and chunk.id:
            self.response_id = text_of(chunk.id)
        if isinstance(chunk.usage, dict) and (self._usage is None or says_something(chunk.usage)):
            self._usage = chunk.usage
        if chunk.service_tier:
            self._tier = tier_of(chunk.service_tier)

    def _add(self, index: object, delta: _Delta) -> None:
        thought = delta.reasoning_content or delta.reasoning
        calls = delta.tool_calls
        if not (thought or calls or delta.function_call):
            if delta.content or delta.refusal:
                self._produced += 1
            return
        self._produced += 1
        choice = self._choice(index)
        if choice is None:
            return
        if thought:
            self._keep(choice.thoughts, thought)
        for piece in list_of(calls):
            if isinstance(piece, dict):
                self._add_call(choice, piece.get("index"), piece)
        if delta.function_call:
            self._add_call(choice, "function_call", {"function": delta.function_call})

    def _choice(self, index: object) -> _OpenChoice | None:
        index = index if isinstance(index, int) else 0
        choice = self._choices.get(index)
        if choice is None:
            self._room -= _CALL_COST
            if self._room >= 0:
                choice = self._choices[index] = _OpenChoice()
        return choice

    def _add_call(self, choice: _OpenChoice, position: object, piece: dict[str, Any]) -> None:
        call_id = piece.get("id")
        call = next((c for c in reversed(choice.calls) if c.position == position), None)
        # Services without indexes tell parallel calls apart by their ids alone.
        if call is None or (isinstance(call_id, str) and call.id and call_id not in ("", call.id)):
            self._room -= _CALL_COST
            if self._room < 0:
                return
            call = _Call(position)
            choice.calls.append(call)
        custom = dict_of(piece.get("custom"))
        function = custom or dict_of(piece.get("function"))
        call.custom = call.custom or bool(custom)
        if not call.id and isinstance(call_id, str):
            call.id = call_id
        if not call.name and isinstance(function.get("name"), str):
            call.name = function["name"]
        self._keep(call.parts, function.get("input" if custom else "arguments"))

    def _finish_choice(self, index: object, facts: list[ResponseFact]) -> None:
        choice = self._choices.get(index if isinstance(index, int) else 0)
        if choice is not None:
            choice.release(facts)
        self._outcome = COMPLETED

    def _release(self, facts: list[ResponseFact]) -> None:
        for choice in self._choices.values():
            choice.release(facts)
        # Some services state running figures with every chunk.
        stated = None if self._usage is None else usage_fact(self._usage, self._tier)
        self._add_usage(stated, facts, is_final=self._outcome is not None)
        self._usage = None


class ChatJson(JsonReader):
    """Reads a whole completion, all its choices."""

    output_marks = (b'"choices":',)
    outputs = ("choices",)

    def _read(self, body: bytes, facts: list[ResponseFact]) -> Outcome | None:
        answer = _CHUNK.read(body)
        if answer is None:
            return None
        self.response_id = text_of(answer.id)
        for choice in answer.choices or ():
            if choice.message is not None:
                _add_message(choice.message, facts)
        if isinstance(answer.usage, dict):
            facts.append(usage_fact(answer.usage, tier_of(answer.service_tier)))
        return failure(answer.error) if answer.error else COMPLETED


def _add_message(message: _Delta, facts: list[ResponseFact]) -> None:
    if thought := text_of(message.reasoning_content) or text_of(message.reasoning):
        facts.append(ThoughtFact(thought, "reasoning_content"))
    calls = [dict_of(call) for call in list_of(message.tool_calls)]
    if message.function_call:
        calls.append({"function": message.function_call})
    for call in calls:
        custom = dict_of(call.get("custom"))
        function = custom or dict_of(call.get("function"))
        if name := text_of(function.get("name")):
            text = text_of(function.get("input" if custom else "arguments"))
            given = _input_text(text, bool(custom))
            facts.append(ToolCallFact(text_of(call.get("id")), name, given))


def _input_text(text: str, custom: bool) -> str:
    """A custom tool's input is free text: its JSON form is a string, whatever it looks like."""
    return json_text(text) if custom else arguments_text(text)
