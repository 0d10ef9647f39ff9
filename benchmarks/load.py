"""The load generator: closed loop for throughput, open loop for latency, many slow streams.

It shares one core, one process and one event loop with the simulated provider (`upstream.py`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.connection import Connection
from benchmarks.payloads import CLIENT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.payloads import Workload
    from benchmarks.upstream import Upstream

FINISH_LIMIT = 30.0
"""Seconds that answers in flight may still take when a round is over. Past it they are errors."""


@dataclass(slots=True)
class Tally:
    """What came of a round. `seconds` runs from the first request to the last answer."""

    requests: int = 0
    events: int = 0
    errors: int = 0
    seconds: float = 0.0
    totals: array[float] = field(default_factory=lambda: array("d"))
    firsts: array[float] = field(default_factory=lambda: array("d"))

    def rate(self, drain: float = 0.0) -> float:
        """Requests a second, work left behind (`drain`, seconds) included."""
        return self.requests / (self.seconds + drain)

    def event_rate(self, drain: float = 0.0) -> float:
        """Events a second, likewise."""
        return self.events / (self.seconds + drain)


class Target:
    """A server under test: where it listens, and which requests it was sent.

    Every request to it has a number of its own, over all rounds, and its clients' `key`.
    """

    def __init__(self, address: str, upstream: Upstream, key: str = CLIENT_KEY) -> None:
        self.authority = address.removeprefix("http://")
        self.host, _, port = self.authority.partition(":")
        self.port = int(port)
        self.upstream = upstream
        self.key = key
        self.numbers: Iterator[int] = itertools.count()
        self.sent = 0

    async def connect(self, listener: _Round, count: int) -> list[Connection]:
        """Open that many connections, driven by `listener`."""
        loop = asyncio.get_running_loop()
        return [
            (await loop.create_connection(listener.connection, self.host, self.port))[1]
            for _ in range(count)
        ]


class _Round:
    """What every kind of load shares: sending, checking answers, waiting for the last of them."""

    def __init__(self, target: Target, workload: Workload) -> None:
        self.tally = Tally()
        self._target = target
        self._workload = workload
        self._messages = workload.messages(target.authority, target.key)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def connection(self) -> Connection:
        """A connection for answers of this workload."""
        return Connection(self, self._workload.event_end)

    def send(self, connection: Connection) -> None:
        """Send the next request, unless the server has closed the connection."""
        if not connection.alive:
            self.tally.errors += 1
            return
        number = next(self._target.numbers)
        self._target.sent += 1
        self._in_flight += 1
        self._idle.clear()
        connection.send(number, self._messages.number(number))

    def received(self, connection: Connection, events: int) -> None:
        self.tally.events += events
        if events and self._workload.answer.startswith("step"):
            self._target.upstream.advance(connection.number)

    def answered(self, connection: Connection) -> None:
        wrong_size = self._workload.answer_size not in (None, connection.size)
        if (
            connection.status == 200
            and not wrong_size
            and connection.events == self._workload.events
        ):
            self.tally.requests += 1
        else:
            self.tally.errors += 1
        self._done()

    def lost(self, connection: Connection) -> None:
        if connection.busy:
            connection.busy = False
            self.tally.errors += 1
            self._done()

    def _done(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def wait(self, limit: float = FINISH_LIMIT) -> None:
        """Wait for the answers in flight; those that do not come are errors."""
        try:
            async with asyncio.timeout(limit):
                await self._idle.wait()
        except TimeoutError:
            self.tally.errors += self._in_flight


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.busy = False
        connection.close()


class ClosedLoop(_Round):
    """So many connections, each sending its next request when its answer is whole."""

    def __init__(self, target: Target, workload: Workload) -> None:
        super().__init__(target, workload)
        self._stopping = False
        self._limit: int | None = None

    def answered(self, connection: Connection) -> None:
        super().answered(connection)
        if self._limit is not None and self.tally.requests + self._in_flight >= self._limit:
            self._stopping = True
        if not self._stopping:
            self.send(connection)

    async def run(self, connections: int, seconds: float, requests: int | None = None) -> Tally:
        """Send for so long, or so many requests if that comes first."""
        self._limit = requests
        opened = await self._target.connect(self, connections)
        started = time.perf_counter()
        for connection in opened:
            self.send(connection)
        while not self._stopping and time.perf_counter() - started < seconds:
            await asyncio.sleep(0.02)
            if not any(connection.busy for connection in opened):
                break
        self._stopping = True
        await self.wait()
        self.tally.seconds = time.perf_counter() - started
        _close(opened)
        return self.tally


class OpenLoop(_Round):
    """Requests at a constant rate, whether or not earlier ones were answered."""

    def __init__(self, target: Target, workload: Workload) -> None:
        super().__init__(target, workload)
        self._free: list[Connection] = []

    def answered(self, connection: Connection) -> None:
        now = time.perf_counter()
        self.tally.totals.append(now - connection.sent_at)
        self.tally.firsts.append(connection.first_at - connection.sent_at)
        super().answered(connection)
        self._free.append(connection)

    async def run(self, rate: float, seconds: float, connections: int = 16) -> Tally:
        """Send `rate` requests a second for so long, over connections opened beforehand."""
        opened = await self._target.connect(self, connections)
        self._free = list(opened)
        started = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            if not self._free:
                fresh = await self._target.connect(self, 1)
                opened += fresh
                self._free += fresh
            # First in, first out: every connection stays warm.
            self.send(self._free.pop(0))
        await self.wait()
        self.tally.seconds = time.perf_counter() - started
        _close(opened)
        return self.tally


class SlowStreams(_Round):
    """Many streams at once, each at the pace of `upstream.PACE`.

    `delays` holds, for each event, the time from its write by the provider to its arrival.
    """

    def __init__(self, target: Target, workload: Workload) -> None:
        super().__init__(target, workload)
        self.delays: array[float] = array("d")
        self._sent: dict[int, list[float]] = {}

    def received(self, connection: Connection, events: int) -> None:
        now = time.perf_counter()
        sent = self._sent.get(connection.number)
        if sent is None:
            stream = self._target.upstream.streams.get(connection.number)
            sent = self._sent[connection.number] = stream.sent if stream else []
        self.delays.extend(now - at for at in sent[connection.events - events : connection.events])
        super().received(connection, events)

    async def run(self, streams: int, ramp: float, limit: float) -> Tally:
        """Start the streams evenly over `ramp` seconds and wait for their ends, `limit` at most."""
        opened = await self._target.connect(self, streams)
        started = time.perf_counter()
        for number, connection in enumerate(opened):
            await asyncio.sleep(max(0.0, started + ramp * number / streams - time.perf_counter()))
            self.send(connection)
        await self.wait(limit)
        self.tally.seconds = time.perf_counter() - started
        _close(opened)
        return self.tally
