from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from aigw.gateway.faults import upstream_error
from aigw.gateway.http1 import InvalidAnswerError

KEY = ConnectionKey("h.example", 443, True, True, None, None, None)
REFUSED = OSError(111, "Connection refused")


@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [
        (aiohttp.ConnectionTimeoutError(), 504, "upstream_timeout"),
        (TimeoutError(), 504, "upstream_timeout"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "unknown")), 502, "upstream_unreachable"),
        (aiohttp.ClientConnectorError(KEY, REFUSED), 502, "upstream_unreachable"),
        (aiohttp.ClientConnectorSSLError(KEY, OSError(1, "handshake")), 502, "upstream_tls"),
        (aiohttp.ClientProxyConnectionError(KEY, REFUSED), 502, "upstream_proxy"),
        (InvalidAnswerError(), 502, "upstream_invalid"),
        (aiohttp.ServerDisconnectedError(), 502, "upstream_disconnected"),
        (aiohttp.ClientOSError(104, "reset"), 502, "upstream_disconnected"),
        (ValueError("sk-canary"), 502, "upstream_disconnected"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_fault_has_its_error(raised: Any, status: int, kind: str) -> None:
    error = upstream_error("h.example", raised)
    assert (error.status, error.kind) == (status, kind)
    assert "h.example" in str(error)
    assert "sk-canary" not in str(error)
