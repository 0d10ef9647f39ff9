"""`aigw serve`: the daemon in the foreground."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from aigw.clients.wiring import export_lines
from aigw.daemon import run
from aigw.telemetry.logs import Logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw.providers.provider import Provider
    from aigw.settings import Settings
    from aigw.store.lock import Runtime


def serve(settings: Settings) -> int:
    """Run the daemon until it is told to stop; returns the exit code.

    Raises:
        AigwError: it cannot start.
    """
    logs = Logs(settings.log_human, settings.log_json, settings.log_filter)
    logs.open()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(settings, lambda runtime, found: _banner(settings, runtime, found)))
    finally:
        logs.close()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        # Windows, or a Python it is not built for: asyncio's own loop does.
        return None
    return uvloop.new_event_loop


def _banner(settings: Settings, runtime: Runtime, providers: dict[str, Provider]) -> None:
    lines = [
        f"aigw {runtime.version} is ready at {runtime.address}",
        f"  database   {settings.db}",
    ]
    for provider in providers.values():
        key = "central key" if provider.pool else "no key: the client's own is used"
        lines.append(f"  provider   {provider.name:<10} {provider.base_url} ({key})")
    if runtime.metrics_address:
        lines.append(f"  metrics    http://{runtime.metrics_address}/metrics")
    lines.append("")
    central = frozenset(provider.type.name for provider in providers.values() if provider.pool)
    lines.extend(export_lines(runtime.address, central))
    lines.append("")
    lines.append("See what is recorded with: aigw logs -f")
    print("\n".join(lines), file=sys.stderr, flush=True)
