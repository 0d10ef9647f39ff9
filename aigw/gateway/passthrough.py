"""Routes that are relayed but not recorded: model lists, token counts, stored responses."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from aiohttp import web

from aigw.errors import RefusedError, UpstreamError
from aigw.gateway.admitted import Admitted
from aigw.gateway.body import BodyTooLargeError, read_body
from aigw.gateway.credentials import remove_credentials
from aigw.gateway.dispatch import Dispatch
from aigw.gateway.dump import Dump, Dumper
from aigw.gateway.errors import error_response
from aigw.gateway.headers import response_headers
from aigw.gateway.http1 import UpstreamAnswer
from aigw.gateway.idle import IdleWatch
from aigw.gateway.relay import too_large
from aigw.gateway.response import RelayedResponse, cut
from aigw.gateway.upstream import Upstream
from aigw.providers.call import Call

_log = logging.getLogger("aigw.gateway")


class PassThrough:
    """Serves the routes that are passed through. Arguments as for `relay.Relay`."""

    def __init__(self, upstream: Upstream, body_limit: int, dumper: Dumper | None = None) -> None:
        self._upstream = upstream
        self._body_limit = body_limit
        self._dumper = dumper

    async def serve(self, admitted: Admitted) -> web.StreamResponse:
        """Relay one request, whatever its method, and the answer as it comes."""
        request, provider, target = admitted.request, admitted.provider, admitted.target
        try:
            body = await read_body(request, self._body_limit)
        except BodyTooLargeError:
            return too_large(target, self._body_limit)
        if admitted.central:
            remove_credentials(provider, admitted.headers)
        url = provider.base_url + target.path + admitted.query
        call = Call(request.method, url, admitted.headers, body)
        for name, value in provider.headers.items():
            call.headers[name] = value
        return await self._send(admitted, call)

    async def _send(self, admitted: Admitted, call: Call) -> web.StreamResponse:
        shape = admitted.target.shape
        dump = None
        if self._dumper is not None:
            dump = self._dumper.begin(admitted.provider.name, "", None, admitted.target.path)
        answer: UpstreamAnswer | None = None
        try:
            dispatch = Dispatch(self._upstream, admitted.provider, central=admitted.central)
            answer = await dispatch.send(call, dump)
            return await _relay(admitted.request, answer, self._upstream, dump)
        except UpstreamError as error:
            if dump is not None:
                dump.failed(str(error))
            return error_response(
                shape, error.status, error.kind, str(error), retry_after=error.retry_after
            )
        except (aiohttp.ClientError, ConnectionError):
            # Reading has its own handling in there: this is the client, who has left.
            return web.Response(status=499)
        finally:
            if dump is not None:
                dump.finish()
            if answer is not None:
                answer.close()


async def _relay(
    request: web.BaseRequest, answer: UpstreamAnswer, upstream: Upstream, dump: Dump | None
) -> web.StreamResponse:
    response = RelayedResponse(answer.status, answer.reason, response_headers(answer.headers))
    await response.prepare(request)
    clock = asyncio.get_running_loop().time
    with IdleWatch(upstream.idle_timeout, answer.close) as watch:
        while True:
            watch.since = clock()
            try:
                chunk = await answer.content.readany()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure = upstream.broken(answer, error, stalled=watch.expired)
                _log.warning("%s", failure)
                if dump is not None:
                    dump.failed(str(failure))
                cut(request)
                return response
            if not chunk:
                break
            watch.since = None
            if dump is not None:
                dump.data(chunk)
            await response.write(chunk)
    await response.write_eof()
    return response
