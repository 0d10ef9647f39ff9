"""A Bedrock answer as the Messages API would give it: frames become server-sent events.

The JSON of an event stays byte for byte what the model's service wrote; only its framing changes. So
an event may have the member `amazon-bedrock-invocationMetrics`, which clients ignore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.wire.bedrock_chunk import CHUNK, inner_event, type_of
from aigw.wire.bedrock_errors import error_body, error_type, translated_error
from aigw.wire.eventstream import CONTENT_TYPE, EventStreamDecoder, Frame
from aigw.wire.frame_reader import frame_error

if TYPE_CHECKING:
    from multidict import CIMultiDict

ERROR_LIMIT = 64 * 1024
"""Bytes of an error answer that are held to be translated; a longer one passes as it came. AWS's are
a few hundred: this is what each failing request may cost."""

_LENGTH_DIGITS = 16
"""As much of a stated length is read: Python refuses to read thousands of digits."""

_SSE = "text/event-stream; charset=utf-8"
_FIRST_ERROR_STATUS = 400
_FIRST_REDIRECT_STATUS = 300
_FINAL = ("message_stop", "error")


class MessagesTranslation:
    """Translates one answer to InvokeModel or InvokeModelWithResponseStream (`call.Translation`).

    Any split of the same bytes gives the same output. A stream that ends between two frames without
    `message_stop` gets an error event from `finish`. One that breaks off within a frame gets
    nothing: the client must see its connection cut, as with any other provider.
    """

    __slots__ = ("_translate",)

    def __init__(self) -> None:
        self._translate: _Stream | _Error | None = None

    def begin(self, status: int, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        """The headers of the translated answer. What is not translated keeps its own and its bytes.

        That is all but event streams of a good status, and short JSON errors. A compressed answer
        is not translated either: ask for none (`Accept-Encoding: identity`).
        """
        headers = headers.copy()
        request_id = headers.get("x-amzn-RequestId", "")
        if request_id:
            headers.setdefault("request-id", request_id)
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
            return headers
        if status < _FIRST_REDIRECT_STATUS and kind == CONTENT_TYPE:
            headers["Content-Type"] = _SSE
            self._translate = _Stream(request_id)
        elif status >= _FIRST_ERROR_STATUS and _is_json(kind) and _is_short(headers):
            headers["Content-Type"] = "application/json"
            self._translate = _Error(status, headers.get("x-amzn-ErrorType", ""), request_id)
        if self._translate is not None:
            headers.popall("Content-Length", None)
        return headers

    def feed(self, data: bytes) -> bytes:
        """The translated bytes that these bytes complete."""
        return data if self._translate is None else self._translate.feed(data)

    def finish(self) -> bytes:
        """What is left when the provider has sent all."""
        return b"" if self._translate is None else self._translate.finish()


class _Stream:
    """Frames to events. After an error event, or after `message_stop`, nothing can follow."""

    __slots__ = ("_decoder", "_ended", "_request_id")

    def __init__(self, request_id: str) -> None:
        self._decoder = EventStreamDecoder()
        self._request_id = request_id
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        if self._ended:
            return b""
        events = [self._event(frame) for frame in self._decoder.feed(data)]
        broken = self._decoder.error
        if broken is not None:
            events.append(self._error("api_error", f"Amazon Bedrock's stream is broken: {broken}"))
        return b"".join(events)

    def finish(self) -> bytes:
        if self._ended:
            return b""
        return self._error("api_error", "Amazon Bedrock's stream ended before the message did")

    def _event(self, frame: Frame) -> bytes:
        headers = frame.headers
        if self._ended:
            return b""
        if headers.message_type == "event":
            return self._inner(frame.payload) if headers.name == CHUNK else b""
        if headers.message_type not in ("exception", "error"):
            return b""
        name, message = frame_error(frame)
        return self._error(error_type(name), message or f"Amazon Bedrock ended the stream: {name}")

    def _inner(self, payload: bytes) -> bytes:
        event = inner_event(payload)
        if event is None:
            return self._error("api_error", "Amazon Bedrock sent an event that cannot be read")
        if not event:
            return b""
        name = type_of(event)
        self._ended = name in _FINAL
        return _sse(name, event)

    def _error(self, kind: str, message: str) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        return _sse("error", error_body(kind, message, self._request_id))


class _Error:
    """The body of an error answer: held until it is whole, or too long to be translated."""

    __slots__ = ("_body", "_name", "_passing", "_request_id", "_status")

    def __init__(self, status: int, name: str, request_id: str) -> None:
        self._status = status
        self._name = name
        self._request_id = request_id
        self._body = bytearray()
        self._passing = False

    def feed(self, data: bytes) -> bytes:
        if self._passing:
            return data
        self._body += data
        if len(self._body) <= ERROR_LIMIT:
            return b""
        self._passing = True
        return self._take()

    def finish(self) -> bytes:
        body = self._take()
        if self._passing:
            return body
        self._passing = True
        return translated_error(body, self._name, self._status, self._request_id) or body

    def _take(self) -> bytes:
        body = bytes(self._body)
        self._body.clear()
        return body


def _sse(name: str, data: bytes) -> bytes:
    """One server-sent event. Line ends in the data, which JSON may have, begin another `data:`."""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines())
    return b"%bdata: %b\n\n" % (_name_line(name), data)


def _name_line(name: str) -> bytes:
    """The line that names an event; nothing for a name that is odd and could end its line early."""
    return b"event: %b\n" % name.encode() if name.isascii() and name.isprintable() and name else b""


def _is_json(kind: str) -> bool:
    return (
        kind == "application/json"
        or kind.endswith("+json")
        or kind.startswith("application/x-amz-json")
    )


def _is_short(headers: CIMultiDict[str]) -> bool:
    """Whether the body may be held, as far as its head tells."""
    length = headers.get("Content-Length", "")
    return not length.isdecimal() or int(length[:_LENGTH_DIGITS]) <= ERROR_LIMIT
