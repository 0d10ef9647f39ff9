"""What keeps web pages out, header by header."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from aigw.gateway.origin import is_loopback_host, refusal

HOST = "127.0.0.1:4001"

LET_IN = [
    {"Host": HOST},
    {"Host": "localhost:4001"},
    {"Host": "localhost"},
    {"Host": "LOCALHOST:4001"},
    {"Host": "127.0.0.1"},
    {"Host": "127.8.9.10:4001"},
    {"Host": "[::1]:4001"},
    {"Host": "[::1]"},
    {"Host": "gateway.localhost:4001"},
    {},
    {"Host": HOST, "Sec-Fetch-Site": "none"},
    {"Host": HOST, "Sec-Fetch-Site": "same-origin"},
    {"Host": HOST, "Origin": f"http://{HOST}"},
    {"Host": "localhost:4001", "Origin": "http://LOCALHOST:4001"},
    {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"},
]
KEPT_OUT = [
    # A name that was rebound to a loopback address.
    {"Host": "evil.example"},
    {"Host": "evil.example:4001"},
    {"Host": "127.0.0.1.evil.example:4001"},
    {"Host": "localhost.evil.example:4001"},
    {"Host": "evillocalhost:4001"},
    {"Host": "localhost@evil.example"},
    {"Host": "evil.example@localhost"},
    {"Host": "evil.example/localhost"},
    {"Host": "192.168.1.10:4001"},
    {"Host": "0.0.0.0:4001"},
    {"Host": "[::]:4001"},
    {"Host": "[fe80::1]:4001"},
    {"Host": "[::1"},
    {"Host": "127.1"},
    {"Host": "2130706433"},
    {"Host": ""},
    {"Host": " "},
    # A page of another origin.
    {"Host": HOST, "Origin": "https://evil.example"},
    {"Host": HOST, "Origin": "null"},
    {"Host": HOST, "Origin": ""},
    {"Host": HOST, "Origin": "http://localhost:4001"},
    {"Host": HOST, "Origin": "http://127.0.0.1:3000"},
    {"Host": HOST, "Origin": "http://127.0.0.1"},
    {"Host": HOST, "Origin": f"chrome-extension://{HOST}"},
    {"Host": HOST, "Origin": f"file://{HOST}"},
    {"Host": HOST, "Origin": f"http://{HOST}.evil.example"},
    {"Origin": "http://localhost:4001"},
    {"Host": "evil.example:4001", "Origin": "http://evil.example:4001"},
    {"Host": HOST, "Sec-Fetch-Site": "cross-site"},
    {"Host": HOST, "Sec-Fetch-Site": "same-site"},
    {"Host": HOST, "Sec-Fetch-Site": "CROSS-SITE"},
    {"Host": HOST, "Sec-Fetch-Site": "anything new"},
    {"Host": HOST, "Sec-Fetch-Site": ""},
    {"Host": HOST, "Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"},
]


@pytest.mark.parametrize("headers", LET_IN, ids=str)
def test_let_in(headers: dict[str, str]) -> None:
    assert refusal(CIMultiDict(headers)) is None


@pytest.mark.parametrize("headers", KEPT_OUT, ids=str)
def test_kept_out(headers: dict[str, str]) -> None:
    reason = refusal(CIMultiDict(headers))
    assert reason is not None
    assert "open mode" in reason


def test_names_of_headers_in_any_case() -> None:
    assert refusal(CIMultiDict({"hOST": "evil.example"})) is not None
    assert refusal(CIMultiDict({"host": HOST, "oRIGIN": "null"})) is not None
    assert refusal(CIMultiDict({"host": HOST, "sec-FETCH-site": "cross-site"})) is not None


def test_the_memo_of_hosts_is_bounded() -> None:
    for number in range(2000):
        is_loopback_host(f"host-{number}.example")
    assert is_loopback_host.cache_info().currsize <= 256
