from __future__ import annotations

import pytest
from multidict import CIMultiDict

from aigw.gateway.headers import GATEWAY_HEADERS, HOP_BY_HOP, request_headers, response_headers

KEPT = [
    ("User-Agent", "claude-cli/2"),
    ("anthropic-version", "2023-06-01"),
    ("X-Custom", "one"),
    ("x-custom", "two"),
    ("Accept-Encoding", "gzip, br"),
    ("Content-Type", "application/json"),
    ("Content-Encoding", "gzip"),
    ("Cookie", "a=b"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("X-Empty", ""),
]


def test_order_case_and_repetition_are_kept() -> None:
    assert list(request_headers(CIMultiDict(KEPT)).items()) == KEPT
    assert list(response_headers(CIMultiDict(KEPT)).items()) == KEPT


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_what_belongs_to_one_connection_stays_on_it(name: str) -> None:
    given = CIMultiDict([("A", "1"), (name.title(), "x"), ("B", "2"), (name.upper(), "y")])
    assert list(request_headers(given)) == ["A", "B"]
    assert list(response_headers(given)) == ["A", "B"]


@pytest.mark.parametrize("name", [*sorted(GATEWAY_HEADERS), "host", "content-length", "expect"])
def test_what_is_meant_for_the_gateway_stays_here(name: str) -> None:
    assert list(request_headers(CIMultiDict([(name.title(), "x"), ("B", "2")]))) == ["B"]


def test_the_length_of_an_answer_is_kept() -> None:
    assert list(response_headers(CIMultiDict({"Content-Length": "7"}))) == ["Content-Length"]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("keep-alive", ["X-One", "X-Two"]),
        ("close", ["X-One", "X-Two"]),
        ("Keep-Alive, X-One", ["X-Two"]),
        ("x-one ,X-TWO", []),
        ("", ["X-One", "X-Two"]),
        (",,", ["X-One", "X-Two"]),
    ],
)
def test_headers_that_connection_names(value: str, left: list[str]) -> None:
    given = CIMultiDict([("Connection", value), ("X-One", "1"), ("X-Two", "2")])
    assert list(request_headers(given)) == left
    assert list(response_headers(given)) == left


def test_each_connection_header_counts() -> None:
    given = CIMultiDict([("Connection", "keep-alive"), ("Connection", "X-One"), ("X-One", "1")])
    assert list(request_headers(given)) == []


def test_the_daemons_own_token_is_for_no_provider() -> None:
    assert list(request_headers(CIMultiDict([("X-Aigw-Control", "token")]))) == []


def test_headers_that_no_longer_hold() -> None:
    given = CIMultiDict([("Content-Length", "7"), ("Content-Encoding", "br"), ("ETag", "x")])
    assert list(response_headers(given, ("content-length", "content-encoding"))) == ["ETag"]
