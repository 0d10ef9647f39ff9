"""What the readers of Bedrock's two event streams have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from aigw.records import Status
from aigw.wire.answers import OpenAnswer
from aigw.wire.errors import failure
from aigw.wire.eventstream import EventStreamDecoder, Frame
from aigw.wire.facts import Outcome
from aigw.wire.lenient import dict_of, parse, text_of

if TYPE_CHECKING:
    from aigw.wire.facts import ResponseFact

BROKEN_STREAM = "invalid_event_stream"
"""The error type of an answer with a broken frame: its client cannot read on either."""


class FrameReader(OpenAnswer):
    """A `facts.ResponseReader` for `application/vnd.amazon.eventstream`."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = EventStreamDecoder()

    @property
    def unfinished(self) -> bytes:
        """Nothing: a client cannot act on a part of a frame, so none need be held back."""
        return b""

    @property
    def unfinished_length(self) -> int:
        """How many bytes have come of a frame that is not whole yet."""
        return self._decoder.unfinished_length

    def feed(self, data: bytes) -> list[ResponseFact]:
        """The facts that these bytes complete; none after the terminal frame or a broken one."""
        facts: list[ResponseFact] = []
        decoder = self._decoder
        for frame in decoder.feed(data):
            if self.ended:
                break
            headers = frame.headers
            if headers.message_type == "event":
                self._read(headers.name, frame.payload, facts)
            elif headers.message_type in ("exception", "error"):
                kind, message = frame_error(frame)
                self._end(failure({"type": kind, "message": message}), facts)
        if decoder.error is not None and not self.ended:
            self._release(facts)
            self._outcome = Outcome(Status.FAILED, BROKEN_STREAM, decoder.error)
        return facts

    @abstractmethod
    def _read(self, name: str, payload: bytes, facts: list[ResponseFact]) -> None:
        """Take in one event; append the facts that it completes."""


def frame_error(frame: Frame) -> tuple[str, str]:
    """The type and message of an `exception` or `error` frame, as AWS words them.

    An exception has its message in the payload, an error (one that the service does not model) in
    its headers. The model's own message comes as `originalMessage`.
    """
    headers = frame.headers
    if headers.message_type == "error":
        return headers.name, text_of(headers.values.get(":error-message"))
    body = dict_of(parse(frame.payload))
    found = (text_of(body.get(key)) for key in ("message", "Message", "originalMessage"))
    return headers.name, next((message for message in found if message), "")
