"""The gateway's parts put together as the daemon does, with a store whose commits a test can hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from aigw import clock
from aigw.errors import StoreError
from aigw.gateway.breaker import Breakers
from aigw.gateway.budgets import Budgets
from aigw.gateway.circuit import BreakerSettings
from aigw.gateway.configuration import Configuration, ReloadOutcome
from aigw.gateway.dump import Dumper
from aigw.gateway.limits import Limits
from aigw.gateway.pages import Control, DaemonFacts, Pages, no_breakers
from aigw.gateway.passthrough import PassThrough
from aigw.gateway.relay import Relay
from aigw.gateway.server import Server
from aigw.gateway.tls import ListenerTls
from aigw.gateway.upstream import Upstream
from aigw.pricing.budget_gate import BudgetGate
from aigw.pricing.budget_watch import BudgetWatch
from aigw.provider_settings import ProviderSettings
from aigw.providers.call import ApiKey
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider, ProviderType
from aigw.providers.types import ANTHROPIC, OPENAI
from aigw.recorder import Pricing, Recorder
from aigw.records import InterceptionEnd, InterceptionStart, Record
from aigw.secrets import Secret
from aigw.store.key_ring import KeyRing
from aigw.store.writer import Writer
from aigw.tasks import spawn
from aigw.telemetry.metrics import Metrics
from tests.gateway.client import LONG
from tests.simulator import Simulator

CONTROL_TOKEN = "canary-control-token"
BODY_LIMIT = 16 * 1024 * 1024


class HeldCommit:
    """A commit that waits for the test: `release` has it written, `refuse` lets it fail."""

    def __init__(self, writer: Writer, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer = writer

    @property
    def is_start(self) -> bool:
        """Whether an interception begins with it."""
        return any(isinstance(record, InterceptionStart) for record in self.records)

    @property
    def is_end(self) -> bool:
        """Whether an interception ends with it."""
        return any(isinstance(record, InterceptionEnd) for record in self.records)

    async def release(self) -> None:
        """Commit, and tell who waits."""
        await self._writer.commit(self.records)
        self.future.set_result(None)

    def refuse(self) -> None:
        """Tell who waits that the store cannot write."""
        self.future.set_exception(StoreError("the store cannot write: disk full"))


class HoldingSink:
    """A `RecordSink` before a real writer. With `holding` every commit waits for the test."""

    def __init__(self, writer: Writer) -> None:
        self.holding = False
        self.posted_again: list[Record] = []
        self._writer = writer
        self._held: asyncio.Queue[HeldCommit] = asyncio.Queue()

    def post(self, records: Sequence[Record], *, again: bool = False) -> None:
        """Hand on."""
        if again:
            self.posted_again += records
        self._writer.post(records, again=again)

    def commit(self, records: Sequence[Record]) -> Awaitable[None]:
        """Hand on, or keep."""
        if not self.holding:
            return self._writer.commit(records)
        held = HeldCommit(self._writer, records)
        self._held.put_nowait(held)
        return held.future

    async def next(self) -> HeldCommit:
        """The next commit that waits."""
        async with asyncio.timeout(LONG):
            return await self._held.get()


@dataclass
class Gateway:
    """A listening gateway and all of its parts."""

    port: int
    simulator: Simulator
    writer: Writer
    sink: HoldingSink
    recorder: Recorder
    metrics: Metrics
    pages: Pages
    keys: KeyRing
    database: Path

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """The rows of `count` interceptions that have ended, oldest first."""
        await self.writer.commit([])
        return await self.writer.call(lambda c: _rows(c, count))


@dataclass
class Standing:
    """A configuration that stays as it is; what it is told to do at a reload is the test's."""

    configuration: Configuration
    last: ReloadOutcome = field(default_factory=lambda: ReloadOutcome(at=clock.now(), ok=True))
    tls: ListenerTls | None = None
    reloads: int = 0

    async def reload(self) -> ReloadOutcome:
        """Count it."""
        self.reloads += 1
        return self.last


def _configuration(providers: Mapping[str, Provider], **fields: Any) -> Configuration:
    described = {
        name: ProviderSettings(type=each.type.name, name=name, base_url=each.base_url)
        for name, each in providers.items()
    }
    retention = timedelta(days=60)
    return Configuration(providers=providers, described=described, retention=retention, **fields)


def _rows(connection: Any, count: int) -> list[dict[str, Any]]:
    cursor = connection.execute(
        "SELECT * FROM interceptions WHERE end_seq IS NOT NULL ORDER BY seq"
    )
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    assert len(rows) == count
    return rows


@asynccontextmanager
async def _listening(server: Server) -> AsyncIterator[int]:
    listener = web.Server(
        server.handle,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
    )
    runner = web.ServerRunner(listener, handle_signals=False, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _pool(kind: ProviderType, key: str) -> KeyPool | None:
    return KeyPool([ApiKey(Secret(key), kind.key_header)]) if key else None


@asynccontextmanager
async def gateway(
    folder: Path,
    simulator: Simulator,
    *,
    fail_open: bool = False,
    key: str = "",
    idle_timeout: float = 30.0,
    base_url: str | None = None,
    body_limit: int = BODY_LIMIT,
    control: Control | None = None,
    breakers: Callable[[], Sequence[Mapping[str, Any]]] = no_breakers,
    providers: Mapping[str, Provider] | None = None,
    breaker: BreakerSettings | None = None,
    dumper: Dumper | None = None,
    gate: BudgetGate | None = None,
    pricing: Pricing | None = None,
    **configured: Any,
) -> AsyncIterator[Gateway]:
    """Run a gateway in front of the simulator, on this loop.

    `configured` are fields of the `Configuration`; a test that wants other `providers`, a `breaker`,
    dumps, or budgets that a `gate` and a `pricing` hold requests to, says so.
    """
    database = folder / "aigw.db"
    writer = Writer(database)
    writer.open(clock.now())
    sink = HoldingSink(writer)
    metrics = Metrics()
    gate = gate or BudgetGate()
    watch = BudgetWatch(database, gate, writer)
    watch.open()
    watching = spawn("budgets", watch.run())
    recorder = Recorder(sink, pricing=pricing, observers=[metrics, gate], fail_open=fail_open)
    root = base_url or simulator.url
    providers = providers or {
        "openai": Provider(OPENAI, "openai", f"{root}/v1", _pool(OPENAI, key)),
        "anthropic": Provider(ANTHROPIC, "anthropic", root, _pool(ANTHROPIC, key)),
    }
    facts = DaemonFacts(database, clock.now(), "http://127.0.0.1:0", CONTROL_TOKEN)
    configuration = _configuration(providers, **configured)
    control = control or Standing(configuration)
    keys = KeyRing(database, allow_open=True)
    keys.open()
    pages = Pages(facts, writer, metrics, control, keys, breakers)
    upstream = Upstream(5.0, idle_timeout)
    limits = Limits(configuration.max_concurrency, configuration.rate_limit)
    budgets = Budgets(gate, metrics.budgets, configuration.budgets)
    relay = Relay(
        recorder, upstream, body_limit, Breakers(breaker, metrics.circuits), dumper, budgets
    )
    passed = PassThrough(upstream, body_limit, dumper)
    server = Server(configuration, keys, limits, relay, passed, pages, metrics)
    try:
        async with _listening(server) as port:
            yield Gateway(port, simulator, writer, sink, recorder, metrics, pages, keys, database)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        watch.close()
        keys.close()
        await upstream.close()
        await writer.close()
