"""The daemon's own pages: is it up, is it ready, what is it doing, the read API, and reload."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web

from aigw import __version__
from aigw.api.routes import PREFIXES, respond
from aigw.durations import format_duration
from aigw.errors import AuthError, StoreError
from aigw.gateway.configuration import Configuration, ReloadOutcome
from aigw.gateway.errors import CHALLENGE
from aigw.gateway.tls import ListenerTls
from aigw.provider_settings import ProviderSettings
from aigw.providers.build import type_of
from aigw.providers.key_pool import KeyPool, State
from aigw.providers.provider import Provider
from aigw.records import rfc3339
from aigw.store.key_ring import KeyRing
from aigw.store.lock import CONTROL_HEADER
from aigw.store.writer import Writer
from aigw.telemetry.metrics import Metrics

READY_SECONDS = 2.0
"""How long /readyz waits for the store: probes commonly give up after three."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at the pages.

    Attributes:
        initiator: whose records the read API shows; None: everybody's.
        is_admin: whether the daemon's own state is shown as well.
        me: whom `initiator:me` means to who sees everybody's; None: everybody.
    """

    initiator: str | None = None
    is_admin: bool = False
    me: str | None = None


LOCAL = Viewer(is_admin=True)
"""The machine's own user: who asks in open mode, or with the control token."""


@dataclass(slots=True)
class DaemonFacts:
    """What does not change while a daemon runs. `started_at` is in microseconds.

    `listening` is the listener's URL, known once it listens; `control_token` lets its holder
    reload.
    """

    database: Path
    started_at: int
    listening: str = ""
    control_token: str = ""

    def __repr__(self) -> str:
        return f"DaemonFacts({str(self.database)!r})"


class Control(Protocol):
    """What may change while a daemon runs: `reload.Reloader`."""

    configuration: Configuration
    last: ReloadOutcome
    tls: ListenerTls | None

    async def reload(self) -> ReloadOutcome:
        """Read the configuration again."""


def no_budgets() -> Mapping[str, int]:
    """Of a gateway that has none."""
    return {"count": 0, "waiting": 0}


def no_breakers() -> Sequence[Mapping[str, Any]]:
    """Of a gateway that has none."""
    return ()


READS_AT_ONCE = 4
"""Answers of the read API that are made for one user at a time. Each takes a thread, and a page of
1,000 sessions some 20 MB: a user's hundred requests at once must not cost the relay its memory."""


class Pages:
    """Answers for paths that belong to no provider.

    Args:
        facts: of the daemon.
        writer: of its store.
        metrics: know what is in flight.
        control: the configuration in use.
        keys: the gateway keys.
        breakers: the circuit breakers that are not closed, as the status page shows them.
        budgets: how many budgets there are, and how many requests wait for others.
    """

    def __init__(
        self,
        facts: DaemonFacts,
        writer: Writer,
        metrics: Metrics,
        control: Control,
        keys: KeyRing,
        breakers: Callable[[], Sequence[Mapping[str, Any]]] = no_breakers,
        budgets: Callable[[], Mapping[str, int]] = no_budgets,
    ) -> None:
        self._facts = facts
        self._writer = writer
        self._metrics = metrics
        self._control = control
        self._keys = keys
        self._breakers = breakers
        self._budgets = budgets
        self._reads: defaultdict[Viewer, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(READS_AT_ONCE)
        )

    async def respond(
        self, request: web.BaseRequest, path: str, viewer: Viewer | AuthError
    ) -> web.StreamResponse | None:
        """The page at a path, or None where there is none.

        Anybody may ask whether the daemon is up and ready. Instead of a viewer, an error says
        that it is somebody unknown and why, who sees no more than that, unless the request carries the control token.
        """
        if self.is_control(request):
            viewer = LOCAL
        if request.method == "POST":
            return await self._reload(request) if _own_page(path) == "reload" else None
        if request.method not in {"GET", "HEAD"}:
            return None
        if _own_page(path) == "status":
            return await self._status(viewer)
        return await self._health(request, path) or await self._read(request, path, viewer)

    async def _health(self, request: web.BaseRequest, path: str) -> web.Response | None:
        match path:
            case "/" if request.method == "HEAD":
                return web.Response()
            case "/healthz":
                return web.Response(text="ok\n")
            case "/readyz":
                return await self._ready()
        return None

    def is_control(self, request: web.BaseRequest) -> bool:
        """Whether a request comes from who may read the daemon's runtime note."""
        given = request.headers.get(CONTROL_HEADER, "").encode("utf-8", "surrogateescape")
        token = self._facts.control_token.encode()
        return bool(token) and secrets.compare_digest(given, token)

    async def _reload(self, request: web.BaseRequest) -> web.Response:
        """Answers 200 whatever came of it: what was asked is to try, and the body says how it went.

        The control token is asked for in open mode too, where any program may send requests.
        """
        if not self.is_control(request):
            return _refused(RELOAD_REFUSED)
        return _json(200, _reload_facts(await self._control.reload()))

    async def _status(self, viewer: Viewer | AuthError) -> web.Response:
        if isinstance(viewer, AuthError):
            return _unknown(viewer)
        if not viewer.is_admin:
            return _refused(STATUS_REFUSED)
        return _json(200, self.status())

    async def _read(
        self, request: web.BaseRequest, path: str, viewer: Viewer | AuthError
    ) -> web.Response | None:
        if isinstance(viewer, AuthError):
            return _unknown(viewer) if path.startswith(PREFIXES) else None
        async with self._reads[viewer]:
            answer = await respond(
                path, request.query, self._facts.database, initiator=viewer.initiator, me=viewer.me
            )
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
        if problem is None and not self._control.configuration.providers:
            problem = "no provider is configured"
        if problem is None:
            return _json(200, {"ready": True})
        return _json(503, {"ready": False, "message": problem})

    def status(self) -> dict[str, Any]:
        """The state of the daemon, as `aigw status --json` shows it."""
        facts, error = self._facts, self._writer.last_error
        configuration, tls = self._control.configuration, self._control.tls
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": rfc3339(facts.started_at),
            "uptime_seconds": max(0, int(time.time() - facts.started_at / 1_000_000)),
            "listening": facts.listening,
            "tls": None if tls is None else {"expires": f"{tls.leaf.expires:%Y-%m-%dT%H:%M:%SZ}"},
            "open_mode": self._keys.is_open,
            "gateway_keys": self._keys.count,
            "gateway_keys_working": self._keys.count_working(),
            "in_flight": self._metrics.in_flight,
            "database": str(facts.database),
            "database_bytes": database_bytes(facts.database),
            "records_written": self._writer.records_written,
            "retention": format_duration(configuration.retention)
            if configuration.retention
            else "for ever",
            "reload": _reload_facts(self._control.last),
            "limits": {
                "max_concurrency": configuration.max_concurrency,
                "rate_limit": configuration.rate_limit,
            },
            "budgets": dict(self._budgets()),
            "breakers": list(self._breakers()),
            "providers": [
                _provider_facts(each, configuration.providers.get(name))
                for name, each in configuration.described.items()
            ],
            "last_error": None
            if error is None
            else {"time": rfc3339(int(error[0] * 1_000_000)), "message": error[1]},
        }


STATUS_REFUSED = (
    "the status page is for admins: run `aigw status` on the gateway's machine as the user that "
    "runs it, or send the gateway key of an admin"
)
RELOAD_REFUSED = (
    "only the user that runs the gateway may have it read its configuration again: run "
    "`aigw reload` on its machine"
)


def _own_page(path: str) -> str:
    """What follows the prefix of the gateway's own pages; empty for any other path."""
    found = next((prefix for prefix in PREFIXES if path.startswith(prefix)), None)
    return "" if found is None else path.removeprefix(found)


def _provider_facts(settings: ProviderSettings, provider: Provider | None) -> dict[str, Any]:
    """One that is switched off is only described."""
    keys = [] if provider is None or provider.pool is None else _key_facts(provider.pool)
    facts: dict[str, Any] = {
        "name": settings.name,
        "type": type_of(settings).name,
        "base_url": settings.base_url if provider is None else provider.base_url,
        "enabled": provider is not None,
        "status": "disabled" if provider is None else _provider_status(keys),
        "key": "configured" if keys or settings.keys else "client's own",
        "keys": keys,
    }
    if provider is not None and provider.bedrock is not None:
        facts["region"] = provider.bedrock.endpoint.region
    return facts


def _provider_status(keys: list[dict[str, Any]]) -> str:
    usable = not keys or any(key["state"] == State.AVAILABLE for key in keys)
    return "enabled" if usable else "keys_exhausted"


def _key_facts(pool: KeyPool) -> list[dict[str, Any]]:
    """Each key's hint and state; `seconds` is how long it still rests."""
    return [
        {"hint": key.hint, "state": key.state.value, "seconds": round(key.seconds, 1)}
        for key in pool.states(time.monotonic())
    ]


def _reload_facts(outcome: ReloadOutcome) -> dict[str, Any]:
    return {
        "at": rfc3339(outcome.at),
        "ok": outcome.ok,
        "problems": list(outcome.problems),
        "needs_restart": list(outcome.needs_restart),
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


def _unknown(error: AuthError) -> web.Response:
    """401 in the shape of Coder's own API, which these pages are a part of."""
    response = _json(error.status, {"message": str(error)})
    response.headers.update(CHALLENGE)
    return response


def _refused(message: str) -> web.Response:
    return _json(403, {"message": message})


def _json(status: int, value: object) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )
