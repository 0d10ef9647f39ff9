"""Reading the configuration again while requests are served.

All or nothing: the settings are resolved as at start (same flags, same environment, the files and
commands asked anew), providers are built and certificates checked, and only when nothing is wrong
does all of it come into use, in one step on the event loop. Otherwise everything stays, and what
is wrong is said in the log, in the answer and in `aigw status`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from aigw import clock
from aigw.errors import ConfigError
from aigw.gateway.configuration import Configuration, ReloadOutcome, from_settings
from aigw.gateway.tls import ListenerTls, tls_files
from aigw.options import OPTIONS
from aigw.providers.key_pool import PoolObserver
from aigw.tasks import spawn

if TYPE_CHECKING:
    from aigw.settings import Settings

_log = logging.getLogger("aigw.reload")

RELOADABLE = frozenset(
    {
        "openai_base_url",
        "openai_key",
        "anthropic_base_url",
        "anthropic_key",
        "bedrock_region",
        "bedrock_base_url",
        "bedrock_access_key",
        "bedrock_access_key_secret",
        "bedrock_model",
        "bedrock_small_fast_model",
        "retention",
        "allow_byok",
        "max_concurrency",
        "rate_limit",
        "send_actor_headers",
        "actor_header_id",
        "actor_header_username",
        "actor_header_email",
        "circuit_breaker_enabled",
        "circuit_breaker_failure_threshold",
        "circuit_breaker_interval",
        "circuit_breaker_timeout",
        "circuit_breaker_max_requests",
        "budget_policy",
        "budget_period",
        "budget_refusal",
        "budget_unpriced",
        "budget_thresholds",
        "budget_webhook",
        "budget_command",
        # The file that was read says nothing by itself; its path is settled by flag or variable.
        "config",
    }
)
"""Options whose change comes into use. A new option needs a restart until it is named here."""

TLS_OPTIONS = frozenset({"tls_cert_file", "tls_key_file"})
"""May lead to other files, but a listener that speaks HTTP does not begin to speak HTTPS."""


class Reloader:
    """Reads the configuration again when asked to, one time after the other.

    Args:
        settings: those the daemon started with.
        configuration: what came of them.
        resolve: gives the settings as they are now; may raise ConfigError, may take seconds.
        tls: the listener's certificate, where it has one.
        observer: told of what happens to provider keys.
    """

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        resolve: Callable[[], Settings],
        tls: ListenerTls | None = None,
        observer: PoolObserver | None = None,
    ) -> None:
        self.configuration = configuration
        self.last = ReloadOutcome(at=clock.now(), ok=True)
        self.tls = tls
        self._started_with = settings
        self._resolve = resolve
        self._observer = observer
        self._subscribers: list[Callable[[Configuration], None]] = []
        self._watchers: list[Callable[[ReloadOutcome], None]] = []
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[ReloadOutcome] | None = None
        self._is_stopping = False

    def subscribe(self, use: Callable[[Configuration], None]) -> None:
        """Have a part of the daemon told of each new configuration, on the event loop."""
        self._subscribers.append(use)

    def watch(self, tell: Callable[[ReloadOutcome], None]) -> None:
        """Tell of how each reload went, refused ones too; at once of the start, which is the first."""
        self._watchers.append(tell)
        tell(self.last)

    def request(self) -> asyncio.Task[ReloadOutcome]:
        """Have the configuration read again, once for all who ask before that begins.

        Files that change while they are read are read once more for who asks then: at most one
        reload runs and one waits, however many ask.
        """
        if self._next is None:
            self._next = spawn("reload", self._when_free())
        return self._next

    async def reload(self) -> ReloadOutcome:
        """Read the configuration again; how it went. Who stops waiting does not stop it."""
        return await asyncio.shield(self.request())

    def stop(self) -> None:
        """Let nothing come into use any more, of a reload that runs neither."""
        self._is_stopping = True

    async def _when_free(self) -> ReloadOutcome:
        async with self._turn:
            self._next = None
            self.last = outcome = await self._reload()
            for tell in self._watchers:
                tell(outcome)
            return outcome

    async def _reload(self) -> ReloadOutcome:
        try:
            settings, configuration = await asyncio.to_thread(self._read)
        except ConfigError as error:
            return self._refused(error.problems)
        except Exception as error:  # noqa: BLE001 (whatever it is, the daemon goes on as it was)
            _log.exception("reading the configuration failed")
            return self._refused([f"reading the configuration failed: {type(error).__name__}"])
        if self._is_stopping:
            return self._refused(["the daemon is stopping"])
        configuration.adopt(self.configuration)
        self.configuration = configuration
        for use in self._subscribers:
            use(configuration)
        needs_restart = changed_for_good(self._started_with, settings)
        _log.info("the configuration was read again and is in use")
        if needs_restart:
            _log.warning("changed, but needs a restart: %s", ", ".join(needs_restart))
        return ReloadOutcome(at=clock.now(), ok=True, needs_restart=needs_restart)

    def _read(self) -> tuple[Settings, Configuration]:
        """In a thread: the settings, and what follows from them."""
        settings = self._resolve()
        for warning in settings.warnings:
            if warning not in self._started_with.warnings:
                _log.warning("%s", warning)
        problems: list[str] = []
        configuration = None
        try:
            configuration = from_settings(settings, self.configuration, self._observer)
        except ConfigError as error:
            problems += error.problems
        try:
            files = tls_files(settings.tls_cert_file, settings.tls_key_file)
            if self.tls is not None:
                # Comes into use only where nothing else is wrong.
                self.tls.reload(files, in_use=not problems)
        except ConfigError as error:
            problems += error.problems
        if problems or configuration is None:
            raise ConfigError(*problems)
        return settings, configuration

    @staticmethod
    def _refused(problems: tuple[str, ...] | list[str]) -> ReloadOutcome:
        for problem in problems:
            _log.error("the configuration stays as it was: %s", problem)
        return ReloadOutcome(at=clock.now(), ok=False, problems=tuple(problems))


def changed_for_good(before: Settings, now: Settings) -> tuple[str, ...]:
    """Names of the options that differ and that a running daemon cannot change."""
    has_tls = before.tls_cert_file is not None and now.tls_cert_file is not None
    changeable = RELOADABLE | TLS_OPTIONS if has_tls else RELOADABLE
    return tuple(
        option.name
        for option in OPTIONS
        if option.name not in changeable
        and getattr(before, option.name) != getattr(now, option.name)
    )
