"""One recorded exchange: the upstream call, the relay of its answer, and what of it is recorded.

The order that makes the guarantee: every chunk is read before it is passed on, and the chunk that
completes the answer (its terminal event, or its last byte) is passed on only after the end of the
interception is committed. All other chunks go on as they come.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from aigw.errors import StoreError, UpstreamError
from aigw.gateway.answer import Answer, stated_tier
from aigw.gateway.asking import Asking
from aigw.gateway.breaker import FAILURE_STATUSES, Pass
from aigw.gateway.dump import Dump
from aigw.gateway.edits import ChatUsageEdit
from aigw.gateway.errors import error_response
from aigw.gateway.headers import response_headers
from aigw.gateway.http1 import UpstreamAnswer
from aigw.gateway.idle import IdleWatch
from aigw.gateway.response import RelayedResponse, WholeResponse, cut
from aigw.gateway.upstream import Upstream, unread
from aigw.providers.call import Call, Translation
from aigw.providers.provider import ErrorShape
from aigw.recorder import CLIENT_LEFT, GATEWAY_STOPPED, Ending, Interception
from aigw.records import Status
from aigw.wire.apis import Api, is_event_stream
from aigw.wire.eventstream import CONTENT_TYPE as FRAMES
from aigw.wire.facts import Outcome, ResponseFact, UsageFact
from aigw.wire.floor import TIERS_BELOW, request_tokens

_log = logging.getLogger("aigw.gateway")

_NO_BODY = frozenset({204, 304})
_SUCCESS = 2

_GATEWAY_FAILED = Outcome(Status.FAILED, "gateway_error", "the gateway failed; see its log")


class ClientGoneError(Exception):
    """The client closed the connection while it was being written to."""


@dataclass(slots=True)
class _Flow:
    """An answer on its way.

    `is_text` says that its events are lines, which a client may read one by one; half a binary frame
    tells nobody anything. `hold` says that the last byte so far is kept back, in `held`. `pending` is the beginning of a
    terminal event that is not whole yet. `is_special` says that even a
    chunk without facts needs a look: the first one, and all of an edited or counted answer.
    """

    answer: Answer
    response: RelayedResponse
    length: int | None
    hold: bool
    is_text: bool
    held: bytes = b""
    pending: list[bytes] = field(default_factory=list)
    received: int = 0
    is_special: bool = True


class Exchange:
    """Carries one interception from its committed start to its end.

    Args:
        asking: sends the request, with one credential after another where that is needed.
        streaming: whether the client asked for a stream (recorded).
        arrived: when the request arrived, on the monotonic clock.
        edit: the edit that was applied to the request, to be undone on the answer.
        translation: makes the answer one of the client's API, before it is read.
        passing: is told how it went.
        tier: the class of service that the client asked for.
        dump: keeps a copy of what goes by, as it was on the wire.
    """

    __slots__ = (
        "_answer",
        "_api",
        "_arrived",
        "_asking",
        "_call",
        "_dump",
        "_edit",
        "_first_byte",
        "_interception",
        "_is_failure",
        "_passing",
        "_request",
        "_shape",
        "_started",
        "_status",
        "_streaming",
        "_tier",
        "_translation",
        "_upstream",
    )

    def __init__(
        self,
        request: web.BaseRequest,
        interception: Interception,
        asking: Asking,
        upstream: Upstream,
        api: Api,
        shape: ErrorShape,
        *,
        streaming: bool,
        arrived: float,
        passing: Pass,
        tier: str = "",
        edit: ChatUsageEdit | None = None,
        translation: Translation | None = None,
        dump: Dump | None = None,
    ) -> None:
        self._request = request
        self._interception = interception
        self._asking = asking
        self._upstream = upstream
        self._api = api
        self._shape = shape
        self._streaming = streaming
        self._arrived = arrived
        self._passing = passing
        self._tier = tier
        self._edit = edit
        self._translation = translation
        self._dump = dump
        self._status: int | None = None
        self._first_byte: int | None = None
        self._answer: Answer | None = None
        self._call: Call | None = None
        self._started = False
        self._is_failure = False

    async def run(self, call: Call) -> web.StreamResponse:
        """Ask the provider and relay what it says. The interception has ended when this returns."""
        self._call = call
        response: UpstreamAnswer | None = None
        report = self._passing.abandoned
        try:
            response = await self._asking.send(call, self._dump)
            relayed = await self._relay(response)
            report = self._passing.failed if self._is_failure else self._passing.succeeded
            return relayed
        except UpstreamError as error:
            report = self._passing.failed if self._asking.attempts else report
            return await self._refused(error)
        except StoreError as error:
            # The answer's end may not be shown: it would be an answer that nobody recorded.
            _log.error("an answer is cut short: %s", error)
            self._cut_short()
            return error_response(self._shape, 503, "store_unavailable", str(error))
        except ClientGoneError:
            self._abandon(CLIENT_LEFT)
            return web.Response(status=499)
        except asyncio.CancelledError:
            # aiohttp cancels for both: a client that left, and a shutdown that waited long enough.
            self._abandon(GATEWAY_STOPPED if self._upstream.abandoned else CLIENT_LEFT)
            raise
        except BaseException:
            self._abandon(_GATEWAY_FAILED)
            self._cut_short()
            raise
        finally:
            report(time.monotonic())
            if self._dump is not None:
                self._dump.finish()
            if response is not None:
                # Harmless after a whole answer; otherwise it stops the provider at once.
                response.close()
            # It asks this exchange for the input's floor: with both holding each other, the bodies
            # would stay in memory until the garbage collector finds them.
            self._answer = None

    def _cut_short(self) -> None:
        """What has begun as an answer must not look whole."""
        if self._started:
            cut(self._request)

    async def _refused(self, error: UpstreamError) -> web.StreamResponse:
        self._status = error.status
        message = str(error)
        if self._dump is not None:
            self._dump.failed(message)
        try:
            await self._end(Outcome(Status.FAILED, error.kind, message), [])
        except StoreError as failure:
            return error_response(self._shape, 503, "store_unavailable", str(failure))
        return error_response(
            self._shape, error.status, error.kind, message, retry_after=error.retry_after
        )

    async def _relay(self, upstream: UpstreamAnswer) -> web.StreamResponse:
        self._status = upstream.status
        self._is_failure = upstream.status in FAILURE_STATUSES
        if not self._is_failure:
            self._passing.answered(time.monotonic())
        headers: CIMultiDict[str] | CIMultiDictProxy[str] = upstream.headers
        if self._translation is not None:
            headers = self._translation.begin(upstream.status, CIMultiDict(headers))
        content_type = headers.get("Content-Type", "").strip().lower()
        encoding = headers.get("Content-Encoding", "")
        answer = self._answer = Answer(
            self._api,
            upstream.status,
            content_type,
            encoding,
            service_tier=stated_tier(headers),
            input_floor=self._input_floor,
        )
        edit = self._edit
        changed = edit.begin(upstream.status, content_type, encoding) if edit is not None else ()
        length = None if changed else _body_length(upstream, headers)
        relayed = response_headers(headers, changed)
        content = upstream.content
        is_sized = length is not None or (self._translation is not None and not changed)
        if is_sized and content.is_eof() and not content.exception():
            return await self._relay_whole(upstream, answer, relayed)
        response = RelayedResponse(upstream.status, upstream.reason, relayed)
        self._started = True
        await self._sent(response.prepare(self._request))
        # Without events or a length nothing tells which byte is the last: one is kept back.
        hold = length is None and not is_event_stream(content_type)
        is_text = not content_type.startswith(FRAMES)
        flow = _Flow(answer, response, length, hold, is_text)
        with IdleWatch(self._upstream.idle_timeout, upstream.close) as watch:
            try:
                await self._pump(upstream, flow, watch)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure = self._upstream.broken(upstream, error, stalled=watch.expired)
                await self._broken(flow, failure, unread(content))
                return response
        await self._finish(flow)
        return response

    async def _finish(self, flow: _Flow) -> None:
        """All of the provider's bytes are here: release what is left, once the end is committed."""
        if self._translation is not None and (rest := self._translation.finish()):
            await self._pass_on(flow, rest, flow.answer.feed(rest))
        if not self._interception.ended:
            # No terminal event and no known length: the end of the bytes is the end.
            facts = flow.answer.finish()
            await self._end(flow.answer.outcome(), facts)
        rest = b"".join(flow.pending) + flow.held
        if self._edit is not None:
            rest += self._edit.finish()
        if rest:
            await self._write(flow.response, rest)
        await self._sent(flow.response.write_eof())

    async def _relay_whole(
        self, upstream: UpstreamAnswer, answer: Answer, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Relay an answer that came in one piece with its head (or has no body at all)."""
        body = await upstream.content.read()
        if self._dump is not None and not self._asking.is_dumped:
            self._dump.data(body)
        if self._translation is not None:
            body = self._translation.feed(body) + self._translation.finish()
            if upstream.status not in _NO_BODY:
                headers["Content-Length"] = str(len(body))
        self._first_byte = self._elapsed() if body else None
        facts = answer.feed(body) + answer.finish()
        await self._end(answer.outcome(), facts)
        response = WholeResponse(upstream.status, upstream.reason, headers)
        self._started = True
        await self._sent(response.send_whole(self._request, body))
        return response

    async def _pump(self, upstream: UpstreamAnswer, flow: _Flow, watch: IdleWatch) -> None:
        """Pass chunks on until the provider has sent all.

        Most chunks of a stream yield nothing and need nothing: they take the short way here.
        """
        clock = asyncio.get_running_loop().time
        readany = upstream.content.readany
        feed, send, is_text = flow.answer.feed, flow.response.send, flow.is_text
        keep = self._dump.data if self._dump and not self._asking.is_dumped else None
        translate = self._translation.feed if self._translation is not None else None
        watch.since = clock()
        while chunk := await readany():
            watch.since = None
            if keep is not None:
                keep(chunk)
            if translate is not None:
                chunk = translate(chunk)
            facts = feed(chunk)
            if (
                facts
                or flow.is_special
                or flow.answer.ended
                or (is_text and not chunk.endswith(b"\n\n"))
            ):
                await self._pass_on(flow, chunk, facts)
            else:
                try:
                    if send(chunk):
                        await flow.response.drained()
                except (ConnectionError, aiohttp.ClientError) as error:
                    raise ClientGoneError from error
            watch.since = clock()

    async def _pass_on(self, flow: _Flow, chunk: bytes, facts: list[ResponseFact]) -> None:
        """Commit the end if this chunk completes the answer, and only then release it."""
        interception = self._interception
        answer = flow.answer
        flow.received += len(chunk)
        if interception.ended:
            pass
        elif answer.ended or flow.received == flow.length:
            # `finish` first: it may complete what `outcome` then judges.
            facts += answer.finish()
            await self._end(answer.outcome(), facts)
        elif facts or (interception.awaits_response_id and answer.response_id):
            interception.add(facts, answer.response_id)
        if self._edit is not None:
            chunk = self._edit.feed(chunk)
        elif answer.nears_its_end and not interception.ended:
            chunk, kept = (b"", chunk) if flow.pending else answer.split_at_end(chunk)
            flow.pending.append(kept)
        elif flow.pending:
            chunk = b"".join([*flow.pending, chunk])
            flow.pending = []
        if flow.hold:
            chunk, flow.held = flow.held + chunk[:-1], chunk[-1:]
        if chunk:
            await self._write(flow.response, chunk)
            flow.is_special = (
                flow.hold
                or self._edit is not None
                or flow.length is not None
                or interception.awaits_response_id
            )
        if flow.pending:
            flow.is_special = True

    async def _write(self, response: RelayedResponse, data: bytes) -> None:
        if self._first_byte is None:
            self._first_byte = self._elapsed()
        try:
            await response.write(data)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ClientGoneError from error

    async def _broken(self, flow: _Flow, failure: UpstreamError, unread_bytes: bytes) -> None:
        """The provider stopped in the middle: the client must see that, and so must the records."""
        self._is_failure = True
        if self._dump is not None:
            self._dump.data(unread_bytes)
            self._dump.failed(str(failure))
        if self._translation is not None:
            unread_bytes = self._translation.feed(unread_bytes)
        if unread_bytes:
            await self._pass_on(flow, unread_bytes, flow.answer.feed(unread_bytes))
        if not self._interception.ended:
            facts = flow.answer.finish()
            self._add_floor(facts)
            await self._end(Outcome(Status.FAILED, failure.kind, str(failure)), facts)
        if flow.pending:
            await self._write(flow.response, b"".join(flow.pending))
        cut(self._request)

    async def _end(self, outcome: Outcome, facts: list[ResponseFact]) -> None:
        msg_id = self._answer.response_id if self._answer is not None else ""
        await self._interception.end(self._ending(outcome), facts, msg_id)

    def _abandon(self, outcome: Outcome) -> None:
        if self._interception.ended:
            return
        answer = self._answer
        facts = answer.finish() if answer is not None else []
        msg_id = answer.response_id if answer is not None else ""
        self._add_floor(facts)
        self._interception.abandon(self._ending(outcome), facts, msg_id)

    def _add_floor(self, facts: list[ResponseFact]) -> None:
        """Append the least that a request has cost of which nothing was counted."""
        if self._may_be_charged() and not any(isinstance(fact, UsageFact) for fact in facts):
            tier = self._tier if self._tier in TIERS_BELOW else ""
            facts.append(UsageFact(self._input_floor(), 0, service_tier=tier, is_estimate=True))

    def _may_be_charged(self) -> bool:
        """Whether the provider is at work on the request, of which no usage has been recorded."""
        if self._interception.has_usage:
            return False
        return self._asking.is_unanswered or (self._status or 0) // 100 == _SUCCESS

    def _input_floor(self) -> int:
        """The tokens of the request at least, where the provider broke off before it had counted."""
        call = self._call
        if call is None:
            return 0
        return request_tokens(call.body, call.headers.get("Content-Encoding", ""))

    def _ending(self, outcome: Outcome) -> Ending:
        elapsed = self._elapsed()
        first = self._first_byte
        if first is None and self._started:
            # The first bytes are the last ones, and wait for this very ending.
            first = elapsed
        asking = self._asking
        if outcome.error_message:
            message = asking.without_credentials(outcome.error_message)
            outcome = Outcome(outcome.status, outcome.error_type, message)
        return Ending(
            outcome,
            self._status,
            elapsed,
            first,
            self._streaming,
            asking.attempts,
            asking.served_hint,
        )

    def _elapsed(self) -> int:
        return round((time.monotonic() - self._arrived) * 1000)

    @staticmethod
    async def _sent(writing: Awaitable[object]) -> None:
        try:
            await writing
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ClientGoneError from error


def _body_length(upstream: UpstreamAnswer, headers: Mapping[str, str]) -> int | None:
    """How many body bytes will go to the client; None when only their end tells."""
    if upstream.status in _NO_BODY:
        return 0
    if "Transfer-Encoding" in upstream.headers or "Content-Length" not in headers:
        return None
    return upstream.content_length
