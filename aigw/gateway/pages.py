"""The daemon's own pages: is it up, is it ready, what is it doing, and the read API."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from aigw import __version__
from aigw.api.routes import respond
from aigw.errors import StoreError
from aigw.providers.provider import Provider
from aigw.records import rfc3339
from aigw.store.writer import Writer
from aigw.telemetry.metrics import Metrics

READY_SECONDS = 2.0
"""How long /readyz waits for the store: probes commonly give up after three."""


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What does not change while a daemon runs. `started_at` is in microseconds."""

    database: Path
    started_at: int
    retention: str
    providers: Sequence[Provider]


class Pages:
    """Answers for paths that belong to no provider."""

    def __init__(self, facts: DaemonFacts, writer: Writer, metrics: Metrics) -> None:
        self._facts = facts
        self._writer = writer
        self._metrics = metrics

    async def respond(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        """The page at a path, or None where there is none."""
        if path == "/" and request.method == "HEAD":
            return web.Response()
        if request.method not in {"GET", "HEAD"}:
            return None
        match path:
            case "/healthz":
                return web.Response(text="ok\n")
            case "/readyz":
                return await self._ready()
            case "/api/v2/aibridge/status" | "/api/v2/ai-gateway/status":
                return _json(200, self.status())
        return await self._read(request, path)

    async def _read(self, request: web.BaseRequest, path: str) -> web.Response | None:
        answer = await respond(path, request.query, self._facts.database, initiator=None)
        if answer is None:
            return None
        status, body = answer
        return web.Response(status=status, body=body, content_type="application/json")

    async def _ready(self) -> web.Response:
        """Ready means: a write reaches the store, and there is somebody to relay to."""
        problem = None
        try:
            await asyncio.wait_for(self._writer.commit([]), READY_SECONDS)
        except TimeoutError:
            problem = f"the store did not answer within {READY_SECONDS:g} seconds"
        except StoreError as error:
            problem = str(error)
        if problem is None and not self._facts.providers:
            problem = "no provider is configured"
        if problem is None:
            return _json(200, {"ready": True})
        return _json(503, {"ready": False, "message": problem})

    def status(self) -> dict[str, Any]:
        """The state of the daemon, as `aigw status --json` shows it."""
        facts = self._facts
        error = self._writer.last_error
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": rfc3339(facts.started_at),
            "uptime_seconds": max(0, int(time.time() - facts.started_at / 1_000_000)),
            "in_flight": self._metrics.in_flight,
            "database": str(facts.database),
            "database_bytes": database_bytes(facts.database),
            "records_written": self._writer.records_written,
            "retention": facts.retention,
            "providers": [
                {
                    "name": provider.name,
                    "type": provider.type.name,
                    "base_url": provider.base_url,
                    "key": "configured" if provider.pool else "client's own",
                }
                for provider in facts.providers
            ],
            "last_error": None
            if error is None
            else {"time": rfc3339(int(error[0] * 1_000_000)), "message": error[1]},
        }


def database_bytes(database: Path) -> int:
    """The size of the database and its write-ahead log."""
    total = 0
    for path in (database, database.with_name(database.name + "-wal")):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


def _json(status: int, value: object) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )
