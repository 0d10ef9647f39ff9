"""OpenAI's Responses API: `read_request`, and the readers of its two kinds of answer.

Wire format: platform.openai.com API reference, "Responses" and its streaming events.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from aigw.records import Status
from aigw.wire.answers import COMPLETED, JsonReader, StreamReader, TextEvent
from aigw.wire.errors import failure
from aigw.wire.facts import Outcome, ResponseFact
from aigw.wire.lenient import Shape, dict_of, list_of, text_of, tier_of
from aigw.wire.responses_items import add_item, billed_tool, counted_tools, usage_fact
from aigw.wire.responses_request import read_request

if TYPE_CHECKING:
    from aigw.wire.sse import SseEvent

__all__ = ["ResponsesJson", "ResponsesStream", "read_request"]

_ITEM_COST = 256

_TERMINAL = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""The events that end a stream, and the status they stand for."""

_PARTS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.reasoning_summary_text.delta": "summary",
    "response.reasoning_text.delta": "content",
}
"""The deltas that are kept, by the field of the item that they build up."""

_TEXTS = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.code_interpreter_call_code.delta",
    }
)
"""The other deltas that are the model's output."""


class _Response(msgspec.Struct, gc=False):
    id: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None
    usage: Any = None
    service_tier: Any = None
    tools: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    response: _Response | None = None
    output_index: Any = None
    item: Any = None
    delta: Any = None
    error: Any = None
    code: Any = None
    message: Any = None


_RESPONSE = Shape(_Response)
_EVENT = Shape(_Event)


_TEXT = TextEvent(b"event: response.output_text.delta\ndata: ", b'"delta"', b'"delta":""')


class _OpenItem:
    """An output item that has begun, and the pieces of it that came so far."""

    __slots__ = ("item", "parts")

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item
        self.parts: dict[str, list[str]] = {}

    def so_far(self) -> dict[str, Any]:
        item = dict(self.item)
        for field, parts in self.parts.items():
            text = "".join(parts)
            if field in ("summary", "content"):
                kind = "summary_text" if field == "summary" else "reasoning_text"
                item[field] = [{"type": kind, "text": text}]
            else:
                item[field] = text
        return item


class ResponsesStream(StreamReader):
    """Reads a streamed response.

    Thoughts and tool calls come when their item is done; the terminal event brings the usage, and
    the items of its `output` that were not streamed.
    """

    text_event = _TEXT

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, _OpenItem] = {}
        self._done_indexes: set[int] = set()
        self._done_ids: set[str] = set()
        self._tools: Counter[str] = Counter()
        self._usage: dict[str, Any] | None = None
        self._tier = ""
        self._offered: list[Any] = []

    def _read(self, event: SseEvent, facts: list[ResponseFact]) -> None:
        # Most events of a stream carry text, which is not recorded.
        if event.event.endswith(".delta") and event.event not in _PARTS:
            if event.event in _TEXTS and _TEXT.empty not in event.data:
                self._produced += 1
            return
        found = _EVENT.read(event.data)
        if found is None:
            if event.event == "error":
                self._end(failure(event.data.decode("utf-8", "replace")), facts)
            return
        kind = found.type if isinstance(found.type, str) else event.event
        if kind in _PARTS or kind in _TEXTS:
            self._add_part(_PARTS.get(kind), found)
        elif kind == "response.output_item.added":
            self._open_item(found)
        elif kind == "response.output_item.done":
            self._finish_item(_index(found.output_index), dict_of(found.item), facts)
        elif kind == "error" or event.event == "error" or _is_bare_error(found):
            self._end(failure(found.error or {"code": found.code, "message": found.message}), facts)
        elif found.response is not None:
            self._read_response(kind, found.response, facts)

    def _read_response(self, kind: str, response: _Response, facts: list[ResponseFact]) -> None:
        self.response_id = self.response_id or text_of(response.id)
        if response.service_tier:
            self._tier = tier_of(response.service_tier)
        self._offered = list_of(response.tools) or self._offered
        if kind not in _TERMINAL:
            return
        for index, item in enumerate(list_of(response.output)):
            self._finish_item(index, dict_of(item), facts)
        if isinstance(response.usage, dict):
            self._usage = response.usage
        self._end(_outcome(_TERMINAL[kind], response), facts)

    def _open_item(self, event: _Event) -> None:
        self._begun = True
        self._room -= _ITEM_COST
        if isinstance(event.item, dict) and self._room >= 0:
            self._open[_index(event.output_index)] = _OpenItem(event.item)

    def _add_part(self, field: str | None, event: _Event) -> None:
        """Count a delta, and keep it for its field where it has one."""
        self._produced += bool(event.delta)
        opened = self._open.get(_index(event.output_index))
        if opened is not None and field is not None:
            self._keep(opened.parts.setdefault(field, []), event.delta)

    def _finish_item(self, index: int, item: dict[str, Any], facts: list[ResponseFact]) -> None:
        """Append an item's facts once: `response.completed` repeats what was streamed.

        Some services give an item another id when they repeat it, others leave the index out.
        """
        ids = {i for i in (item.get("id"), item.get("call_id")) if isinstance(i, str) and i}
        self._open.pop(index, None)
        if index in self._done_indexes or not self._done_ids.isdisjoint(ids):
            return
        self._room -= _ITEM_COST
        if self._room >= 0:
            self._done_ids |= ids
            if index >= 0:
                self._done_indexes.add(index)
        add_item(item, facts)
        if tool := billed_tool(item):
            self._tools[tool] += 1

    def _release(self, facts: list[ResponseFact]) -> None:
        opened = [item.so_far() for _, item in sorted(self._open.items())]
        self._open.clear()
        for item in opened:
            self._finish_item(-1, item, facts)
        stated = None
        tools = counted_tools(self._tools, self._offered)
        if self._usage is not None:
            stated = usage_fact(self._usage, tools, self._tier)
        self._add_usage(stated, facts, is_final=True, extra=tools)
        self._usage = None
        self._offered = []


class ResponsesJson(JsonReader):
    """Reads a whole response; one made in the background has no usage or output yet."""

    output_marks = (b'"output":',)
    outputs = ("output",)

    def _read(self, body: bytes, facts: list[ResponseFact]) -> Outcome | None:
        response = _RESPONSE.read(body)
        if response is None:
            return None
        self.response_id = text_of(response.id)
        items = [dict_of(item) for item in list_of(response.output)]
        for item in items:
            add_item(item, facts)
        if isinstance(response.usage, dict):
            counted = Counter(tool for item in items if (tool := billed_tool(item)))
            tools = counted_tools(counted, response.tools)
            facts.append(usage_fact(response.usage, tools, tier_of(response.service_tier)))
        return _outcome(response.status, response)


def _index(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _is_bare_error(event: _Event) -> bool:
    """An `error` object without a type, as services with Chat Completions habits send it."""
    return event.type is None and bool(event.error)


def _outcome(status: Any, response: _Response) -> Outcome:
    """Completed also when cut short (the reason is then the error type) or still queued."""
    if status == "failed" or (response.error and status not in ("completed", "incomplete")):
        return failure(response.error)
    if status == "cancelled":
        return Outcome(Status.FAILED, "cancelled")
    if status == "incomplete":
        reason = text_of(dict_of(response.incomplete_details).get("reason"))
        return Outcome(Status.COMPLETED, reason or "incomplete")
    return COMPLETED
