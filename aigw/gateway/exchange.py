"""One recorded exchange: the upstream call, the relay of its answer, and what of it is recorded.

The order that makes the guarantee: every chunk is read before it is passed on, and the chunk that
completes the answer (its terminal event, or its last byte) is passed on only after the end of the
interception is committed. All other chunks go on as they come.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from aigw.errors import StoreError, UpstreamError
from aigw.gateway.answer import Answer
from aigw.gateway.edits import ChatUsageEdit
from aigw.gateway.errors import error_response
from aigw.gateway.headers import response_headers
from aigw.gateway.response import RelayedResponse, cut
from aigw.gateway.upstream import Upstream, broken_answer
from aigw.providers.provider import ErrorShape
from aigw.records import Status
from aigw.recorder import CLIENT_LEFT, Ending, Interception
from aigw.wire.apis import Api
from aigw.wire.facts import Outcome, ResponseFact

_log = logging.getLogger("aigw.gateway")

class ClientGoneError(Exception):
    """The client closed the connection while it was being written to."""


BROKEN = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What reading an answer raises when the provider breaks off or stalls."""


@dataclass(slots=True)
class Call:
    """An upstream request, ready to be sent."""

    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes


class Exchange:
    """Carries one interception from its committed start to its end."""

    def __init__(
        self,
        request: web.BaseRequest,
        interception: Interception,
        api: Api,
        shape: ErrorShape,
        *,
        streaming: bool,
        arrived: float,
        idle_timeout: float,
        edit: ChatUsageEdit | None,
    ) -> None:
        self._request = request
        self._interception = interception
        self._api = api
        self._shape = shape
        self._streaming = streaming
        self._arrived = arrived
        self._idle_timeout = idle_timeout
        self._edit = edit
        self._status: int | None = None
        self._first_byte: int | None = None
        self._answer: Answer | None = None
        self._started = False
        self._held = b""
        self._received = 0

    async def run(self, upstream: Upstream, call: Call) -> web.StreamResponse:
        """Ask the provider and relay what it says. The interception has ended when this returns."""
        response: aiohttp.ClientResponse | None = None
        try:
            response = await upstream.send(call.method, call.url, call.headers, call.body)
            return await self._relay(response, call.url)
        except UpstreamError as error:
            return await self._refused(error)
        except StoreError as error:
            # The answer's end may not be shown: it would be an answer that nobody recorded.
            _log.error("an answer is cut short: %s", error)  # noqa: TRY400 (no traceback wanted)
            if self._started:
                cut(self._request)
            return error_response(self._shape, 503, "store_unavailable", str(error))
        except ClientGoneError:
            self._abandon()
            return web.Response(status=499)
        except asyncio.CancelledError:
            self._abandon()
            raise
        except BaseException:
            self._abandon(Outcome(Status.FAILED, "gateway_error", "the gateway failed"))
            if self._started:
                cut(self._request)
            raise
        finally:
            if response is not None:
                # Harmless after a whole answer; otherwise it stops the provider at once.
                response.close()

    async def _refused(self, error: UpstreamError) -> web.StreamResponse:
        self._status = error.status
        message = str(error)
        try:
            await self._end(Outcome(Status.FAILED, error.kind, message))
        except StoreError as failure:
            return error_response(self._shape, 503, "store_unavailable", str(failure))
        return error_response(self._shape, error.status, error.kind, message)

    async def _relay(self, upstream: aiohttp.ClientResponse, url: str) -> web.StreamResponse:
        self._status = upstream.status
        content_type = upstream.headers.get("Content-Type", "")
        encoding = upstream.headers.get("Content-Encoding", "")
        self._answer = Answer(self._api, upstream.status, content_type, encoding)
        edit = self._edit
        changed: tuple[str, ...] = ()
        if edit is not None:
            changed = edit.begin(upstream.status, content_type, encoding)
        length = None if changed else _body_length(upstream, self._request.method)
        response = RelayedResponse(
            upstream.status, upstream.reason, response_headers(upstream.headers, changed)
        )
        if length == 0:
            facts = self._answer.finish()
            await self._end(self._answer.outcome(), facts)
        self._started = True
        await response.prepare(self._request)
        try:
            await self._pump(upstream, response, length, content_type)
        except BROKEN as error:
            await self._broken(error, url)
            return response
        if not self._interception.ended:
            # No terminal event and no known length: the end of the bytes is the end.
            facts = self._answer.finish()
            await self._end(self._answer.outcome(), facts)
        rest = self._held + (edit.finish() if edit is not None else b"")
        if rest:
            await self._write(response, rest)
        await response.write_eof()
        return response

    async def _pump(
        self,
        upstream: aiohttp.ClientResponse,
        response: RelayedResponse,
        length: int | None,
        content_type: str,
    ) -> None:
        answer = self._answer
        assert answer is not None
        interception = self._interception
        edit = self._edit
        # Without events or a length nothing tells which byte is the last: keep one back.
        hold = length is None and not content_type.startswith("text/event-stream")
        async for chunk in upstream.content.iter_any():
            self._received += len(chunk)
            facts = answer.feed(chunk)
            if not interception.ended:
                if answer.ended or self._received == length:
                    # `finish` first: it may complete what `outcome` then judges.
                    facts += answer.finish()
                    await self._end(answer.outcome(), facts)
                elif facts or (interception.awaits_response_id and answer.response_id):
                    interception.add(facts, answer.response_id)
            out = chunk if edit is None else edit.feed(chunk)
            if hold:
                out = self._held + out
                out, self._held = out[:-1], out[-1:]
            if out:
                await self._write(response, out)

    async def _write(self, response: RelayedResponse, data: bytes) -> None:
        if self._first_byte is None:
            self._first_byte = self._elapsed()
        try:
            await response.write(data)
        except ConnectionError as error:
            raise ClientGoneError from error

    async def _broken(self, error: Exception, url: str) -> None:
        """The provider stopped in the middle: the client must see that, and so must the records."""
        if not self._interception.ended:
            assert self._answer is not None
            failure = broken_answer(url, error, self._idle_timeout)
            facts = self._answer.finish()
            await self._end(Outcome(Status.FAILED, failure.kind, str(failure)), facts)
        cut(self._request)

    async def _end(self, outcome: Outcome, facts: list[ResponseFact] | None = None) -> None:
        msg_id = self._answer.response_id if self._answer is not None else ""
        await self._interception.end(self._ending(outcome), facts or (), msg_id)

    def _abandon(self, outcome: Outcome = CLIENT_LEFT) -> None:
        if self._interception.ended:
            return
        answer = self._answer
        facts = answer.finish() if answer is not None else []
        msg_id = answer.response_id if answer is not None else ""
        self._interception.abandon(self._ending(outcome), facts, msg_id)

    def _ending(self, outcome: Outcome) -> Ending:
        elapsed = self._elapsed()
        first = self._first_byte
        if first is None and self._received:
            first = elapsed
        return Ending(outcome, self._status, elapsed, first, self._streaming)

    def _elapsed(self) -> int:
        return round((time.monotonic() - self._arrived) * 1000)


def _body_length(upstream: aiohttp.ClientResponse, method: str) -> int | None:
    """How many body bytes will come; None when only their end tells."""
    if method == "HEAD" or upstream.status in {204, 304}:
        return 0
    if "chunked" in upstream.headers.get("Transfer-Encoding", "").lower():
        return None
    return upstream.content_length
