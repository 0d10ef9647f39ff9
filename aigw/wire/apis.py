"""The APIs whose traffic is read, and the reader for each request and answer."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from aigw.wire import chat_completions, converse, invoke, messages, responses
from aigw.wire.errors import ErrorReader
from aigw.wire.eventstream import CONTENT_TYPE as FRAMES_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw.wire.facts import Outcome, RequestFacts, RequestReader, ResponseFact, ResponseReader

_EVENTS_TYPE = "text/event-stream"

_FIRST_ERROR_STATUS = 300
"""Redirects are relayed, not followed: to the record they are an answer that failed."""


class Api(StrEnum):
    """A provider API that is intercepted and recorded."""

    MESSAGES = "messages"
    CHAT_COMPLETIONS = "chat_completions"
    RESPONSES = "responses"
    INVOKE = "invoke"
    """Bedrock's InvokeModel, with or without a response stream."""
    CONVERSE = "converse"
    """Bedrock's Converse and ConverseStream."""


_REQUESTS: dict[Api, RequestReader] = {
    Api.MESSAGES: messages.read_request,
    Api.CHAT_COMPLETIONS: chat_completions.read_request,
    Api.RESPONSES: responses.read_request,
    Api.INVOKE: invoke.read_request,
    Api.CONVERSE: converse.read_request,
}
_STREAMS: dict[Api, Callable[[], ResponseReader]] = {
    Api.MESSAGES: messages.MessagesStream,
    Api.CHAT_COMPLETIONS: chat_completions.ChatStream,
    Api.RESPONSES: responses.ResponsesStream,
    # Bedrock answers with frames. A service that imitates it may send Anthropic's own events.
    Api.INVOKE: messages.MessagesStream,
    Api.CONVERSE: messages.MessagesStream,
}
_FRAMES: dict[Api, Callable[[], ResponseReader]] = {
    # A Messages request that was translated for Bedrock.
    Api.MESSAGES: invoke.InvokeStream,
    Api.INVOKE: invoke.InvokeStream,
    Api.CONVERSE: converse.ConverseStream,
}
_DOCUMENTS: dict[Api, Callable[[], ResponseReader]] = {
    Api.MESSAGES: messages.MessagesJson,
    Api.CHAT_COMPLETIONS: chat_completions.ChatJson,
    Api.RESPONSES: responses.ResponsesJson,
    Api.INVOKE: invoke.InvokeJson,
    Api.CONVERSE: converse.ConverseJson,
}


def read_request(api: Api, body: bytes) -> RequestFacts:
    """The facts of a request body, already decompressed. Never raises."""
    return _REQUESTS[api](body)


_ONE_HOUR = re.compile(b'"1h"')
"""How a body asks for something to be cached for an hour (`"ttl": "1h"`): Anthropic's way and AWS's,
which services with Claude take in chat completions too. In a text the last quote would be escaped, so
that words alone do not look like it."""


def keeps_for_hour(api: Api, body: bytes) -> bool:
    """Whether a request wants something kept in the provider's cache for an hour.

    Looking through a long body takes longer than reading it, so this is for those who need to know.
    """
    return api is not Api.RESPONSES and _ONE_HOUR.search(body) is not None


def response_reader(api: Api, status: int, content_type: str) -> ResponseReader:
    """A reader for an answer with this status and `Content-Type`, whose body is decompressed.

    An answer without a content type, or with an odd one, is told by its first byte.
    """
    if status >= _FIRST_ERROR_STATUS:
        return ErrorReader(status)
    kind = _media_type(content_type)
    if kind == _EVENTS_TYPE:
        return _STREAMS[api]()
    if kind == FRAMES_TYPE and api in _FRAMES:
        return _FRAMES[api]()
    if kind == "application/json" or kind.endswith("+json"):
        return _DOCUMENTS[api]()
    return SniffingReader(api)


def is_event_stream(content_type: str) -> bool:
    """Whether an answer of this `Content-Type` is a stream of events, whose last one ends it."""
    return _media_type(content_type) in (_EVENTS_TYPE, FRAMES_TYPE)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class SniffingReader:
    """Becomes the reader that the first byte of the body asks for.

    `{` and `[` begin JSON, and a zero the length of a binary frame, which has less than 16 MiB.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._reader: ResponseReader | None = None

    @property
    def response_id(self) -> str:
        """The provider's id of the response; empty until known."""
        return self._reader.response_id if self._reader else ""

    @property
    def ended(self) -> bool:
        """Whether the bytes so far hold the whole terminal event."""
        return self._reader.ended if self._reader else False

    @property
    def unfinished(self) -> bytes:
        """The first bytes of an event that is not whole yet."""
        return self._reader.unfinished if self._reader else b""

    @property
    def unfinished_length(self) -> int:
        """How many bytes of that event have come."""
        return self._reader.unfinished_length if self._reader else 0

    def feed(self, data: bytes) -> list[ResponseFact]:
        """The facts that these bytes complete."""
        if self._reader is not None:
            return self._reader.feed(data)
        # Blank lines and a BOM (or half of one) say nothing yet, and neither format needs them.
        data = data.lstrip(b"\xef\xbb\xbf \t\r\n")
        if not data:
            return []
        self._reader = self._readers(data[0])[self._api]()
        return self._reader.feed(data)

    def _readers(self, first: int) -> dict[Api, Callable[[], ResponseReader]]:
        if first in b"{[":
            return _DOCUMENTS
        return _FRAMES if first == 0 and self._api in _FRAMES else _STREAMS

    def finish(self) -> list[ResponseFact]:
        """The facts left at the end of the bytes."""
        return self._reader.finish() if self._reader else []

    def outcome(self) -> Outcome | None:
        """The provider's verdict; None for an empty answer."""
        return self._reader.outcome() if self._reader else None
