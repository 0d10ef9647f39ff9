"""Newer list prices than the installed package has, kept in a file beside the database.

They are fetched when somebody asks for it (`aigw prices refresh`) and never otherwise.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from aigw.errors import AigwError, ConfigError, StoreError
from aigw.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from http.client import HTTPMessage
    from pathlib import Path
    from typing import IO

    from genai_prices.types import Provider

DEFAULT_URL = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
"""Where genai-prices publishes its data: `genai_prices.update_prices.DEFAULT_UPDATE_URL`."""

LARGEST = 32 * 1024 * 1024
"""Bytes of data that are taken: ten times what they are, so that no server fills memory or disk."""

SECONDS = 60.0
"""For the whole download: somebody waits for the command."""

STALL_SECONDS = 15.0
"""Without a byte from the server."""

_CHUNK = 256 * 1024


class FetchError(AigwError):
    """Prices could not be fetched, or what was fetched are none."""


class Refreshed(NamedTuple):
    """Fetched list prices. `fetched_on` is a date, `2026-11-25`."""

    providers: Sequence[Provider]
    fetched_on: str
    url: str


class _File(msgspec.Struct):
    """What the file holds: the data as they came, and where from."""

    url: str
    fetched_at: str
    providers: msgspec.Raw


def refreshed_path(database: Path) -> Path:
    """Where refreshed prices are, for a database."""
    return database.with_name(database.name + ".prices.json")


def read_refreshed(database: Path) -> Refreshed | None:
    """Refreshed prices; None where nobody has fetched any. Takes a second: not for the event loop.

    Raises:
        StoreError: the file cannot be read, or holds no prices.
    """
    path = refreshed_path(database)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    try:
        file = msgspec.json.decode(content, type=_File)
        providers = parse_providers(bytes(file.providers))
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError(
            f"{path} holds no usable prices ({error}). Fetch them again with `aigw prices refresh`, "
            "or remove the file."
        ) from error
    return Refreshed(providers, file.fetched_at[:10], file.url)


def refresh(database: Path, url: str, now: int) -> Refreshed:
    """Fetch prices and keep them, readable by the owner only, whole or not at all.

    Raises:
        ConfigError: the URL is none that prices may be fetched from.
        FetchError: they cannot be fetched, or are none.
        StoreError: they cannot be written, or genai-prices is not installed.
    """
    check_url(url)
    content = _download(url)
    try:
        providers = parse_providers(content)
    except ValueError as error:
        raise FetchError(f"what {url} sends are no prices of genai-prices: {error}") from error
    fetched_at = rfc3339(now)
    file = _File(url=url, fetched_at=fetched_at, providers=msgspec.Raw(content))
    _write(refreshed_path(database), msgspec.json.encode(file))
    return Refreshed(providers, fetched_at[:10], url)


def discard(database: Path) -> bool:
    """Remove refreshed prices; whether there were any."""
    path = refreshed_path(database)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}") from error
    return True


def parse_providers(content: bytes) -> list[Provider]:
    """The data of genai-prices from their JSON form.

    Raises:
        ValueError: they are none.
        StoreError: genai-prices is not installed, or of a version that cannot read them.
    """
    try:
        # Its own reader of fetched data has no public name.
        from genai_prices.types import _providers_from_raw  # noqa: PLC0415 (optional, and slow)
    except ImportError as error:
        raise StoreError(
            "reading prices takes genai-prices 0.2.3 or newer: pip install -U 'aigw[prices]'"
        ) from error
    try:
        raw: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(raw, list) or not raw:
        raise ValueError("a list of providers was expected")
    try:
        providers: list[Provider] = _providers_from_raw(raw)
    except Exception as error:
        # pydantic's errors go on for pages.
        raise ValueError(str(error).partition("\n")[0]) from error
    if not any(provider.models for provider in providers):
        raise ValueError("there is no model in them")
    _check_rates(providers)
    return providers


def _check_rates(providers: Sequence[Provider]) -> None:
    """Nobody pays for being asked, whatever a price list says: budgets count on it."""
    for provider in providers:
        for model in provider.models:
            standard = model.prices if isinstance(model.prices, list) else [model]
            variants = model.price_variants or ()
            for price in (*standard, *variants):
                for value in vars(price.prices).values():
                    if not all(rate.is_finite() and rate >= 0 for rate in _figures(value)):
                        raise ValueError(f"{provider.id}/{model.id} has a rate that is none")


def _figures(value: Any) -> list[Decimal]:
    if value is None:
        return []
    return (
        [value.base, *(tier.price for tier in value.tiers)] if hasattr(value, "tiers") else [value]
    )


def check_url(url: str) -> None:
    """Prices decide what is charged and blocked: nobody on the way may change them.

    Raises:
        ConfigError: neither https, nor a server on this machine.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise ConfigError(f"--url {url!r}: {error}") from error
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _is_loopback(host):
        return
    raise ConfigError(f"--url {url!r}: prices are fetched over https only")


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _may_lead(url: str, to: str) -> bool:
    try:
        check_url(to)
    except ConfigError:
        return False
    return urlsplit(to).scheme == "https" or urlsplit(url).scheme == "http"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to where prices may be fetched from, and to nowhere else.

    No server elsewhere leads to one on this machine, which may do things when it is asked.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not _may_lead(req.full_url, newurl):
            raise FetchError(
                f"{req.full_url} leads to {newurl}, and prices are fetched over https only"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str) -> bytes:
    """What a URL has, within `SECONDS`.

    Read in a thread that is left behind after them: a server that sends a byte now and then keeps
    whoever reads its head, or a chunk's length, for as long as it likes.
    """
    done: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    threading.Thread(target=_deliver, args=(url, done), name="prices", daemon=True).start()
    try:
        content = done.get(timeout=SECONDS)
    except queue.Empty:
        raise _too_slow(url) from None
    if isinstance(content, bytes):
        return content
    try:
        raise content
    finally:
        # The error's traceback has this frame: what it holds open would stay so.
        del content


def _too_slow(url: str) -> FetchError:
    return FetchError(f"{url} took more than {SECONDS:.0f} s: try again later")


def _deliver(url: str, done: queue.SimpleQueue[bytes | Exception]) -> None:
    try:
        done.put(_read(url, time.monotonic() + SECONDS))
    except Exception as error:  # noqa: BLE001 (raised where it is waited for)
        done.put(error)


def _read(url: str, deadline: float) -> bytes:
    import truststore  # noqa: PLC0415 (only for a download)

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects())
    parts: list[bytes] = []
    size = 0
    try:
        with opener.open(url, timeout=STALL_SECONDS) as answer:
            while chunk := answer.read1(_CHUNK):
                if time.monotonic() >= deadline:
                    raise _too_slow(url)
                size += len(chunk)
                if size > LARGEST:
                    raise FetchError(f"{url} sends more than {LARGEST // 1024**2} MiB: no prices")
                parts.append(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        raise FetchError(f"{url} answers with status {error.code}: is it the right URL?") from error
    except urllib.error.URLError as error:
        raise FetchError(f"cannot fetch {url}: {error.reason}") from error
    except http.client.HTTPException as error:
        raise FetchError(f"{url} does not speak HTTP: {str(error).strip() or error!r}") from error
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot fetch {url}: {error}") from error
    return b"".join(parts)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
