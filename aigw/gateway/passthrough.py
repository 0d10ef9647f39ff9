"""Routes that are relayed but not recorded: model lists, token counts, stored responses."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from aiohttp import web

from aigw.errors import UpstreamError
from aigw.gateway.body import BodyTooLargeError, read_body
from aigw.gateway.credentials import apply_credential
from aigw.gateway.errors import error_response
from aigw.gateway.headers import request_headers, response_headers
from aigw.gateway.http1 import UpstreamAnswer
from aigw.gateway.idle import IdleWatch
from aigw.gateway.relay import too_large
from aigw.gateway.response import RelayedResponse, cut
from aigw.gateway.upstream import Upstream
from aigw.providers.call import Call
from aigw.providers.provider import Provider, Target

_log = logging.getLogger("aigw.gateway")


async def pass_through(
    request: web.BaseRequest,
    provider: Provider,
    target: Target,
    query: str,
    upstream: Upstream,
    body_limit: int,
) -> web.StreamResponse:
    """Relay one request, whatever its method, and the answer as it comes."""
    try:
        body = await read_body(request, body_limit)
    except BodyTooLargeError:
        return too_large(provider, body_limit)
    url = provider.base_url + target.path + query
    call = Call(request.method, url, request_headers(request.headers), body)
    await apply_credential(provider, call)
    try:
        answer = await upstream.send(call.method, call.url, call.headers, call.body)
    except UpstreamError as error:
        return error_response(provider.type.error_shape, error.status, error.kind, str(error))
    try:
        return await _relay(request, answer, upstream)
    except (aiohttp.ClientError, ConnectionError):
        # Reading has its own handling in there: this is the client, who has left.
        return web.Response(status=499)
    finally:
        answer.close()


async def _relay(
    request: web.BaseRequest, answer: UpstreamAnswer, upstream: Upstream
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
                _log.warning("%s", upstream.broken(answer, error, stalled=watch.expired))
                cut(request)
                return response
            if not chunk:
                break
            watch.since = None
            await response.write(chunk)
    await response.write_eof()
    return response
