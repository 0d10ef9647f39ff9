"""What the gateway serves and within which limits: all that may change while it runs.

A reload makes a new `Configuration` and puts it in the old one's place as a whole. Requests in
flight keep the providers they began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from aigw.errors import ConfigError
from aigw.gateway.actor import ActorHeaders
from aigw.gateway.circuit import BreakerSettings
from aigw.option_values import command_words
from aigw.price_settings import PriceSettings
from aigw.pricing.budget_settings import BudgetSettings, Refusal
from aigw.provider_settings import ProviderSettings
from aigw.providers.build import build_provider
from aigw.providers.key_pool import PoolObserver
from aigw.providers.provider import Provider

if TYPE_CHECKING:
    from aigw.settings import Settings


_USUAL_BUDGETS = BudgetSettings()
_UNTOLD = ActorHeaders("", "", "", send=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that a reload may change.

    Attributes:
        providers: those that serve, by name.
        described: what the settings say of every provider, those that do not serve included.
        max_concurrency: most requests served at a time; 0: no limit.
        rate_limit: most requests a second of one key or address; 0: no limit.
        actor: how providers are told who asks; `actor_removal` only keeps clients from telling it.
        breaker: None when there are no circuit breakers.
        retention: how long records are kept; zero: for ever.
        prices: of models, where the operator knows better than the price list.
        budgets: how budgets refuse and warn.
    """

    providers: Mapping[str, Provider]
    described: Mapping[str, ProviderSettings]
    max_concurrency: int = 0
    rate_limit: int = 0
    actor: ActorHeaders = _UNTOLD
    actor_removal: ActorHeaders = _UNTOLD
    breaker: BreakerSettings | None = None
    retention: timedelta = timedelta(0)
    prices: tuple[PriceSettings, ...] = ()
    budgets: BudgetSettings = _USUAL_BUDGETS

    @property
    def disabled(self) -> Mapping[str, ProviderSettings]:
        """The providers that are configured and switched off, by name."""
        return {name: each for name, each in self.described.items() if not each.enabled}

    def adopt(self, previous: Configuration) -> None:
        """Take over which keys rest. On the event loop, at the moment of the change."""
        for name, provider in self.providers.items():
            old = previous.providers.get(name)
            if old is None or old is provider or old.pool is None or provider.pool is None:
                continue
            provider.pool.adopt(old.pool)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOutcome:
    """How reading the configuration again went.

    Attributes:
        at: microseconds since the epoch.
        ok: whether what was read is in use; else the old one stays.
        problems: why it is not, a line each for a person.
        needs_restart: names of options that have changed, but not for a daemon that runs.
    """

    at: int
    ok: bool
    problems: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


def from_settings(
    settings: Settings,
    previous: Configuration | None = None,
    observer: PoolObserver | None = None,
) -> Configuration:
    """The configuration that the settings describe.

    A provider of which nothing has changed stays the object it was, with its keys' state and the
    AWS credentials it has got. May take a while (AWS's library, its files): not for the event loop.

    Raises:
        ConfigError: providers cannot be built; `problems` has a line for each fault.
    """
    described = {each.name: each for each in settings.providers}
    providers: dict[str, Provider] = {}
    problems: list[str] = []
    for name, each in described.items():
        if not each.enabled:
            continue
        try:
            kept = _unchanged(each, previous)
            providers[name] = kept or build_provider(each, observer)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return Configuration(
        providers=providers,
        described=described,
        max_concurrency=settings.max_concurrency,
        rate_limit=settings.rate_limit,
        actor=_actor(settings, send=settings.send_actor_headers),
        actor_removal=_actor(settings, send=False),
        breaker=_breaker(settings),
        retention=settings.retention,
        prices=settings.prices,
        budgets=_budgets(settings),
    )


def _unchanged(settings: ProviderSettings, previous: Configuration | None) -> Provider | None:
    """The provider of the same settings until now."""
    if previous is None or settings.name not in previous.providers:
        return None
    bedrock = settings.bedrock
    if bedrock is not None and not bedrock.access_keys and not settings.keys:
        # AWS's own chain of credentials is files and variables too: a reload reads them again.
        return None
    # A line inserted above it in the file changes where a value is, not what it is.
    before = replace(previous.described[settings.name], origins={})
    return previous.providers[settings.name] if before == replace(settings, origins={}) else None


def _actor(settings: Settings, *, send: bool) -> ActorHeaders:
    return ActorHeaders(
        settings.actor_header_id,
        settings.actor_header_username,
        settings.actor_header_email,
        send=send,
    )


def _budgets(settings: Settings) -> BudgetSettings:
    return BudgetSettings(
        refusal=Refusal(settings.budget_refusal),
        refuses_unpriced=settings.budget_unpriced == "refuse",
        thresholds=settings.budget_thresholds,
        webhook=settings.budget_webhook,
        command=command_words(settings.budget_command or ""),
    )


def _breaker(settings: Settings) -> BreakerSettings | None:
    if not settings.circuit_breaker_enabled:
        return None
    return BreakerSettings(
        settings.circuit_breaker_failure_threshold,
        settings.circuit_breaker_interval.total_seconds(),
        settings.circuit_breaker_timeout.total_seconds(),
        settings.circuit_breaker_max_requests,
    )
