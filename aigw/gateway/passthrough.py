"""Routes that are relayed but not recorded: model lists, token counts, stored responses."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from aigw.errors import UpstreamError
from aigw.gateway.body import BodyTooLargeError, read_body
from aigw.gateway.credentials import apply_credential
from aigw.gateway.errors import error_response
from aigw.gateway.exchange import BROKEN
from aigw.gateway.headers import request_headers, response_headers
from aigw.gateway.relay import Limits, too_large
from aigw.gateway.response import RelayedResponse, cut
from aigw.gateway.upstream import Upstream
from aigw.providers.provider import Provider, Target

_log = logging.getLogger("aigw.gateway")


async def pass_through(
    request: web.BaseRequest,
    provider: Provider,
    target: Target,
    query: str,
    upstream: Upstream,
    limits: Limits,
) -> web.StreamResponse:
    """Relay one request, whatever its method, and the answer as it comes."""
    try:
        body = await read_body(request, limits.body_bytes)
    except BodyTooLargeError:
        return too_large(provider, limits.body_bytes)
    headers = request_headers(request.headers)
    apply_credential(provider, headers)
    url = provider.base_url + target.path + query
    try:
        answer = await upstream.send(request.method, url, headers, body)
    except UpstreamError as error:
        return error_response(provider.type.error_shape, error.status, error.kind, str(error))
    try:
        response = RelayedResponse(answer.status, answer.reason, response_headers(answer.headers))
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        except BROKEN as error:
            if not isinstance(error, ConnectionError):
                _log.warning("an answer of %s broke off: %s", provider.name, type(error).__name__)
            cut(request)
            return response
        await response.write_eof()
        return response
    except asyncio.CancelledError:
        cut(request)
        raise
    finally:
        answer.close()
