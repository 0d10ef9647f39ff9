"""Why there is no answer, or no more of it: what aiohttp raises, as an error for the client."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from aigw.errors import UpstreamError
from aigw.gateway.http1 import InvalidAnswerError

_Words = Callable[[str, Exception], str]

# Most specific first. Each: what was raised, the client's status, the error's kind, the words.
_FAULTS: tuple[tuple[tuple[type[Exception], ...], int, str, _Words], ...] = (
    (
        (aiohttp.ConnectionTimeoutError,),
        504,
        "upstream_timeout",
        lambda host, _: f"no connection to {host} within the connect timeout",
    ),
    (
        (TimeoutError,),
        504,
        "upstream_timeout",
        lambda host, _: f"{host} sent nothing for as long as the idle timeout allows",
    ),
    (
        (aiohttp.ClientConnectorDNSError,),
        502,
        "upstream_unreachable",
        lambda host, _: f"the host name of {host} cannot be resolved",
    ),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError),
        502,
        "upstream_tls",
        lambda host, error: f"TLS with {host} failed: {_cause(error)}",
    ),
    (
        (aiohttp.ClientHttpProxyError, aiohttp.ClientProxyConnectionError),
        502,
        "upstream_proxy",
        lambda host, error: f"the HTTP proxy on the way to {host} failed: {_cause(error)}",
    ),
    (
        (aiohttp.ClientConnectorError,),
        502,
        "upstream_unreachable",
        lambda host, error: f"cannot connect to {host}: {_cause(error)}",
    ),
    (
        (InvalidAnswerError,),
        502,
        "upstream_invalid",
        lambda host, _: f"{host} sent something that is not a valid HTTP answer",
    ),
    (
        (Exception,),
        502,
        "upstream_disconnected",
        lambda host, _: f"{host} closed the connection early",
    ),
)


def upstream_error(host: str, error: Exception) -> UpstreamError:
    """The error a client gets for what was raised; its message names the host but no secret."""
    for kinds, status, kind, words in _FAULTS:
        if isinstance(error, kinds):
            return UpstreamError(status, kind, words(host, error))
    raise AssertionError


def _cause(error: Exception) -> str:
    """The system's words, without URLs, which may hold a proxy's password."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answered {error.status}"
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return getattr(inner, "strerror", None) or type(inner).__name__
