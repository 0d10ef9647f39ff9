"""The daemon: puts the parts together, listens until told to stop, and stops in good order.

Order at the end: no new connections, then the answers in flight get `shutdown_timeout`, then what
they yielded is committed, then the lock is given back. A second signal ends the process at once;
what was committed stays committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from aigw import __version__, clock
from aigw.durations import format_duration
from aigw.errors import ConfigError
from aigw.gateway.listener import Listener
from aigw.gateway.pages import DaemonFacts, Pages
from aigw.gateway.relay import Relay
from aigw.gateway.server import Server
from aigw.gateway.upstream import Upstream
from aigw.providers.call import ApiKey
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider, ProviderType
from aigw.providers.types import ANTHROPIC, OPENAI
from aigw.recorder import Recorder
from aigw.store.lock import DaemonLock, Runtime
from aigw.store.maintenance import prune_regularly
from aigw.store.writer import Writer
from aigw.tasks import spawn
from aigw.telemetry.logs import log_records
from aigw.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aigw.option_values import Address
    from aigw.secrets import Secret
    from aigw.settings import Settings

_log = logging.getLogger("aigw.daemon")


def configured_providers(settings: Settings) -> dict[str, Provider]:
    """The providers the settings describe, by name."""

    def provider(kind: ProviderType, base_url: str, key: Secret) -> Provider:
        pool = KeyPool([ApiKey(key, kind.key_header)]) if key else None
        return Provider(kind, kind.name, base_url.rstrip("/"), pool)

    return {
        "openai": provider(OPENAI, settings.openai_base_url, settings.openai_key),
        "anthropic": provider(ANTHROPIC, settings.anthropic_base_url, settings.anthropic_key),
    }


async def run(settings: Settings, ready: Callable[[Runtime, dict[str, Provider]], None]) -> None:
    """Serve until a signal says stop. `ready` is called once everything listens.

    Raises:
        ConfigError: the listener would be open to other machines.
        StoreError: the database cannot be used.
        DaemonError: an address cannot be listened on.
    """
    _refuse_open_listener(settings.http_address)
    async with contextlib.AsyncExitStack() as stack:
        lock = DaemonLock(settings.db)
        lock.acquire()
        stack.callback(lock.release)
        started_at = clock.now()
        writer = Writer(
            settings.db,
            synchronous=settings.store_synchronous,
            on_records=log_records if settings.structured_logging else None,
        )
        writer.open(started_at)
        stack.push_async_callback(writer.close)
        providers = configured_providers(settings)
        metrics = Metrics()
        stopping = asyncio.Event()
        address = await stack.enter_async_context(
            _gateway(settings, writer, metrics, providers, started_at)
        )
        metrics_address = None
        if settings.prometheus_enable:
            metrics_address = await stack.enter_async_context(
                _metrics_listener(settings.prometheus_address, metrics)
            )
        pruning = spawn("retention", prune_regularly(writer, settings.retention))
        stack.callback(pruning.cancel)
        runtime = Runtime(
            pid=os.getpid(),
            address=f"http://{address}",
            started_at=started_at,
            version=__version__,
            metrics_address=metrics_address,
        )
        _on_signals(stopping)
        lock.publish(runtime)
        _spare_the_collector()
        ready(runtime, providers)
        await stopping.wait()
        _log.info("stopping: answers in flight have %s", format_duration(settings.shutdown_timeout))


def _refuse_open_listener(address: Address) -> None:
    if not address.is_loopback:
        raise ConfigError(
            f"http_address {address} can be reached from other machines, and there are no gateway "
            "keys to tell who may use it. Listen on 127.0.0.1 or [::1]."
        )


@contextlib.asynccontextmanager
async def _gateway(
    settings: Settings,
    writer: Writer,
    metrics: Metrics,
    providers: dict[str, Provider],
    started_at: int,
) -> AsyncIterator[str]:
    idle = settings.upstream_idle_timeout.total_seconds()
    upstream = Upstream(settings.upstream_connect_timeout.total_seconds(), idle)
    try:
        recorder = Recorder(writer, observers=[metrics], fail_open=settings.store_fail_open)
        retention = settings.retention
        facts = DaemonFacts(
            database=settings.db,
            started_at=started_at,
            retention=format_duration(retention) if retention > timedelta(0) else "for ever",
            providers=list(providers.values()),
        )
        server = Server(
            providers,
            Relay(recorder, upstream, settings.max_body_size),
            upstream,
            settings.max_body_size,
            Pages(facts, writer, metrics),
            metrics,
        )
        listener = Listener(
            server.handle,
            settings.http_address,
            "--http-address",
            shutdown=settings.shutdown_timeout,
            give_up=upstream.abandon,
        )
        async with listener.listen() as address:
            yield address
    finally:
        await upstream.close()


@contextlib.asynccontextmanager
async def _metrics_listener(address: Address, metrics: Metrics) -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/metrics":
            return web.Response(status=404, text="metrics are at /metrics\n")
        return web.Response(
            body=metrics.text(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async with Listener(handle, address, "--prometheus-address").listen() as listening:
        yield listening


def _spare_the_collector() -> None:
    """Leave what was made at start out of every garbage collection, and collect less often.

    Requests make few cycles. The default thresholds have the collector look at the same long-lived
    objects many times a second, which costs a busy gateway some percent of its core.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # The terminal was closed; under nohup that is to be ignored, and stays so.
        numbers.append(signal.SIGHUP)
    for number in numbers:
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:
            # Windows' loop has no signal handlers: Python's own run between its callbacks.
            signal.signal(number, lambda n, _frame: loop.call_soon_threadsafe(stop, n))
