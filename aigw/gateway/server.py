"""The listener's one handler: who asks, for what, and who serves it."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Protocol

from aiohttp import web

from aigw.errors import AuthError, RefusedError
from aigw.gateway.admission import check_provider, uses_central
from aigw.gateway.admitted import Admitted
from aigw.gateway.auth import Caller, authenticate, strip_gateway_credentials, strip_query
from aigw.gateway.configuration import Configuration
from aigw.gateway.errors import error_response, refused
from aigw.gateway.headers import request_headers
from aigw.gateway.limits import Limits
from aigw.gateway.origin import refusal
from aigw.gateway.pages import LOCAL, Viewer
from aigw.gateway.passthrough import PassThrough
from aigw.gateway.relay import Relay
from aigw.providers.provider import ErrorShape, Provider, Target, find_target
from aigw.store.key_ring import KeyRing
from aigw.telemetry.metrics import Metrics

_log = logging.getLogger("aigw.gateway")

PREFIXES = ("/api/v2/aibridge/", "/api/v2/ai-gateway/", "/")
"""Where providers are reached: Coder's path, its later name, and the short form."""


class LocalPages(Protocol):
    """The gateway's own pages: health, status, the read API."""

    async def respond(
        self, request: web.BaseRequest, path: str, viewer: Viewer | None
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
        self._configuration = configuration
        self._keys = keys
        self._limits = limits
        self._relay = relay
        self._passed = passed
        self._pages = pages
        self._metrics = metrics

    def use(self, configuration: Configuration) -> None:
        """Go by another configuration from the next request on; those in flight keep theirs."""
        self._configuration = configuration

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever goes wrong inside becomes a 500 in the API's own shape."""
        configuration = self._configuration
        path, mark, query = request.raw_path.partition("?")
        provider, rest = _provider(configuration, path)
        target = find_target(provider.type, rest) if provider is not None else None
        shape = _shape(provider, target)
        try:
            if self._keys.is_open and (reason := refusal(request.headers)) is not None:
                return error_response(shape, 403, "forbidden", reason)
            if provider is None:
                return await self._local(request, path, shape)
            return await self._serve(configuration, request, provider, target, rest, mark + query)
        except RefusedError as error:
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

    async def _local(
        self, request: web.BaseRequest, path: str, shape: ErrorShape
    ) -> web.StreamResponse:
        viewer = None
        with contextlib.suppress(AuthError):
            caller = authenticate(request.headers, self._keys, read_api=True)
            viewer = _viewer(caller)
        response = await self._pages.respond(request, path, viewer)
        return response if response is not None else _not_supported(request, path, shape)

    async def _serve(
        self,
        configuration: Configuration,
        request: web.BaseRequest,
        provider: Provider,
        target: Target | None,
        rest: str,
        query: str,
    ) -> web.StreamResponse:
        if request.method == "HEAD" and rest.rstrip("/") in {"", provider.type.prefix}:
            # Claude Code asks this before its first request, to see whether anyone listens.
            return web.Response()
        caller = authenticate(request.headers, self._keys)
        if provider.name in configuration.disabled:
            raise RefusedError(
                403, "provider_disabled", f"the provider {provider.name} is disabled"
            )
        if target is None:
            return _not_supported(request, rest, provider.type.error_shape)
        check_provider(provider, caller)
        headers = request_headers(request.headers)
        strip_gateway_credentials(headers, caller)
        central = uses_central(provider, caller, headers, allow_byok=configuration.allow_byok)
        told = target.api is not None and provider.type.family != "copilot"
        actor = configuration.actor if told else configuration.actor_removal
        actor.apply(headers, caller.initiator_id, caller.username, caller.email)
        admitted = Admitted(request, provider, target, caller, strip_query(query), headers, central)
        who = self._within_limits(request, caller)
        try:
            if target.api is None:
                self._metrics.passed_through(provider.name, target.pattern, request.method)
                return await self._passed.serve(admitted)
            if request.method != "POST":
                return _wrong_method(request, target)
            return await self._relay.serve(admitted)
        finally:
            self._limits.release(who)

    def _within_limits(self, request: web.BaseRequest, caller: Caller) -> str:
        """Count the request against the limits; whose it is, for giving its place back.

        Raises:
            RefusedError: it is one too many.
        """
        key = caller.key
        who = key.id if key is not None else request.remote or ""
        over = self._limits.admit(
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
    """Admins see everybody's records, and so does the local user while there are no keys."""
    if caller.key is None:
        return LOCAL
    own = caller.initiator_id
    return Viewer(None, is_admin=True, me=own) if caller.is_admin else Viewer(own)


def _provider(configuration: Configuration, path: str) -> tuple[Provider | None, str]:
    """The provider a path names and the path after its name."""
    for prefix in PREFIXES:
        if path.startswith(prefix):
            name, slash, rest = path[len(prefix) :].partition("/")
            provider = configuration.providers.get(name)
            if provider is not None:
                return provider, slash + rest
    return None, path


def _shape(provider: Provider | None, target: Target | None) -> ErrorShape:
    if target is not None:
        return target.shape
    return provider.type.error_shape if provider is not None else ErrorShape.OPENAI


def _not_supported(request: web.BaseRequest, path: str, shape: ErrorShape) -> web.Response:
    message = f"route not supported: {request.method} {path or '/'}"
    return error_response(shape, 404, "route_not_supported", message)


def _wrong_method(request: web.BaseRequest, target: Target) -> web.Response:
    return error_response(
        target.shape,
        405,
        "method_not_allowed",
        f"{request.method} is not allowed on {target.route}: use POST",
        {"Allow": "POST"},
    )
