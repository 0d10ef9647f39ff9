"""Reading an answer beside its relay: decompression and the wire reader, never disturbing it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aigw.records import Status
from aigw.wire.apis import Api, response_reader
from aigw.wire.content_coding import decoder
from aigw.wire.facts import Outcome, ResponseFact

if TYPE_CHECKING:
    from aigw.wire.content_coding import Decoder

_log = logging.getLogger("aigw.gateway")

DECODED_LIMIT = 1024 * 1024 * 1024
"""How many decompressed bytes of one answer are read, at most: an answer that claims more is a
bomb. It still flows to the client, who may judge for itself."""


class Answer:
    """What an answer says, learnt from a copy of its bytes.

    Whatever goes wrong in here (a bug, a broken compression, an unknown coding) ends the reading
    and nothing else: the relay sees an answer without facts.
    """

    def __init__(self, api: Api, status: int, content_type: str, content_encoding: str) -> None:
        self._status = status
        self._reader = response_reader(api, status, content_type)
        self._decoder: Decoder | None = None
        self._readable = True
        if content_encoding:
            try:
                self._decoder = decoder(content_encoding, DECODED_LIMIT)
            except ValueError as error:
                self._give_up(error)

    @property
    def response_id(self) -> str:
        """The provider's id of the response; empty until known."""
        return self._reader.response_id

    @property
    def ended(self) -> bool:
        """Whether the bytes so far hold the whole terminal event."""
        return self._readable and self._reader.ended

    def feed(self, data: bytes) -> list[ResponseFact]:
        """The facts these bytes complete."""
        if not self._readable:
            return []
        try:
            if self._decoder is not None:
                data = self._decoder.feed(data)
            return self._reader.feed(data)
        except Exception as error:  # noqa: BLE001 (a reader's bug must not cost the relay a byte)
            self._give_up(error)
            return []

    def finish(self) -> list[ResponseFact]:
        """The facts left at the end of the bytes."""
        try:
            facts: list[ResponseFact] = []
            if self._readable and self._decoder is not None:
                facts += self._reader.feed(self._decoder.finish())
            return facts + self._reader.finish()
        except Exception as error:  # noqa: BLE001
            self._give_up(error)
            return []

    def outcome(self) -> Outcome:
        """The provider's verdict, for an answer whose bytes all arrived."""
        try:
            outcome = self._reader.outcome()
        except Exception as error:  # noqa: BLE001
            self._give_up(error)
            outcome = None
        if outcome is not None:
            return outcome
        if self._status >= 400:  # noqa: PLR2004
            return Outcome(Status.FAILED, f"http_{self._status}")
        if not self._readable:
            return Outcome(Status.COMPLETED, "unreadable_answer")
        return Outcome(Status.FAILED, "incomplete_answer", "the answer ended without its final event")

    def _give_up(self, error: Exception) -> None:
        if self._readable:
            self._readable = False
            # The text of a decoding error may quote the answer, which belongs in the store only.
            _log.warning("an answer cannot be read, it is relayed all the same: %s", type(error).__name__)
