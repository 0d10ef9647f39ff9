"""The gateway's parts put together, on a store that is open and until the daemon stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from aigw.errors import UpstreamError
from aigw.gateway.breaker import Breakers
from aigw.gateway.budgets import Budgets
from aigw.gateway.configuration import Configuration, ReloadOutcome
from aigw.gateway.dump import Dumper
from aigw.gateway.limits import Limits
from aigw.gateway.listener import Listener
from aigw.gateway.pages import DaemonFacts, Pages
from aigw.gateway.passthrough import PassThrough
from aigw.gateway.relay import Relay
from aigw.gateway.server import Server
from aigw.gateway.upstream import Upstream
from aigw.pricing.budget_gate import BudgetGate
from aigw.pricing.budget_notices import BudgetNotices
from aigw.pricing.budget_watch import BudgetWatch
from aigw.pricing.pricer import Pricer
from aigw.providers.call import CentralCredential
from aigw.recorder import Recorder
from aigw.store.key_ring import KeyRing
from aigw.store.key_uses import note_uses, note_uses_regularly
from aigw.tasks import spawn

if TYPE_CHECKING:
    from aigw.reload import Reloader
    from aigw.settings import Settings
    from aigw.store.writer import Writer
    from aigw.telemetry.metrics import Metrics

_log = logging.getLogger("aigw.daemon")


@contextlib.asynccontextmanager
async def gateway(
    settings: Settings,
    writer: Writer,
    metrics: Metrics,
    reloader: Reloader,
    facts: DaemonFacts,
) -> AsyncIterator[str]:
    """Serve, and follow the configuration as it is reloaded. Yields the listener's URL.

    Raises:
        ConfigError: the folder for dumps cannot be written.
        StoreError: the gateway keys or prices cannot be read.
        DaemonError: the address cannot be listened on.
    """
    async with contextlib.AsyncExitStack() as stack:
        keys = await stack.enter_async_context(_key_ring(settings, writer))
        pricer = await stack.enter_async_context(_pricer(settings, reloader.configuration))
        dumper = await _dumper(settings, stack)
        idle = settings.upstream_idle_timeout.total_seconds()
        upstream = Upstream(settings.upstream_connect_timeout.total_seconds(), idle)
        stack.push_async_callback(upstream.close)
        configuration = reloader.configuration
        limits = Limits(configuration.max_concurrency, configuration.rate_limit)
        breakers = Breakers(configuration.breaker, metrics.circuits)
        gate = BudgetGate(pricer)
        budgets = await stack.enter_async_context(
            _budgets(settings, writer, metrics, reloader, gate)
        )
        recorder = Recorder(
            writer, pricing=pricer, observers=[metrics, gate], fail_open=settings.store_fail_open
        )
        body_limit = settings.max_body_size
        server = Server(
            configuration,
            keys,
            limits,
            Relay(recorder, upstream, body_limit, breakers, dumper, budgets),
            PassThrough(upstream, body_limit, dumper),
            Pages(
                facts,
                writer,
                metrics,
                reloader,
                keys,
                lambda: breakers.unclosed(time.monotonic()),
                budgets.status,
            ),
            metrics,
        )
        _follow(reloader, server, limits, breakers, metrics)
        reloader.subscribe(lambda changed: pricer.use(changed.described, changed.prices))
        listener = Listener(
            server.handle,
            settings.http_address,
            "--http-address",
            shutdown=settings.shutdown_timeout,
            give_up=upstream.abandon,
            tls=reloader.tls.context if reloader.tls else None,
        )
        async with listener.listen() as address:
            facts.listening = address
            yield address


@contextlib.asynccontextmanager
async def _key_ring(settings: Settings, writer: Writer) -> AsyncIterator[KeyRing]:
    keys = KeyRing(settings.db, allow_open=settings.http_address.is_loopback)
    keys.open()
    noting = spawn("key uses", note_uses_regularly(writer, keys))
    try:
        yield keys
    finally:
        noting.cancel()
        await note_uses(writer, keys)
        keys.close()


@contextlib.asynccontextmanager
async def _pricer(settings: Settings, configuration: Configuration) -> AsyncIterator[Pricer]:
    pricer = Pricer(settings.db, configuration.described, configuration.prices)
    # Before anybody is served: the first response is to have its cost too.
    await asyncio.to_thread(pricer.load)
    pricer.open()
    try:
        yield pricer
    finally:
        pricer.close()


@contextlib.asynccontextmanager
async def _budgets(
    settings: Settings, writer: Writer, metrics: Metrics, reloader: Reloader, gate: BudgetGate
) -> AsyncIterator[Budgets]:
    """The budgets, in step with the store's tables and the configuration, and their notices."""
    configured = reloader.configuration.budgets
    notices = BudgetNotices(gate, writer, configured, metrics.budgets.passed)
    watch = BudgetWatch(settings.db, gate, writer, notices.read)
    watch.open()
    await notices.read()
    budgets = Budgets(gate, metrics.budgets, configured)

    def use(configuration: Configuration) -> None:
        budgets.configure(configuration.budgets)
        notices.configure(configuration.budgets)

    reloader.subscribe(use)
    tasks = [
        spawn("budgets", watch.run()),
        spawn("budget notices", notices.run()),
        spawn("budget deliveries", notices.run_deliveries()),
    ]
    try:
        yield budgets
    finally:
        await notices.finish()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        watch.close()


async def _dumper(settings: Settings, stack: contextlib.AsyncExitStack) -> Dumper | None:
    if settings.dump_dir is None:
        return None
    dumper = Dumper(settings.dump_dir, settings.dump_max_age, settings.dump_max_size)
    dumper.open()
    stack.push_async_callback(dumper.close)
    return dumper


def _follow(
    reloader: Reloader, server: Server, limits: Limits, breakers: Breakers, metrics: Metrics
) -> None:
    """Have every part go by a reloaded configuration, and the metrics tell of it."""

    def use(configuration: Configuration) -> None:
        now = time.monotonic()
        server.use(configuration)
        limits.configure(configuration.max_concurrency, configuration.rate_limit)
        breakers.configure(configuration.breaker, now)
        breakers.keep(configuration.providers, now)
        metrics.key_pools.keep(configuration.providers)
        describe(configuration)
        _resolve_credentials(configuration)

    def describe(configuration: Configuration) -> None:
        metrics.providers.configured(
            (each.name, each.type, "enabled" if each.enabled else "disabled")
            for each in configuration.described.values()
        )

    def tell(outcome: ReloadOutcome) -> None:
        metrics.providers.reloaded(outcome.at / 1_000_000, succeeded=outcome.ok)

    describe(reloader.configuration)
    _resolve_credentials(reloader.configuration)
    reloader.subscribe(use)
    reloader.watch(tell)


def _resolve_credentials(configuration: Configuration) -> None:
    """Look for AWS credentials now, so that no request has to wait for it, nor learn of it first."""
    for provider in configuration.providers.values():
        if provider.pool is not None and provider.bedrock is not None:
            for credential in provider.pool.credentials:
                spawn(f"credentials of {provider.name}", _resolve(provider.name, credential))


async def _resolve(provider: str, credential: CentralCredential) -> None:
    try:
        await credential.resolve()
    except UpstreamError as error:
        _log.warning("provider %s: %s", provider, error)
