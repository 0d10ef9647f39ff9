"""The lifecycle of an interception, from its committed start to its committed end.

What must hold (docs/design in short): the start is committed before a byte goes upstream; all that
an answer yielded is committed before the client sees its end. `Recorder.start` and
`Interception.end` therefore wait for the store; what happens between them is handed over without
waiting, and the store keeps the order, so a committed end implies everything before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from aigw import clock
from aigw.errors import StoreError
from aigw.pricing.cost import UNPRICED, Cost
from aigw.records import (
    STOPPED_MESSAGE,
    STOPPED_TYPE,
    CostBasis,
    IdSource,
    InterceptionEnd,
    InterceptionStart,
    ModelThought,
    PromptUsage,
    Record,
    Status,
    TokenUsage,
    ToolResult,
    ToolUsage,
    kept_call_id,
)
from aigw.wire.facts import (
    Outcome,
    ResponseFact,
    ThoughtFact,
    ToolCallFact,
    ToolResultFact,
    UsageFact,
)

_log = logging.getLogger("aigw.recorder")


CLIENT_LEFT = Outcome(Status.ABORTED, "client_disconnected", "the client closed the connection")
"""The outcome of an interception whose client did not wait for its answer."""


GATEWAY_STOPPED = Outcome(Status.ABORTED, STOPPED_TYPE, STOPPED_MESSAGE)
"""The outcome of an interception that outlasted the time a stop leaves to answers in flight."""


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How an interception ended, as the relay saw it. See `records.InterceptionEnd`."""

    outcome: Outcome
    status_code: int | None = None
    duration_ms: int = 0
    time_to_first_byte_ms: int | None = None
    streaming: bool = False
    attempts: int = 1
    served_hint: str | None = None


class RecordSink(Protocol):
    """Where records go: the store's writer."""

    def post(self, records: Sequence[Record], *, again: bool = False) -> None:
        """Take records over without waiting; `again` after a `commit` of them that failed."""

    def commit(self, records: Sequence[Record]) -> Awaitable[None]:
        """Commit records; awaiting raises StoreError when that failed."""


class Observer(Protocol):
    """Who else wants to know: metrics."""

    def started(self, start: InterceptionStart) -> None:
        """An interception begins."""

    def recorded(self, start: InterceptionStart, records: Sequence[Record]) -> None:
        """An interception yielded records."""

    def ended(self, start: InterceptionStart, end: InterceptionEnd) -> None:
        """An interception is over."""


class Pricing(Protocol):
    """Knows what models cost."""

    def cost(self, start: InterceptionStart, usage: UsageFact) -> Cost:
        """The cost of one response. Never raises, and never waits."""


class Recorder:
    """Begins interceptions.

    Args:
        sink: where records are committed.
        pricing: says what a response costs; None: nobody knows.
        observers: told of everything, after it was handed to the sink.
        fail_open: go on when the store cannot write, keeping records in memory, not refusing.
        now: the wall clock in microseconds.
    """

    def __init__(
        self,
        sink: RecordSink,
        *,
        pricing: Pricing | None = None,
        observers: Sequence[Observer] = (),
        fail_open: bool = False,
        now: Callable[[], int] = clock.now,
    ) -> None:
        self.sink = sink
        self.pricing = pricing
        self.observers = observers
        self.fail_open = fail_open
        self.now = now
        self._ids = IdSource()

    def new_id(self, now: int) -> str:
        """An id for a record or an interception."""
        return self._ids.new(now)

    async def start(
        self,
        start: InterceptionStart,
        *,
        prompt: str | None = None,
        tool_results: Sequence[ToolResultFact] = (),
    ) -> Interception:
        """Commit the start, with the tool results the request brought.

        The prompt waits for the response's id, which its record carries.

        Raises:
            StoreError: the store cannot write and the operator wants requests refused then.
        """
        records: list[Record] = [start]
        for result in tool_results:
            records.append(  # noqa: PERF401 (a comprehension of eight fields does not read)
                ToolResult(
                    interception_id=start.interception_id,
                    created_at=start.started_at,
                    id=self.new_id(start.started_at),
                    tool_call_id=kept_call_id(result.tool_call_id),
                    is_error=result.is_error,
                    size=result.size,
                    content=result.content,
                    truncated=result.truncated,
                )
            )
        try:
            await self.sink.commit(records)
        except StoreError:
            if not self.fail_open:
                raise
            _log.error("interception %s goes on, unrecorded as yet", start.interception_id)
            self.sink.post(records, again=True)
        except asyncio.CancelledError:
            # The client left while the start was being committed; it gets its end all the same.
            self._begin(start, prompt).abandon(Ending(CLIENT_LEFT))
            raise
        return self._begin(start, prompt)

    def _begin(self, start: InterceptionStart, prompt: str | None) -> Interception:
        for observer in self.observers:
            observer.started(start)
        return Interception(self, start, prompt)


class Interception:
    """One running interception."""

    def __init__(self, recorder: Recorder, start: InterceptionStart, prompt: str | None) -> None:
        self._recorder = recorder
        self._start = start
        self._prompt = prompt
        self._tokens = UsageFact(0, 0)
        self._cost_micros = self._unpriced = self._estimated = 0
        self._context_window: int | None = None
        self._has_usage = False
        self.ended = False

    @property
    def id(self) -> str:
        """The interception's id."""
        return self._start.interception_id

    @property
    def has_usage(self) -> bool:
        """Whether tokens have been recorded."""
        return self._has_usage

    @property
    def awaits_response_id(self) -> bool:
        """Whether a prompt is still waiting for the response's id."""
        return self._prompt is not None

    def add(self, facts: Sequence[ResponseFact], msg_id: str) -> None:
        """Hand over what the answer yielded so far, and the prompt once the id is known."""
        records = self._records(facts, msg_id)
        if records:
            self._recorder.sink.post(records)

    async def end(
        self, ending: Ending, facts: Sequence[ResponseFact] = (), msg_id: str = ""
    ) -> None:
        """Commit the rest and the end; the answer's last bytes may be released when this returns.

        Raises:
            StoreError: it could not be committed, and the operator wants no unrecorded answer.
        """
        records = self._finish(ending, facts, msg_id)
        commit = asyncio.ensure_future(self._recorder.sink.commit(records))  # noqa: TID251 (a future)
        try:
            # Shielded: a client that leaves now must not take the outcome of the commit with it.
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            commit.add_done_callback(lambda done: self._keep(done, records))
            raise
        except StoreError:
            # Kept in memory for when the store can write again, bounded there.
            self._recorder.sink.post(records, again=True)
            if not self._recorder.fail_open:
                raise

    def _keep(self, commit: asyncio.Future[None], records: Sequence[Record]) -> None:
        if not commit.cancelled() and commit.exception() is not None:
            self._recorder.sink.post(records, again=True)

    def abandon(self, ending: Ending, facts: Sequence[ResponseFact] = (), msg_id: str = "") -> None:
        """Record the end where nobody waits for it: the client has gone."""
        self._recorder.sink.post(self._finish(ending, facts, msg_id))

    def _finish(self, ending: Ending, facts: Sequence[ResponseFact], msg_id: str) -> list[Record]:
        assert not self.ended, "an interception ends once"
        self.ended = True
        records = self._records(facts, msg_id, last=True)
        outcome = ending.outcome
        end = InterceptionEnd(
            interception_id=self.id,
            ended_at=self._recorder.now(),
            status=outcome.status,
            status_code=ending.status_code,
            error_type=outcome.error_type,
            error_message=outcome.error_message,
            duration_ms=ending.duration_ms,
            time_to_first_byte_ms=ending.time_to_first_byte_ms,
            streaming=ending.streaming,
            attempts=ending.attempts,
            served_hint=ending.served_hint,
            input_tokens=self._tokens.input_tokens,
            output_tokens=self._tokens.output_tokens,
            cache_read_input_tokens=self._tokens.cache_read_input_tokens,
            cache_write_input_tokens=self._tokens.cache_write_input_tokens,
            reasoning_tokens=self._tokens.reasoning_tokens,
            cost_micros=self._cost_micros,
            unpriced=self._unpriced,
            estimated=self._estimated,
            context_window=self._context_window,
        )
        for observer in self._recorder.observers:
            observer.ended(self._start, end)
        records.append(end)
        return records

    def _records(
        self, facts: Sequence[ResponseFact], msg_id: str, *, last: bool = False
    ) -> list[Record]:
        if not facts and not (self._prompt is not None and (msg_id or last)):
            return []
        now = self._recorder.now()
        records: list[Record] = []
        if self._prompt is not None and (msg_id or last):
            records.append(
                PromptUsage(
                    interception_id=self.id,
                    created_at=now,
                    id=self._recorder.new_id(now),
                    msg_id=msg_id,
                    prompt=self._prompt,
                )
            )
            self._prompt = None
        records.extend(self._record(fact, msg_id, now) for fact in facts)
        for observer in self._recorder.observers:
            observer.recorded(self._start, records)
        return records

    def _record(self, fact: ResponseFact, msg_id: str, now: int) -> Record:
        record_id = self._recorder.new_id(now)
        if isinstance(fact, UsageFact):
            pricing = self._recorder.pricing
            cost = UNPRICED if pricing is None else pricing.cost(self._start, fact)
            basis = self._count(fact, cost)
            return TokenUsage(
                interception_id=self.id,
                created_at=now,
                id=record_id,
                msg_id=msg_id,
                input_tokens=fact.input_tokens,
                output_tokens=fact.output_tokens,
                cache_read_input_tokens=fact.cache_read_input_tokens,
                cache_write_input_tokens=fact.cache_write_input_tokens,
                cost_micros=cost.micros,
                cost_basis=basis,
                price_source=cost.source,
                metadata=fact.metadata(),
            )
        if isinstance(fact, ToolCallFact):
            return ToolUsage(
                interception_id=self.id,
                created_at=now,
                id=record_id,
                msg_id=msg_id,
                tool_call_id=kept_call_id(fact.tool_call_id),
                tool=fact.tool,
                input=fact.input,
                item_id=fact.item_id,
            )
        assert isinstance(fact, ThoughtFact)
        return ModelThought(
            interception_id=self.id,
            created_at=now,
            id=record_id,
            content=fact.content,
            metadata={"source": fact.source},
        )

    def _count(self, usage: UsageFact, cost: Cost) -> CostBasis:
        """Add a response to the interception's sums; returns what its cost rests on."""
        self._has_usage = True
        sums = self._tokens
        self._tokens = UsageFact(
            sums.input_tokens + usage.input_tokens,
            sums.output_tokens + usage.output_tokens,
            sums.cache_read_input_tokens + usage.cache_read_input_tokens,
            sums.cache_write_input_tokens + usage.cache_write_input_tokens,
            sums.reasoning_tokens + usage.reasoning_tokens,
        )
        self._context_window = cost.context_window or self._context_window
        self._estimated += usage.is_estimate
        if cost.micros is None:
            self._unpriced += 1
            return CostBasis.UNPRICED
        self._cost_micros += cost.micros
        return CostBasis.ESTIMATED if usage.is_estimate else CostBasis.WIRE
