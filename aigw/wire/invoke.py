"""Bedrock's InvokeModel: `read_request`, and the readers of its two kinds of answer.

Request and answer are those of the model's own API: Anthropic's Messages for Claude, the form of
Converse for Amazon's models, OpenAI's chat completions for several, and others of which only the
usage is known. Wire format: Amazon Bedrock User Guide, "Inference request parameters and response
fields for foundation models".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aigw.wire import converse_request, messages_request
from aigw.wire.answers import COMPLETED, JsonReader, OpenAnswer
from aigw.wire.bedrock_chunk import CHUNK, MESSAGES_EVENTS, inner_event, type_of
from aigw.wire.bedrock_metrics import METRICS, complete_usage
from aigw.wire.chat_completions import ChatJson, ChatStream
from aigw.wire.converse import ConverseJson, ConverseStream
from aigw.wire.frame_reader import FrameReader
from aigw.wire.lenient import Shape, bound_of, dict_of, text_of
from aigw.wire.messages import MessagesJson, MessagesStream
from aigw.wire.sse import SseEvent

if TYPE_CHECKING:
    from aigw.wire.facts import Outcome, RequestFacts, ResponseFact

__all__ = ["InvokeJson", "InvokeStream", "read_request"]


class _Body(msgspec.Struct, gc=False):
    anthropic_version: Any = None
    prompt: Any = None
    max_tokens: Any = None
    max_tokens_to_sample: Any = None
    max_gen_len: Any = None


class _Event(msgspec.Struct, gc=False, rename="camel"):
    """What tells the families apart, and the usage of those that have no reader of their own."""

    choices: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()
    message_start: msgspec.Raw = msgspec.Raw()
    content_block_start: msgspec.Raw = msgspec.Raw()
    content_block_delta: msgspec.Raw = msgspec.Raw()
    content_block_stop: msgspec.Raw = msgspec.Raw()
    message_stop: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    prompt_tokens: Any = msgspec.field(default=None, name="prompt_token_count")
    generated_tokens: Any = msgspec.field(default=None, name="generation_token_count")
    metrics: Any = msgspec.field(default=None, name=METRICS)


_BODY = Shape(_Body)
_EVENT = Shape(_Event)
_CONVERSE_EVENTS = {
    "message_start": "messageStart",
    "content_block_start": "contentBlockStart",
    "content_block_delta": "contentBlockDelta",
    "content_block_stop": "contentBlockStop",
    "message_stop": "messageStop",
    "metadata": "metadata",
}


def read_request(body: bytes) -> RequestFacts:
    """The facts of a request body; all defaults where it is of no known family.

    The path names the model, and whether the answer is a stream: `model` and `streaming` stay at
    their defaults.
    """
    facts = messages_request.read_request(body)
    facts.model = ""
    facts.streaming = False
    if facts.prompt is not None or facts.tool_results:
        return facts
    found = _BODY.read(body)
    if found is None or found.anthropic_version is not None:
        return facts
    facts = converse_request.read_request(body)
    if facts.prompt is None and not facts.tool_results:
        facts.prompt = text_of(found.prompt) or None
    if facts.max_output_tokens is None:
        # Mistral's and others', Claude's before the Messages API, and Meta's.
        facts.max_output_tokens = bound_of(
            found.max_tokens, found.max_tokens_to_sample, found.max_gen_len
        )
    return facts


class InvokeStream(FrameReader):
    """Reads a streamed answer of any family: each inner event goes to the reader of its form.

    The end is `message_stop` for Anthropic's models, `metadata` for Amazon's, and for others the
    event with the service's own figures, which comes last. Those serve as the usage where the
    model's API states none, or none of the cache.
    """

    def __init__(self) -> None:
        super().__init__()
        self._messages = MessagesStream()
        self._converse = ConverseStream()
        self._chat = ChatStream()
        self._counts: dict[str, Any] = {}
        self._metrics: dict[str, Any] = {}

    def _read(self, name: str, payload: bytes, facts: list[ResponseFact]) -> None:
        event = inner_event(payload) if name == CHUNK else None
        if not event:
            return
        kind = type_of(event)
        if kind == "content_block_delta":
            self._messages.take(SseEvent(kind, event), facts)
            return
        found = _EVENT.read(event)
        if found is None:
            return
        self._metrics = dict_of(found.metrics) or self._metrics
        reader = self._pass_on(kind, event, found, facts)
        if reader is not None and not self.response_id:
            self.response_id = reader.response_id
        if reader is not None and reader.ended:
            self._end(reader.outcome() or COMPLETED, facts)
        elif found.metrics and reader is not self._messages:
            self._end(COMPLETED, facts)

    def _pass_on(
        self, kind: str, event: bytes, found: _Event, facts: list[ResponseFact]
    ) -> OpenAnswer | None:
        """Give an event to the reader of its form; None where there is none."""
        if kind in MESSAGES_EVENTS:
            self._messages.take(SseEvent(kind, event), facts)
            return self._messages
        if found.choices or found.error:
            self._chat.take(SseEvent("", event), facts)
            return self._chat
        for member, name in _CONVERSE_EVENTS.items():
            if content := getattr(found, member):
                self._converse.take(name, content, facts)
                return self._converse
        _lay_over(self._counts, found)
        return None

    def _release(self, facts: list[ResponseFact]) -> None:
        for reader in (self._messages, self._converse, self._chat):
            facts += reader.finish()
        # A family's own counts grow with every event: the last word is the service's figures.
        complete_usage(facts, self._counts, self._metrics, is_final=bool(self._metrics))
        self._counts = {}
        self._metrics = {}


class InvokeJson(JsonReader):
    """Reads a whole answer of any family."""

    output_marks = (b'"content":', b'"choices":', b'"generation":')
    outputs = ("content", "choices", "generation", "output")

    def _read(self, body: bytes, facts: list[ResponseFact]) -> Outcome | None:
        found = _EVENT.read(body)
        if found is None:
            return None
        reader = (ChatJson if found.choices else ConverseJson if found.output else MessagesJson)()
        facts += reader.feed(body) + reader.finish()
        self.response_id = reader.response_id
        counts: dict[str, Any] = {}
        _lay_over(counts, found)
        complete_usage(facts, counts, dict_of(found.metrics), is_final=True)
        return reader.outcome()


def _lay_over(counts: dict[str, Any], found: _Event) -> None:
    """Take the figures of Meta's models: those of the answer grow with every event."""
    if found.prompt_tokens is not None:
        counts["inputTokens"] = found.prompt_tokens
    if found.generated_tokens is not None:
        counts["outputTokens"] = found.generated_tokens
