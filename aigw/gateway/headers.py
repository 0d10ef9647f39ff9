"""Which headers cross the gateway. Everything does, but for what belongs to one connection only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110 section 7.6.1, and the two that proxies of old still send."""

GATEWAY_HEADERS = frozenset(
    {
        "x-coder-ai-governance-token",
        "x-coder-ai-governance-request-id",
        "x-ai-bridge-request-id",
        "coder-session-token",
        "x-aigw-control",
    }
)
"""Headers that clients send to the gateway itself: no provider may see them."""

_REQUEST_DROPPED = HOP_BY_HOP | GATEWAY_HEADERS | {"host", "content-length", "expect"}
"""Host, Content-Length and Expect are made anew for the upstream connection."""


def _named_by_connection(headers: Mapping[str, str]) -> frozenset[str]:
    """The headers that `Connection` declares to be of this connection (RFC 9110 section 7.6.1)."""
    value = headers.get("Connection")
    if value is None:
        return frozenset()
    getall = getattr(headers, "getall", None)
    values = [value] if getall is None else getall("Connection")
    if len(values) == 1 and value.lower() in {"keep-alive", "close"}:
        return frozenset()
    return frozenset(name.strip().lower() for value in values for name in value.split(","))


def request_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The client's headers for the provider: order, case and repetition kept."""
    return _without(headers, _REQUEST_DROPPED)


def response_headers(headers: Mapping[str, str], without: Iterable[str] = ()) -> CIMultiDict[str]:
    """The provider's headers for the client; `without` names further ones, in lower case."""
    return _without(headers, HOP_BY_HOP.union(without) if without else HOP_BY_HOP)


def _without(headers: Mapping[str, str], dropped: frozenset[str]) -> CIMultiDict[str]:
    named = _named_by_connection(headers)
    if named:
        dropped |= named
    return CIMultiDict([pair for pair in headers.items() if pair[0].lower() not in dropped])
