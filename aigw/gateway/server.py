"""The listener's one handler: who asks, for what, and who serves it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from aiohttp import web

from aigw.errors import AuthError, RefusedError
from aigw.gateway.admission import check_provider, uses_central
from aigw.gateway.admitted import Admitted
from aigw.gateway.auth import LOCAL, Caller, authenticate, strip_gateway_credentials, strip_query
from aigw.gateway.configuration import Configuration
from aigw.gateway.errors import error_response, refused
from aigw.gateway.headers import request_headers
from aigw.gateway.limits import Limits
from aigw.gateway.origin import refusal
from aigw.gateway.pages import LOCAL as EVERYBODY
from aigw.gateway.pages import Viewer
from aigw.gateway.passthrough import PassThrough
from aigw.gateway.relay import Relay
from aigw.gateway.ways import Way, Ways
from aigw.providers.provider import Provider, Target
from aigw.store.key_ring import KeyRing
from aigw.telemetry.metrics import Metrics

_log = logging.getLogger("aigw.gateway")


class LocalPages(Protocol):
    """The gateway's own pages: health, status, the read API."""

    async def respond(
        self, request: web.BaseRequest, path: str, viewer: Viewer | AuthError
    ) -> web.StreamResponse | None:
        """The answer for a path, or None where there is no such page."""


class Server:
    """Serves requests: `handle` is what aiohttp calls for each, `use` changes what it goes by."""

    def __init__(
        self,
        configuration: Configuration,
        keys: KeyRing,
        limits: Limits,
        relay: Relay,
        passed: PassThrough,
        pages: LocalPages,
        metrics: Metrics,
    ) -> None:
        self.use(configuration)
        self._keys = keys
        self._limits = limits
        self._relay = relay
        self._passed = passed
        self._pages = pages
        self._metrics = metrics
        self._is_open: bool | None = None

    def use(self, configuration: Configuration) -> None:
        """Go by another configuration from the next request on; those in flight keep theirs."""
        self._configuration = configuration
        self._ways = Ways(configuration)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever goes wrong inside becomes a 500 in the API's own shape."""
        way = self._ways.find(request.raw_path.partition("?")[0])
        shape = way.shape
        try:
            return await self._answer(request, way)
        except RefusedError as error:
            name = way.provider.name if way.provider is not None else "none"
            _log.info(
                "refused %s from %s, provider %s: %d %s",
                request.method, request.remote, name, error.status, error.code,
            )  # fmt: skip
            return refused(shape, error)
        except web.RequestPayloadError:
            return error_response(
                shape, 400, "bad_request", "the request's body is not framed as HTTP says"
            )
        except Exception:  # noqa: BLE001 (nothing may escape to aiohttp's HTML page)
            _log.exception("serving a request failed")
            return error_response(
                shape, 500, "gateway_error", "the gateway failed; its log has the details"
            )

    async def _answer(self, request: web.BaseRequest, way: Way) -> web.StreamResponse:
        provider, rest, target = way.provider, way.rest, way.target
        is_open = self._is_open
        if is_open is None:
            is_open = self._look()
        if is_open and (reason := refusal(request.headers)) is not None:
            raise RefusedError(403, "forbidden", reason)
        if provider is None:
            return await self._local(request, rest, is_open=is_open)
        if request.method == "HEAD" and rest.rstrip("/") in {"", provider.type.prefix}:
            # Claude Code asks this before its first request, to see whether anyone listens.
            return web.Response()
        caller = LOCAL if is_open else authenticate(request.headers, self._keys)
        if target is None:
            raise _not_supported(request, rest)
        if way.has_key:
            raise RefusedError(
                400, "key_in_path", "the path holds a gateway key: send it in a header"
            )
        return await self._serve(request, caller, provider, target)

    def _look(self) -> bool:
        """Whether requests need no key: for all those that the event loop hands out in one go.

        Each time is a look at the store, which costs most right after the gateway's own commits. A
        request that is sent when a key has been made is read later than this, so it needs the key.
        """
        self._is_open = is_open = self._keys.is_open
        asyncio.get_running_loop().call_soon(self._forget_look)
        return is_open

    def _forget_look(self) -> None:
        self._is_open = None

    async def _local(
        self, request: web.BaseRequest, path: str, *, is_open: bool
    ) -> web.StreamResponse:
        if (name := self._ways.names_disabled(path)) is not None:
            raise RefusedError(403, "provider_disabled", f"the provider {name} is switched off")
        viewer: Viewer | AuthError = EVERYBODY
        if not is_open:
            try:
                viewer = _viewer(authenticate(request.headers, self._keys, read_api=True))
            except AuthError as error:
                viewer = error
        response = await self._pages.respond(request, path, viewer)
        if response is None:
            raise _not_supported(request, path)
        return response

    async def _serve(
        self,
        request: web.BaseRequest,
        caller: Caller,
        provider: Provider,
        target: Target,
    ) -> web.StreamResponse:
        configuration = self._configuration
        check_provider(provider, caller)
        headers = request_headers(request.headers)
        strip_gateway_credentials(headers, caller)
        central = uses_central(provider, caller, headers)
        if central and target.pattern in _LISTS and request.method not in _READING:
            # With a central key anybody could delete the company's own models.
            raise _wrong_method(request, target, "GET")
        _, mark, query = request.raw_path.partition("?")
        told = target.api is not None and provider.type.family != "copilot"
        actor = configuration.actor if told else configuration.actor_removal
        actor.apply(headers, caller.initiator_id, caller.username, caller.email)
        admitted = Admitted(
            request, provider, target, caller, strip_query(mark + query), headers, central
        )
        who = self._within_limits(request, caller)
        try:
            if target.api is None:
                self._metrics.passed_through(provider.name, target.pattern, request.method)
                return await self._passed.serve(admitted)
            if request.method != "POST":
                raise _wrong_method(request, target, "POST")
            return await self._relay.serve(admitted)
        finally:
            self._limits.release(who)

    def _within_limits(self, request: web.BaseRequest, caller: Caller) -> str:
        """Count the request against the limits; whose it is, for giving its place back.

        Raises:
            RefusedError: it is one too many.
        """
        key = caller.key
        limits = self._limits
        who = key.id if key is not None else ""
        if key is None and limits.rate_limit:
            # Without a rate the address counts for nothing, and it takes a while to find out.
            who = request.remote or ""
        over = limits.admit(
            who,
            key.rate_limit if key is not None else None,
            key.max_concurrency if key is not None else None,
            time.monotonic(),
        )
        if over is not None:
            self._metrics.limits.rejected(over.limit)
            raise RefusedError(over.status, over.code, over.message, retry_after=over.retry_after)
        return who


def _viewer(caller: Caller) -> Viewer:
    """Admins see everybody's records, others their own."""
    own = caller.initiator_id
    return Viewer(None, is_admin=True, me=own) if caller.is_admin else Viewer(own)


def _not_supported(request: web.BaseRequest, path: str) -> RefusedError:
    message = f"route not supported: {request.method} {path or '/'}"
    return RefusedError(404, "route_not_supported", message)


def _wrong_method(request: web.BaseRequest, target: Target, right: str) -> RefusedError:
    message = f"{request.method} is not allowed on {target.route}: use {right}"
    return RefusedError(405, "method_not_allowed", message, allow=right)


_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_LISTS = frozenset({"/models", "/models/*", "/v1/models", "/v1/models/*"})
"""Routes that are only read with a central key."""
