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

    from aigw.gateway.configuration import Configuration
    from aigw.provider_settings import ProviderSettings
    from aigw.providers.provider import Provider
    from aigw.settings import Settings
    from aigw.store.lock import Runtime


def serve(settings: Settings, resolve: Callable[[], Settings]) -> int:
    """Run the daemon until it is told to stop; returns the exit code.

    `resolve` gives the settings as they are at a reload.

    Raises:
        AigwError: it cannot start.
    """
    logs = Logs(settings.log_human, settings.log_json, settings.log_filter)
    logs.open()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(settings, resolve, lambda *ready: _print(banner(settings, *ready))))
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


def _print(lines: list[str]) -> None:
    print("\n".join(lines), file=sys.stderr, flush=True)


def banner(
    settings: Settings, runtime: Runtime, configuration: Configuration, gateway_keys: int
) -> list[str]:
    """What the daemon tells the person who started it."""
    where = runtime.address
    if runtime.listening != runtime.address:
        where += f" (listening on {runtime.listening})"
    lines = [f"aigw {runtime.version} is ready at {where}", f"  database   {settings.db}"]
    for name, each in configuration.described.items():
        lines.append(f"  provider   {_provider(each, configuration.providers.get(name))}")
    if gateway_keys:
        lines.append(f"  access     gateway keys: {gateway_keys}")
    else:
        lines.append("  access     open mode: whoever uses this machine")
    if runtime.metrics_address:
        lines.append(f"  metrics    http://{runtime.metrics_address}/metrics")
    central = frozenset(n for n, provider in configuration.providers.items() if provider.pool)
    exports = export_lines(runtime.address, central, gateway_keys=gateway_keys > 0)
    return [*lines, "", *exports, "", "See what is recorded with: aigw logs -f"]


def _provider(settings: ProviderSettings, provider: Provider | None) -> str:
    if provider is None:
        return f"{settings.name:<10} disabled"
    address = provider.base_url
    if provider.bedrock is not None:
        address += f", Amazon Bedrock in {provider.bedrock.endpoint.region}"
    return f"{settings.name:<10} {address} ({_keys(provider)})"


def _keys(provider: Provider) -> str:
    if provider.pool is None:
        return "no key: the client's own is used"
    count = len(provider.pool.credentials)
    if provider.bedrock is not None:
        return "AWS credentials" if count == 1 else f"{count} AWS credentials"
    return "central key" if count == 1 else f"{count} keys"
