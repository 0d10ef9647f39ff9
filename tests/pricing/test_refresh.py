"""Fetching list prices: from where, what is kept, and what is not taken for prices."""

from __future__ import annotations

import gzip
import io
import os
import stat
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aigw.errors import ConfigError, StoreError
from aigw.pricing import refresh as refreshing
from aigw.pricing.catalogue import ListPrice, load_catalogue
from aigw.pricing.price import Price
from aigw.pricing.refresh import FetchError, discard, read_refreshed, refresh, refreshed_path
from tests.pricing.data import price_list
from tests.store.rows import NOON

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on this machine; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/data.json"
        finally:
            server.shutdown()
            thread.join()


def sending(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        # Who has read enough hangs up.
        try:
            handler.wfile.write(body)
        except OSError:
            handler.close_connection = True

    return answer


def test_fetched_prices_are_kept_beside_the_database_and_used(tmp_path: Path) -> None:
    database = tmp_path / "sub" / "aigw.db"
    with serving(sending(price_list())) as url:
        done = refresh(database, url, NOON)
    assert (done.fetched_on, done.url) == ("2026-01-01", url)
    path = refreshed_path(database)
    assert path == database.with_name("aigw.db.prices.json")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    catalogue = load_catalogue(read_refreshed(database))
    assert catalogue.source == "genai-prices 2026-01-01"
    found = catalogue.find("openai", "", "gpt-5")
    assert isinstance(found, ListPrice)
    price = found.at(NOON)
    assert isinstance(price, Price)
    assert (price.rates.input, price.rates.output, price.context_window) == (
        7_500_000,
        10_000_000,
        123_456,
    )
    assert [(tier.above, tier.rates.output) for tier in price.tiers] == [(1000, 20_000_000)]
    new = catalogue.find("openai", "", "gpt-new-2")
    assert isinstance(new, ListPrice)
    then = new.at(NOON)
    assert isinstance(then, Price)
    assert then.rates.input == 2_000_000


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/data.json",
        "http://127.0.0.1.example.com/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "data.json",
        "https://",
        "http://[::1",
        "",
    ],
)
def test_only_https_or_this_machine_is_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--url"):
        refresh(tmp_path / "aigw.db", url, NOON)


def test_a_redirect_cannot_lead_out_of_https(tmp_path: Path) -> None:
    answer = sending(b"", 302, Location="http://example.com/data.json")
    with serving(answer) as url, pytest.raises(FetchError, match="https only"):
        refresh(tmp_path / "aigw.db", url, NOON)


def test_a_server_elsewhere_does_not_lead_to_one_on_this_machine() -> None:
    asked = urllib.request.Request("https://prices.example/data.json")
    follow = refreshing._Redirects().redirect_request
    with pytest.raises(FetchError, match="https only"):
        follow(asked, io.BytesIO(), 302, "", HTTPMessage(), "http://127.0.0.1:9/x")
    led = follow(asked, io.BytesIO(), 302, "", HTTPMessage(), "https://mirror.example/x")
    assert led is not None
    assert led.full_url == "https://mirror.example/x"


def raw(answer: bytes) -> Answer:
    """A server that sends these bytes for an answer."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(answer)

    return send


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]",
    ],
    ids=["no status line", "a head without end", "no chunks"],
)
def test_what_is_no_http_is_told(answer: bytes, tmp_path: Path) -> None:
    with serving(raw(answer)) as url, pytest.raises(FetchError, match="does not speak HTTP"):
        refresh(tmp_path / "aigw.db", url, NOON)


def test_a_compressed_answer_is_not_unpacked(tmp_path: Path) -> None:
    answer = sending(gzip.compress(b" " * 10_000_000), **{"Content-Encoding": "gzip"})
    with serving(answer) as url, pytest.raises(FetchError, match="are no prices"):
        refresh(tmp_path / "aigw.db", url, NOON)


@pytest.mark.parametrize(
    "begun", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"]
)
def test_a_server_that_sends_little_by_little_keeps_nobody(
    begun: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its bytes comes in time, and the line that they are part of never ends."""
    monkeypatch.setattr(refreshing, "SECONDS", 0.2)
    given_up = threading.Event()

    def dribble(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(begun)
        for _ in range(3000):
            if given_up.wait(0.01):
                return
            handler.wfile.write(b"a")

    with serving(dribble) as url:
        try:
            with pytest.raises(FetchError, match="took more than"):
                refresh(tmp_path / "aigw.db", url, NOON)
        finally:
            given_up.set()


BROKEN = {
    "no JSON": b"<html>sign in</html>",
    "an object": b"{}",
    "nothing": b"[]",
    "not a provider": b'[{"id": 1}]',
    "no model": price_list().replace(b'"models"', b'"of"'),
    "nested without end": b"[" * 100_000,
    "a price below nothing": price_list(-1),
    "a tier below nothing": price_list().replace(b'"price": 20', b'"price": -20'),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_what_are_no_prices_replaces_none(body: bytes, tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    with serving(sending(price_list())) as url:
        refresh(database, url, NOON)
    before = refreshed_path(database).read_bytes()
    with serving(sending(body)) as url, pytest.raises(FetchError, match="are no prices"):
        refresh(database, url, NOON)
    assert refreshed_path(database).read_bytes() == before


def test_more_than_prices_are_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshing, "LARGEST", 1024 * 1024)
    answer = sending(b" " * (1024 * 1024 + 1))
    with serving(answer) as url, pytest.raises(FetchError, match="more than 1 MiB"):
        refresh(tmp_path / "aigw.db", url, NOON)


def test_a_download_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshing, "SECONDS", 0.0)
    with serving(sending(price_list())) as url, pytest.raises(FetchError, match="took more than"):
        refresh(tmp_path / "aigw.db", url, NOON)


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_is_told(status: int, tmp_path: Path) -> None:
    with serving(sending(b"", status)) as url, pytest.raises(FetchError, match=f"status {status}"):
        refresh(tmp_path / "aigw.db", url, NOON)


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with serving(sending(b"")) as url:
        pass
    with pytest.raises(FetchError, match="cannot fetch"):
        refresh(tmp_path / "aigw.db", url, NOON)


def test_none_were_fetched(tmp_path: Path) -> None:
    assert read_refreshed(tmp_path / "aigw.db") is None
    assert not discard(tmp_path / "aigw.db")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"url":"","fetched_at":"","providers":[1]}'])
def test_a_damaged_file_says_what_to_do(content: bytes, tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    refreshed_path(database).write_bytes(content)
    with pytest.raises(StoreError, match="aigw prices refresh"):
        read_refreshed(database)
    assert discard(database)
    assert read_refreshed(database) is None
