from __future__ import annotations

import pytest
from multidict import CIMultiDict
from yarl import URL

from aigw.gateway.http1 import Route, head_bytes, route_to


@pytest.fixture
async def direct() -> Route:
    return Route(URL("https://api.example.com"), None)


async def test_a_head_is_the_clients_byte_for_byte(direct: Route) -> None:
    headers = CIMultiDict([("X-Dup", "1"), ("aCCept", "*/*"), ("x-dup", "2"), ("X-DUP", "3")])
    assert head_bytes("POST", "/v1/messages?beta=true&x=%2F+ y", direct, headers, 7) == (
        b"POST /v1/messages?beta=true&x=%2F+ y HTTP/1.1\r\n"
        b"Host: api.example.com\r\n"
        b"X-Dup: 1\r\naCCept: */*\r\nx-dup: 2\r\nX-DUP: 3\r\n"
        b"Content-Length: 7\r\n\r\n"
    )


async def test_bytes_that_are_not_utf8_survive(direct: Route) -> None:
    value = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert b"X-Name: caf\xe9\r\n" in head_bytes(
        "GET", "/", direct, CIMultiDict({"X-Name": value}), None
    )


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("where", ["name", "value", "target"])
async def test_no_header_can_hold_another(direct: Route, value: str, where: str) -> None:
    headers = CIMultiDict({value if where == "name" else "X": value if where == "value" else "y"})
    with pytest.raises(ValueError, match="line break"):
        head_bytes("GET", value if where == "target" else "/", direct, headers, None)


async def test_an_http_origin_behind_a_proxy_gets_the_whole_url() -> None:
    route = Route(URL("http://h.example:8080"), URL("http://me:pass@proxy.example:3128"))
    head = head_bytes("GET", "/v1/models", route, CIMultiDict(), None)
    assert head.startswith(b"GET http://h.example:8080/v1/models HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cGFzcw==\r\n" in head
    assert route.connecting.proxy == URL("http://proxy.example:3128")


async def test_a_tls_origin_behind_a_proxy_keeps_the_proxys_password_to_the_proxy() -> None:
    route = Route(URL("https://h.example"), URL("http://me:pass@proxy.example:3128"))
    head = head_bytes("GET", "/v1/models", route, CIMultiDict(), None)
    assert head.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"Proxy-Authorization" not in head
    assert route.connecting.proxy_headers == {"Proxy-Authorization": "Basic bWU6cGFzcw=="}


async def test_a_route_is_looked_up_once_per_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    route_to.cache_clear()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "direct.example")
    assert route_to("https://h.example").connecting.proxy == URL("http://proxy.example:3128")
    assert route_to("https://direct.example").connecting.proxy is None
    assert route_to("https://h.example") is route_to("https://h.example")
    route_to.cache_clear()
