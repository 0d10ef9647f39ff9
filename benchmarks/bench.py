"""What every measurement needs: the provider, the folder, the cores, and servers under test."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load import Target
from benchmarks.machine import resident_megabytes
from benchmarks.servers import PLAIN, Server, Setup, start_floor, start_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Bench:
    """One run.

    `core` is that of the servers under test, `store` the big database of `commands`, `against`
    another checkout of the gateway to compare this one with.
    """

    upstream: Upstream
    upstream_address: str
    core: int | None
    quick: bool
    store: Path | None = None
    against: Path | None = None

    def direct(self) -> Target:
        """The provider itself, without anything between."""
        return Target(self.upstream_address, self.upstream)

    @contextlib.asynccontextmanager
    async def serving(
        self, name: str, setup: Setup = PLAIN
    ) -> AsyncIterator[tuple[Server, Target]]:
        """A fresh server, the `floor` or a gateway, in a folder of its own; both go afterwards."""
        with tempfile.TemporaryDirectory(prefix="aigw-bench-") as folder:
            if name == "floor":
                server = await start_floor(self.upstream_address, Path(folder), self.core)
            else:
                server = await start_gateway(self.upstream_address, Path(folder), self.core, setup)
            try:
                yield server, Target(server.address, self.upstream, server.key)
            finally:
                server.stop()

    @contextlib.asynccontextmanager
    async def both(self) -> AsyncIterator[dict[str, tuple[Server, Target]]]:
        """The floor and the gateway, side by side."""
        async with self.serving("floor") as floor, self.serving("aigw") as gateway:
            yield {"floor": floor, "aigw": gateway}


class MemoryWatch:
    """Samples a process's resident memory a few times a second; `peak` is in megabytes."""

    EVERY = 0.25

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak = 0.0
        self._sample()

    def _sample(self) -> None:
        self.peak = max(self.peak, resident_megabytes(self._pid))
        self._timer = asyncio.get_running_loop().call_later(self.EVERY, self._sample)

    def stop(self) -> float:
        """End the sampling and return the peak."""
        self._timer.cancel()
        return self.peak
