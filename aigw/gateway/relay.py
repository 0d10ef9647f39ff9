"""Taking a client's request: reading it, recording its start, and handing it to an exchange."""

from __future__ import annotations

import time
from functools import partial

from aiohttp import web

from aigw.clients.detection import detect
from aigw.errors import StoreError
from aigw.gateway.body import BodyTooLargeError, read_aside, read_body, readable_copy
from aigw.gateway.credentials import apply_credential
from aigw.gateway.edits import ChatUsageEdit
from aigw.gateway.errors import error_response
from aigw.gateway.exchange import Exchange
from aigw.gateway.headers import request_headers
from aigw.gateway.upstream import Upstream
from aigw.providers.call import Call
from aigw.providers.provider import Provider, Target
from aigw.recorder import Interception, Recorder
from aigw.records import InterceptionStart
from aigw.wire.apis import Api, read_request
from aigw.wire.facts import RequestFacts

LOCAL_USER = "local"
"""The initiator in open mode: whoever uses this machine."""

MODEL_CHARACTERS = 512
"""As much of a model's name is recorded: no provider has one a quarter as long, and a client could
otherwise make every record of its interception as long as a body may be."""


class Relay:
    """Serves the intercepted routes. `body_limit` is the longest body accepted, in bytes."""

    def __init__(self, recorder: Recorder, upstream: Upstream, body_limit: int) -> None:
        self._recorder = recorder
        self._upstream = upstream
        self._body_limit = body_limit

    async def serve(
        self, request: web.BaseRequest, provider: Provider, target: Target, api: Api, query: str
    ) -> web.StreamResponse:
        """Relay one request and record it. `query` is the raw query string with its `?`, or empty."""
        arrived = time.monotonic()
        shape = provider.type.error_shape
        try:
            body = await read_body(request, self._body_limit)
        except BodyTooLargeError:
            return too_large(provider, self._body_limit)
        encoding = request.headers.get("Content-Encoding", "")
        plain = await readable_copy(body, encoding, self._body_limit)
        facts = await read_aside(partial(read_request, api), plain)
        call = Call(
            "POST", provider.base_url + target.path + query, request_headers(request.headers), body
        )
        # Before the start: from there on nothing may be awaited that a cancellation could lose.
        edit = await _edit(facts, plain, call)
        try:
            interception = await self._start(request, provider, target, facts, call)
        except StoreError as error:
            return error_response(shape, 503, "store_unavailable", str(error))
        exchange = Exchange(
            request,
            interception,
            self._upstream,
            api,
            shape,
            streaming=facts.streaming,
            arrived=arrived,
            edit=edit,
        )
        return await exchange.run(call)

    async def _start(
        self,
        request: web.BaseRequest,
        provider: Provider,
        target: Target,
        facts: RequestFacts,
        call: Call,
    ) -> Interception:
        headers = request.headers
        credential = await apply_credential(provider, call)
        client = detect(headers, facts.session_key, facts.prompt_cache_key)
        now = self._recorder.now()
        agent = headers.get("User-Agent")
        start = InterceptionStart(
            interception_id=self._recorder.new_id(now),
            started_at=now,
            initiator_id=LOCAL_USER,
            provider=provider.type.name,
            provider_name=provider.name,
            route=target.route,
            model=facts.model[:MODEL_CHARACTERS],
            client=client.name,
            client_session_id=client.session_id,
            correlating_tool_call_id=facts.correlating_tool_call_id,
            credential_kind=credential.kind,
            credential_hint=credential.hint,
            metadata={"request_user_agent": _clean(agent)} if agent else {},
        )
        return await self._recorder.start(
            start, prompt=facts.prompt, tool_results=facts.tool_results
        )


def too_large(provider: Provider, limit: int) -> web.StreamResponse:
    """The answer to a body over the limit; the connection ends, as the rest is not read."""
    response = error_response(
        provider.type.error_shape,
        413,
        "request_too_large",
        f"the request body exceeds {limit} bytes; raise --max-body-size to allow it",
    )
    response.force_close()
    return response


async def _edit(facts: RequestFacts, plain: bytes, call: Call) -> ChatUsageEdit | None:
    if not facts.lacks_usage:
        return None
    edit = ChatUsageEdit()
    body = await edit.apply(plain, call.headers)
    if body is None:
        return None
    call.body = body
    return edit


def _clean(text: str) -> str:
    """A header as text the store can hold: bytes that are not UTF-8 arrive as lone surrogates."""
    return text[:1024].encode("utf-8", "replace").decode()
