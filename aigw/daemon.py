"""The daemon: puts the parts together, listens until told to stop, and stops in good order.

What is wrong with the settings is found before anything is made: no lock, no database, no listener.

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
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from aigw import __version__, clock
from aigw.assembly import gateway
from aigw.durations import format_duration
from aigw.errors import ConfigError
from aigw.gateway.configuration import Configuration, from_settings
from aigw.gateway.listener import Listener, local_url
from aigw.gateway.pages import DaemonFacts
from aigw.gateway.tls import ListenerTls, tls_files
from aigw.reload import Reloader
from aigw.signals import on_signals
from aigw.store.key_count import count_keys
from aigw.store.lock import DaemonLock, Runtime
from aigw.store.maintenance import Pruning
from aigw.store.writer import Writer
from aigw.telemetry.logs import log_records
from aigw.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aigw.option_values import Address
    from aigw.settings import Settings

_log = logging.getLogger("aigw.daemon")

TOKEN_BYTES = 32
"""Of the control token: as many random bytes as the keys of TLS have."""

Ready = Callable[[Runtime, Configuration, int], None]
"""Called once everything listens, with the number of gateway keys."""


async def run(settings: Settings, resolve: Callable[[], Settings], ready: Ready) -> None:
    """Serve until a signal says stop. `resolve` gives the settings anew at a reload.

    Raises:
        ConfigError: a setting cannot be used, or the listener would be open to anybody.
        StoreError: the database cannot be used.
        DaemonError: an address cannot be listened on.
    """
    _refuse_open_listener(settings)
    files = tls_files(settings.tls_cert_file, settings.tls_key_file)
    tls = None if files is None else ListenerTls(files)
    metrics = Metrics()
    configuration = from_settings(settings, observer=metrics.key_pools)
    stopping = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        lock = DaemonLock(settings.db)
        lock.acquire()
        stack.callback(lock.release)
        reloader = Reloader(settings, configuration, resolve, tls, metrics.key_pools)
        runtime = await _start(settings, metrics, reloader, stack)
        stack.callback(reloader.stop)
        if tls is not None:
            reloader.subscribe(lambda _: _publish_certificate(lock, runtime, tls))
        on_signals(stopping, reloader.request)
        lock.publish(runtime)
        _spare_the_collector()
        ready(runtime, configuration, count_keys(settings.db))
        await stopping.wait()
        _log.info("stopping: answers in flight have %s", format_duration(settings.shutdown_timeout))


def _refuse_open_listener(settings: Settings) -> None:
    address = settings.http_address
    if address.is_loopback:
        return
    if not count_keys(settings.db):
        raise ConfigError(
            f"http_address {address} can be reached from other machines, and there are no gateway "
            "keys to tell who may use it. Make one first with `aigw keys create NAME`, and set "
            "tls_cert_file and tls_key_file so that nobody on the way reads it; or listen on "
            "127.0.0.1 or [::1]."
        )
    if settings.tls_cert_file is None:
        _log.warning(
            "gateway keys and prompts travel in clear to %s: set tls_cert_file and tls_key_file, "
            "or let only a proxy that speaks TLS connect",
            address,
        )


async def _start(
    settings: Settings, metrics: Metrics, reloader: Reloader, stack: contextlib.AsyncExitStack
) -> Runtime:
    """Open the store and the listeners; `stack` closes them. What the runtime note says of them."""
    started_at = clock.now()
    writer = Writer(
        settings.db,
        synchronous=settings.store_synchronous,
        on_records=log_records if settings.structured_logging else None,
    )
    writer.open(started_at)
    stack.push_async_callback(writer.close)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    facts = DaemonFacts(settings.db, started_at, control_token=token)
    serving = gateway(settings, writer, metrics, reloader, facts)
    listening = await stack.enter_async_context(serving)
    metrics_address = None
    if settings.prometheus_enable:
        showing = _metrics_listener(settings.prometheus_address, metrics, reloader)
        metrics_address = (await stack.enter_async_context(showing)).removeprefix("http://")
    pruning = Pruning(writer)
    pruning.keep(reloader.configuration.retention)
    reloader.subscribe(lambda configuration: pruning.keep(configuration.retention))
    stack.callback(pruning.stop)
    return Runtime(
        pid=os.getpid(),
        address=local_url(listening),
        started_at=started_at,
        version=__version__,
        metrics_address=metrics_address,
        listening=listening,
        control_token=token,
        certificate=reloader.tls.leaf.pem if reloader.tls else None,
    )


@contextlib.asynccontextmanager
async def _metrics_listener(
    address: Address, metrics: Metrics, reloader: Reloader
) -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/metrics":
            return web.Response(status=404, text="metrics are at /metrics\n")
        for provider in reloader.configuration.providers.values():
            if provider.pool is not None:
                # A key has rested when somebody looks; without requests nobody has.
                provider.pool.states(time.monotonic())
        return web.Response(
            body=metrics.text(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async with Listener(handle, address, "--prometheus-address").listen() as listening:
        yield listening


def _publish_certificate(lock: DaemonLock, runtime: Runtime, tls: ListenerTls) -> None:
    """Tell the daemon's own commands which certificate to trust from now on."""
    if runtime.certificate == tls.leaf.pem:
        return
    runtime.certificate = tls.leaf.pem
    try:
        lock.publish(runtime)
    except OSError as error:
        _log.error("`aigw status` will not trust the new certificate: %s", error.strerror)


def _spare_the_collector() -> None:
    """Leave what was made at start out of every garbage collection, and collect less often.

    Requests make few cycles. The default thresholds have the collector look at the same long-lived
    objects many times a second, which costs a busy gateway some percent of its core.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
