"""Reading an answer beside its relay: decompression and the wire reader, never disturbing it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from aigw.records import Status
from aigw.wire.apis import Api, is_event_stream, response_reader
from aigw.wire.content_coding import decoder
from aigw.wire.facts import Outcome, ResponseFact, UsageFact
from aigw.wire.lenient import tier_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aigw.wire.content_coding import Decoder

_log = logging.getLogger("aigw.gateway")

DECODED_LIMIT = 64 * 1024 * 1024
"""How many decompressed bytes of one answer are read, at most: the longest answers of models have a
fiftieth of it. What claims more is a bomb; it still flows to the client, who may judge for itself."""

_TERMINAL_MARKS = (
    b"message_stop",
    b"[DONE]",
    b"response.completed",
    b"response.failed",
    b"response.incomplete",
    b"response.cancelled",
    b'"error"',
)
"""What stands at the beginning of the event that ends a stream, whichever API it is of."""

_NO_CONTENT = frozenset({204, 304})


_TIER = "X-Amzn-Bedrock-Service-Tier"
_LATENCY = "X-Amzn-Bedrock-PerformanceConfig-Latency"
"""Where InvokeModel says what Converse and the others say in the answer's body."""


def stated_tier(headers: Mapping[str, str]) -> str:
    """The class of service that an answer's head states; empty for the standard one."""
    return tier_of(headers.get(_TIER)) or tier_of(headers.get(_LATENCY))


class Answer:
    """What an answer says, learnt from a copy of its bytes.

    Whatever goes wrong in here (a bug, a broken compression, an unknown coding) ends the reading
    and nothing else: the relay sees an answer without facts.

    Args:
        service_tier: the class of service that the answer's head states.
        input_floor: the tokens that the request has at least; asked only of an answer that ended
            before the provider had counted even them.
    """

    __slots__ = (
        "_decoder",
        "_input_floor",
        "_readable",
        "_reader",
        "_service_tier",
        "_status",
        "_streams",
        "ended",
        "response_id",
    )

    def __init__(
        self,
        api: Api,
        status: int,
        content_type: str,
        content_encoding: str,
        *,
        service_tier: str = "",
        input_floor: Callable[[], int] = int,
    ) -> None:
        self._service_tier = tier_of(service_tier)
        self._input_floor = input_floor
        self._reader = response_reader(api, status, content_type)
        self._status = status
        self._streams = is_event_stream(content_type)
        self._decoder: Decoder | None = None
        self._readable = True
        self.response_id = ""
        """The provider's id of the response; empty until known."""
        self.ended = False
        """Whether the bytes so far hold the whole terminal event."""
        if content_encoding:
            try:
                self._decoder = decoder(content_encoding, DECODED_LIMIT)
            except ValueError as error:
                self._give_up(error)

    @property
    def nears_its_end(self) -> bool:
        """Whether the terminal event has begun and may be told from what there is of it.

        A client that acts on a line, not on the blank line after it, would see the end with it.
        """
        unfinished = self._reader.unfinished
        return bool(unfinished) and any(mark in unfinished for mark in _TERMINAL_MARKS)

    def split_at_end(self, chunk: bytes) -> tuple[bytes, bytes]:
        """A chunk as what comes before the unfinished event and what belongs to it."""
        if self._decoder is not None:
            return b"", chunk
        start = max(0, len(chunk) - self._reader.unfinished_length)
        return chunk[:start], chunk[start:]

    def feed(self, data: bytes) -> list[ResponseFact]:
        """The facts these bytes complete."""
        if not self._readable:
            return []
        try:
            reader = self._reader
            if self._decoder is None:
                facts = reader.feed(data)
            else:
                facts = [
                    fact for piece in self._decoder.pieces(data) for fact in reader.feed(piece)
                ]
            self.ended = reader.ended
            self.response_id = reader.response_id
        except Exception as error:  # noqa: BLE001 (a reader's bug must not cost the relay a byte)
            self._give_up(error)
            return []
        return self._completed(facts) if facts else facts

    def finish(self) -> list[ResponseFact]:
        """The facts left at the end of the bytes, also of an answer that broke off."""
        facts: list[ResponseFact] = []
        try:
            if self._readable and self._decoder is not None:
                facts += self._reader.feed(self._decoder.finish())
        except Exception as error:  # noqa: BLE001
            self._give_up(error)
        try:
            facts += self._reader.finish()
            self.response_id = self._reader.response_id
        except Exception as error:  # noqa: BLE001
            self._give_up(error)
        return self._completed(facts)

    def _completed(self, facts: list[ResponseFact]) -> list[ResponseFact]:
        """The facts with what the answer's body does not say of its usage."""
        return [self._priced(fact) if isinstance(fact, UsageFact) else fact for fact in facts]

    def _priced(self, usage: UsageFact) -> UsageFact:
        if self._service_tier and not usage.service_tier:
            usage = replace(usage, service_tier=self._service_tier)
        if usage.is_estimate and not usage.total_input_tokens:
            usage = replace(usage, input_tokens=self._input_floor())
        return usage

    def outcome(self) -> Outcome:
        """The provider's verdict, for an answer whose bytes all arrived."""
        try:
            outcome = self._reader.outcome()
        except Exception as error:  # noqa: BLE001
            self._give_up(error)
            outcome = None
        if outcome is not None:
            return outcome
        if self._status in _NO_CONTENT:
            return Outcome(Status.COMPLETED)
        if self._streams and self._readable:
            return Outcome(
                Status.FAILED, "incomplete_answer", "the answer ended without its final event"
            )
        return Outcome(Status.COMPLETED, "unreadable_answer", "the answer's content is not known")

    def _give_up(self, error: Exception) -> None:
        if self._readable:
            self._readable = False
            # The text of a decoding error may quote the answer, which belongs in the store only.
            _log.warning(
                "an answer cannot be read, it is relayed all the same: %s", type(error).__name__
            )
