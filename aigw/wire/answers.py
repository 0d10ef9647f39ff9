"""What the readers of streamed and of whole answers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from aigw.records import Status
from aigw.wire.facts import Outcome, ResponseFact, UsageFact
from aigw.wire.floor import estimate, text_tokens
from aigw.wire.lenient import parse
from aigw.wire.said import is_counted, said_tokens
from aigw.wire.sse import SseEvent, SseReader

KEPT_LIMIT = 32 * 1024 * 1024
"""Bytes of one answer that a reader keeps at most, be it a JSON body or the open parts of a stream:
the largest answers are a few MiB, and a thousand streams must not hold more than memory has."""

_PART_COST = 64
"""What a kept piece of text costs beside its characters."""

COMPLETED = Outcome(Status.COMPLETED)


class OpenAnswer(ABC):
    """What a stream yielded so far: the part that does not depend on how its events are framed.

    Readers count the events that bring output in `_produced`, and note in `_begun` that the model is
    at work: of an answer that ends without the provider's figures both are all there is.
    """

    def __init__(self) -> None:
        self.response_id = ""
        self.ended = False
        self._begun = False
        self._produced = 0
        self._outcome: Outcome | None = None
        self._room = KEPT_LIMIT

    def finish(self) -> list[ResponseFact]:
        """What the answer yielded so far, when no terminal event ended it."""
        facts: list[ResponseFact] = []
        if not self.ended:
            self._release(facts)
        return facts

    def outcome(self) -> Outcome | None:
        """The provider's verdict; None when the stream broke off without one."""
        return self._outcome

    def _end(self, outcome: Outcome, facts: list[ResponseFact]) -> None:
        self._release(facts)
        self._outcome = outcome
        self.ended = True

    def _add_usage(
        self,
        stated: UsageFact | None,
        facts: list[ResponseFact],
        *,
        is_final: bool,
        extra: Mapping[str, int] = {},
    ) -> None:
        """Append the usage, once: the provider's, or a floor where that is not its last word.

        Nothing counted beside output that came is no count: some services send zeros.
        """
        if stated is not None and is_final and (is_counted([stated]) or not self._produced):
            facts.append(stated)
        elif stated is not None or self._begun or self._produced:
            facts.append(estimate(stated, self._produced, extra))
        self._begun = False
        self._produced = 0

    def _keep(self, parts: list[str], text: object) -> None:
        """Add a piece of text to those kept for a fact, as long as there is room."""
        if isinstance(text, str) and text:
            self._room -= len(text) + _PART_COST
            if self._room >= 0:
                parts.append(text)

    @abstractmethod
    def _release(self, facts: list[ResponseFact]) -> None:
        """Append everything still open, once, also when it is incomplete."""


class TextEvent(NamedTuple):
    """How most events of a stream look: they bring text, which is only counted.

    `lines` is what they begin with, up to their data. `mark` is somewhere in the data of all of
    them and of no others, `empty` in those that bring no token.
    """

    lines: bytes
    mark: bytes
    empty: bytes


class StreamReader(OpenAnswer):
    """A `facts.ResponseReader` for server-sent events."""

    text_event: ClassVar[TextEvent | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._sse = SseReader()

    def feed(self, data: bytes) -> list[ResponseFact]:
        """The facts that these bytes complete; none after the terminal event."""
        facts: list[ResponseFact] = []
        text = self.text_event
        if (
            text is not None
            and data.startswith(text.lines)
            and text.mark in data
            and self._sse.is_lone_event(data, len(text.lines))
        ):
            # A provider that is waited for sends them one by one, so this is worth a short way.
            if not self.ended and text.empty not in data:
                self._produced += 1
            return facts
        for event in self._sse.feed(data):
            if self.ended:
                break
            self._read(event, facts)
        return facts

    def take(self, event: SseEvent, facts: list[ResponseFact]) -> None:
        """Read one event that came framed in another way; append the facts that it completes."""
        if not self.ended:
            self._read(event, facts)

    @property
    def unfinished(self) -> bytes:
        """The first bytes of an event that is not whole yet."""
        return self._sse.unfinished

    @property
    def unfinished_length(self) -> int:
        """How many bytes of that event have come."""
        return self._sse.unfinished_length

    @abstractmethod
    def _read(self, event: SseEvent, facts: list[ResponseFact]) -> None:
        """Take in one event; append the facts that it completes."""


class JsonReader(ABC):
    """A `facts.ResponseReader` for one JSON document, read when it is whole.

    A document over `KEPT_LIMIT` bytes is given up in silence: it yields no facts and counts as
    completed, for its bytes did arrive. One that is not JSON (cut off) has no outcome; what of its
    output had come is estimated from its bytes.
    """

    output_marks: tuple[bytes, ...] = ()
    """What stands before the output in such a document; the first that is found counts."""

    outputs: tuple[str, ...] = ()
    """The document's members that hold the output."""

    unfinished = b""
    unfinished_length = 0

    def __init__(self) -> None:
        self.response_id = ""
        self.ended = False
        self._outcome: Outcome | None = None
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> list[ResponseFact]:
        """Keep the bytes: facts come with `finish`."""
        self._length += len(data)
        if self._length <= KEPT_LIMIT:
            self._pieces.append(data)
        else:
            self._pieces.clear()
        return []

    def finish(self) -> list[ResponseFact]:
        """All facts of the document."""
        facts: list[ResponseFact] = []
        body = b"".join(self._pieces)
        self._pieces.clear()
        if self._length > KEPT_LIMIT:
            self._outcome = COMPLETED
        elif body and not self.ended:
            self._outcome = self._read(body, facts)
            if self._outcome is None:
                if parse(body) is not None:
                    self._outcome = COMPLETED
                else:
                    self._estimate(body, facts)
            elif self._outcome.status is Status.COMPLETED and not is_counted(facts):
                self._estimate_uncounted(body, facts)
        self.ended = True
        return facts

    def _estimate(self, body: bytes, facts: list[ResponseFact]) -> None:
        """The floor of a document that was cut off: one without its output's beginning is none."""
        for mark in self.output_marks:
            _, found, output = body.partition(mark)
            if found:
                facts.append(estimate(None, text_tokens(output)))
                return

    def _estimate_uncounted(self, body: bytes, facts: list[ResponseFact]) -> None:
        """The floor of a whole document whose provider has counted nothing, in place of its zeros."""
        produced = said_tokens(body, self.outputs)
        if produced:
            stated = [fact for fact in facts if isinstance(fact, UsageFact)]
            facts[:] = [fact for fact in facts if not isinstance(fact, UsageFact)]
            facts.append(estimate(stated[0] if stated else None, produced))

    def outcome(self) -> Outcome | None:
        """The provider's verdict; None before `finish`, and when the document was not whole."""
        return self._outcome

    @abstractmethod
    def _read(self, body: bytes, facts: list[ResponseFact]) -> Outcome | None:
        """Append the facts of the document; None when it is not a JSON object."""
