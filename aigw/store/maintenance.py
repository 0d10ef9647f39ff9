"""Retention while the daemon runs: small batches in the writer's thread, between commits."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from aigw import clock
from aigw.store.retention import prune_batch, release_space
from aigw.store.writer import Writer
from aigw.tasks import spawn

_log = logging.getLogger("aigw.retention")

EVERY_SECONDS = 600.0
"""Ten minutes, as Coder's purge."""

BATCH_INTERCEPTIONS = 100
"""Interceptions deleted in one go: about five milliseconds in which commits wait."""

PAUSE_SECONDS = 0.05
"""Between two batches the writer is left to the requests, however much there is to prune."""


class Pruning:
    """Prunes in the background; `keep` says, now and later, how long records are kept."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._retention: timedelta | None = None
        self._task: asyncio.Task[None] | None = None

    def keep(self, retention: timedelta) -> None:
        """Delete what is older than this from now on. Zero keeps for ever."""
        if retention == self._retention:
            return
        self.stop()
        self._retention = retention
        self._task = spawn("retention", prune_regularly(self._writer, retention))

    def stop(self) -> None:
        """Delete nothing more."""
        if self._task is not None:
            self._task.cancel()


async def prune_regularly(writer: Writer, retention: timedelta) -> None:
    """Delete what is older than the retention, now and every ten minutes. Zero keeps for ever."""
    if retention <= timedelta(0):
        return
    while True:
        try:
            pruned = await prune_once(writer, retention)
            if pruned:
                _log.debug("pruned %d rows", pruned)
        except Exception as error:  # noqa: BLE001 (the next round may do better)
            _log.error("pruning failed: %s", error)
        await asyncio.sleep(EVERY_SECONDS)


async def prune_once(writer: Writer, retention: timedelta) -> int:
    """Delete everything older than the retention; returns how many rows."""
    cutoff = clock.now() - int(retention.total_seconds() * 1_000_000)
    total = 0
    while True:
        counts = await writer.call(lambda c: prune_batch(c, cutoff, BATCH_INTERCEPTIONS))
        if not counts["interceptions"]:
            break
        total += sum(counts.values())
        await asyncio.sleep(PAUSE_SECONDS)
    more = total > 0
    while more:
        more = await writer.call(release_space)
        await asyncio.sleep(PAUSE_SECONDS)
    return total
