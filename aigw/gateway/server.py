"""The listener's one handler: who asks, for what, and who serves it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from aigw.gateway.configuration import Configuration
from aigw.gateway.errors import error_response
from aigw.gateway.origin import refusal
from aigw.gateway.pages import LOCAL, Viewer
from aigw.gateway.passthrough import pass_through
from aigw.gateway.relay import Relay
from aigw.gateway.upstream import Upstream
from aigw.providers.provider import ErrorShape, Provider, Target, find_target
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
    """Serves requests: `handle` is what aiohttp calls for each."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        relay: Relay,
        upstream: Upstream,
        body_limit: int,
        pages: LocalPages,
        metrics: Metrics,
    ) -> None:
        self._providers = providers
        self._relay = relay
        self._upstream = upstream
        self._body_limit = body_limit
        self._pages = pages
        self._metrics = metrics

    def use(self, configuration: Configuration) -> None:
        """Serve requests that begin from now on by another configuration."""
        self._providers = configuration.providers

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever goes wrong inside becomes a 500 in the API's own shape."""
        path, mark, query = request.raw_path.partition("?")
        provider, rest = self._provider(path)
        shape = provider.type.error_shape if provider else ErrorShape.OPENAI
        try:
            reason = refusal(request.headers)
            if reason is not None:
                return error_response(shape, 403, "forbidden", reason)
            if provider is None:
                return await self._local(request, path, shape)
            return await self._serve(request, provider, rest, mark + query)
        except web.RequestPayloadError:
            return error_response(
                shape, 400, "bad_request", "the request's body is not framed as HTTP says"
            )
        except Exception:  # noqa: BLE001 (nothing may escape to aiohttp's HTML page)
            _log.exception("serving a request failed")
            return error_response(
                shape, 500, "gateway_error", "the gateway failed; its log has the details"
            )

    def _provider(self, path: str) -> tuple[Provider | None, str]:
        """The provider a path names and the path after its name."""
        for prefix in PREFIXES:
            if path.startswith(prefix):
                name, slash, rest = path[len(prefix) :].partition("/")
                provider = self._providers.get(name)
                if provider is not None:
                    return provider, slash + rest
        return None, path

    async def _local(
        self, request: web.BaseRequest, path: str, shape: ErrorShape
    ) -> web.StreamResponse:
        response = await self._pages.respond(request, path, LOCAL)
        return response if response is not None else _not_supported(request, path, shape)

    async def _serve(
        self, request: web.BaseRequest, provider: Provider, rest: str, query: str
    ) -> web.StreamResponse:
        shape = provider.type.error_shape
        if request.method == "HEAD" and rest.rstrip("/") in {"", provider.type.prefix}:
            # Claude Code asks this before its first request, to see whether anyone listens.
            return web.Response()
        target = find_target(provider.type, rest)
        if target is None:
            return _not_supported(request, rest, shape)
        if target.api is None:
            self._metrics.passed_through(provider.name, target.pattern, request.method)
            return await pass_through(
                request, provider, target, query, self._upstream, self._body_limit
            )
        if request.method != "POST":
            return _wrong_method(request, target, shape)
        return await self._relay.serve(request, provider, target, target.api, query)


def _not_supported(request: web.BaseRequest, path: str, shape: ErrorShape) -> web.Response:
    message = f"route not supported: {request.method} {path or '/'}"
    return error_response(shape, 404, "route_not_supported", message)


def _wrong_method(request: web.BaseRequest, target: Target, shape: ErrorShape) -> web.Response:
    return error_response(
        shape,
        405,
        "method_not_allowed",
        f"{request.method} is not allowed on {target.route}: use POST",
        {"Allow": "POST"},
    )
