"""Routes that are relayed but not recorded: model lists, token counts, stored responses."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import aiohttp
from aiohttp import web

from aigw.errors import RefusedError, UpstreamError
from aigw.gateway.admitted import Admitted
from aigw.gateway.asking import Asking
from aigw.gateway.body import BodyTooLargeError, read_aside, read_body, readable_copy
from aigw.gateway.credentials import remove_credentials
from aigw.gateway.dispatch import Dispatch
from aigw.gateway.dump import Dump, Dumper
from aigw.gateway.errors import error_response
from aigw.gateway.headers import response_headers
from aigw.gateway.http1 import UpstreamAnswer
from aigw.gateway.idle import IdleWatch
from aigw.gateway.preparation import choose_model, has_model_rules, rename_model
from aigw.gateway.relay import too_large
from aigw.gateway.response import RelayedResponse, cut
from aigw.gateway.upstream import Upstream
from aigw.providers.bedrock import Bedrock
from aigw.providers.bedrock_answers import LocalAnswer
from aigw.providers.call import Call
from aigw.providers.model_rules import names_one_model
from aigw.wire.apis import Api, read_request

_log = logging.getLogger("aigw.gateway")

COUNT_TOKENS = "/v1/messages/count_tokens"

COUNT_LIMIT = 64 * 1024
"""Bytes of Bedrock's answer to a count of tokens: a number, or an error of some lines."""


class PassThrough:
    """Serves the routes that are passed through. Arguments as for `relay.Relay`."""

    def __init__(self, upstream: Upstream, body_limit: int, dumper: Dumper | None = None) -> None:
        self._upstream = upstream
        self._dispatch = Dispatch(upstream)
        self._body_limit = body_limit
        self._dumper = dumper

    async def serve(self, admitted: Admitted) -> web.StreamResponse:
        """Relay one request, whatever its method, and the answer as it comes."""
        request, provider, target = admitted.request, admitted.provider, admitted.target
        bedrock = provider.bedrock
        if bedrock is not None and (local := bedrock.local_answer(target.path)) is not None:
            return _json(local)
        try:
            body = await read_body(request, self._body_limit)
        except BodyTooLargeError:
            return too_large(target, self._body_limit)
        if admitted.central:
            remove_credentials(provider, admitted.headers)
        url = provider.base_url + target.path + admitted.query
        call = Call(request.method, url, admitted.headers, body)
        if has_model_rules(admitted):
            if target.model:
                await choose_model(admitted, target.model, b"")
            if body:
                await self._apply_rules(admitted, call)
        if bedrock is not None and target.pattern == COUNT_TOKENS:
            return await self._count(admitted, bedrock, call)
        if bedrock is not None:
            call.url = target.path + admitted.query
            call = bedrock.resign(call)
        for name, value in provider.headers.items():
            call.headers[name] = value
        return await self._send(admitted, call)

    async def _apply_rules(self, admitted: Admitted, call: Call) -> None:
        """Judge the model that a body names, be it only to count its tokens or to sum it up.

        Raises:
            RefusedError: a rule does not allow it, or nobody can tell which model it is.
        """
        encoding = call.headers.get("Content-Encoding", "")
        plain = await readable_copy(call.body, encoding, self._body_limit)
        if not plain:
            raise RefusedError(
                400,
                "unreadable_body",
                f"the provider {admitted.provider.name} has rules for models, and a body with the "
                f"content coding {encoding!r} cannot be read",
            )
        requested = (await read_aside(partial(read_request, Api.RESPONSES), plain)).model
        if not requested and await read_aside(names_one_model, plain):
            return
        model, _ = await choose_model(admitted, requested, plain)
        if model != requested:
            await rename_model(call, plain, model)

    async def _count(self, admitted: Admitted, bedrock: Bedrock, call: Call) -> web.StreamResponse:
        """Have Bedrock count tokens for a client of Anthropic's API."""
        encoding = call.headers.get("Content-Encoding", "")
        plain = await readable_copy(call.body, encoding, self._body_limit)
        model = read_request(Api.MESSAGES, plain).model
        query = admitted.query.removeprefix("?")
        try:
            asked = bedrock.translate_count(plain, call.headers, model, query).call()
        except ValueError as error:
            return error_response(admitted.target.shape, 400, "invalid_body", str(error))
        for name, value in admitted.provider.headers.items():
            asked.headers[name] = value
        return await self._send(admitted, asked, bedrock)

    async def _send(
        self, admitted: Admitted, call: Call, counting: Bedrock | None = None
    ) -> web.StreamResponse:
        shape = admitted.target.shape
        dump = None
        if self._dumper is not None:
            provider = admitted.provider
            path = admitted.target.path
            dump = self._dumper.begin(provider.name, "", None, path, provider.headers)
        answer: UpstreamAnswer | None = None
        try:
            asking = Asking(self._dispatch, admitted.provider, central=admitted.central)
            answer = await asking.send(call, dump)
            rest = None if asking.is_dumped else dump
            if counting is not None:
                body = await _whole(answer, rest)
                return _json(counting.count_answer(answer.status, body))
            return await self._relay(admitted.request, answer, rest)
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
        self, request: web.BaseRequest, answer: UpstreamAnswer, dump: Dump | None
    ) -> web.StreamResponse:
        response = RelayedResponse(answer.status, answer.reason, response_headers(answer.headers))
        await response.prepare(request)
        clock = asyncio.get_running_loop().time
        with IdleWatch(self._upstream.idle_timeout, answer.close) as watch:
            while True:
                watch.since = clock()
                try:
                    chunk = await answer.content.readany()
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    failure = self._upstream.broken(answer, error, stalled=watch.expired)
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


async def _whole(answer: UpstreamAnswer, dump: Dump | None) -> bytes:
    """A short answer's body.

    Raises:
        UpstreamError: it broke off.
    """
    body = b""
    try:
        while len(body) < COUNT_LIMIT and (chunk := await answer.content.readany()):
            body += chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Upstream.broken(answer, error, stalled=False) from error
    if dump is not None:
        dump.data(body)
    return body


def _json(answer: LocalAnswer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, content_type="application/json")
