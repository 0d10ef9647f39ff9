"""Keeping web pages out of a gateway that trusts everything on this machine.

A page in the user's browser can send requests to loopback addresses. Three headers that scripts
cannot forge give it away: `Host` (a name that was rebound to 127.0.0.1), `Origin` (sent with every
cross-origin POST), and `Sec-Fetch-Site` (W3C Fetch Metadata). Programs send none of the last two.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit


def refusal(headers: Mapping[str, str]) -> str | None:
    """Why a request must not be served, or None when it may be."""
    host = headers.get("Host")
    if host is not None and not is_loopback_host(host):
        return (
            f"requests for the host {host!r} are not served: in open mode the gateway answers only"
            " to localhost and loopback addresses"
        )
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site.strip().lower() not in {"none", "same-origin"}:
        return "requests from web pages are not served in open mode"
    origin = headers.get("Origin")
    if origin is not None and not _is_own_origin(origin, host):
        return "requests from web pages are not served in open mode"
    return None


@lru_cache(maxsize=256)  # a handful of names in use; bounded because clients choose them
def is_loopback_host(host: str) -> bool:
    """Whether a `Host` value (with or without port) names this machine's loopback interface."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if not name or "@" in host or "/" in host:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_own_origin(origin: str, host: str | None) -> bool:
    scheme, _, authority = origin.strip().lower().partition("://")
    return host is not None and scheme in {"http", "https"} and authority == host.strip().lower()
