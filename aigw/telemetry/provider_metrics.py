"""Metrics of providers and what guards them: circuit breaker, key pools, limits, reloads.

Names and labels are those of Coder's gateway; `limit_rejections_total` is our own. Nothing here is
called for a request unless something is refused, fails or changes, or a pool of keys is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from aigw.telemetry.labels import NAMESPACE

_ATTEMPTS = tuple(range(1, 11))
"""Buckets for the keys tried for one request: Coder's pools have at most five, ours some more."""

_CIRCUIT = ("provider", "endpoint", "model")


class CircuitMetrics:
    """The circuit breaker's observer (`gateway.breaker.BreakerObserver`)."""

    def __init__(self, registry: CollectorRegistry, model_label: Callable[[str], str]) -> None:
        self._model = model_label
        self._state = Gauge(
            f"{NAMESPACE}_circuit_breaker_state",
            "Whether a circuit is closed (0), half-open (0.5) or open (1).",
            _CIRCUIT,
            registry=registry,
        )
        self._trips = Counter(
            f"{NAMESPACE}_circuit_breaker_trips_total",
            "Times that a circuit has opened.",
            _CIRCUIT,
            registry=registry,
        )
        self._rejects = Counter(
            f"{NAMESPACE}_circuit_breaker_rejects_total",
            "Requests that an open circuit refused.",
            _CIRCUIT,
            registry=registry,
        )

    def changed(self, circuit: tuple[str, str, str], level: float) -> None:
        """A circuit (provider, route, model) has another state."""
        self._state.labels(*self._labels(circuit)).set(level)

    def tripped(self, circuit: tuple[str, str, str]) -> None:
        """A circuit has opened."""
        self._trips.labels(*self._labels(circuit)).inc()

    def rejected(self, circuit: tuple[str, str, str]) -> None:
        """A request was refused."""
        self._rejects.labels(*self._labels(circuit)).inc()

    def _labels(self, circuit: tuple[str, str, str]) -> tuple[str, str, str]:
        provider, endpoint, model = circuit
        return provider, endpoint, self._model(model)


class KeyPoolMetrics:
    """The key pools' observer. States, reasons and outcomes are the pool's words, a few of each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shown: dict[str, set[str]] = {}
        self._state = Gauge(
            f"{NAMESPACE}_key_pool_state",
            "Central keys, by state.",
            ["provider", "state"],
            registry=registry,
        )
        self._transitions = Counter(
            f"{NAMESPACE}_key_pool_state_transitions_total",
            "Times that a central key has changed its state, by reason.",
            ["provider", "reason"],
            registry=registry,
        )
        self._exhaustions = Counter(
            f"{NAMESPACE}_key_pool_exhaustions_total",
            "Requests for which no central key was left.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._attempts = Histogram(
            f"{NAMESPACE}_key_pool_failover_attempts",
            "Central keys tried for a request.",
            ["provider"],
            buckets=_ATTEMPTS,
            registry=registry,
        )

    def transition(self, provider: str, reason: str) -> None:
        """A key has changed its state."""
        self._transitions.labels(provider, reason).inc()

    def states(self, provider: str, counts: Mapping[str, int]) -> None:
        """How many keys of a provider are in each state; what is not named has none."""
        shown = self._shown.setdefault(provider, set())
        shown.update(counts)
        for state in shown:
            self._state.labels(provider, state).set(counts.get(state, 0))

    def exhausted(self, provider: str, outcome: str) -> None:
        """A request was left without a key."""
        self._exhaustions.labels(provider, outcome).inc()

    def attempts(self, provider: str, number: int) -> None:
        """How many keys were tried for a request, until it succeeded or none was left."""
        self._attempts.labels(provider).observe(number)

    def keep(self, providers: Iterable[str]) -> None:
        """Drop the states of all other providers: after a reload they are gone."""
        for provider in set(self._shown).difference(providers):
            for state in self._shown.pop(provider):
                self._state.remove(provider, state)


class LimitMetrics:
    """Counts what `gateway.limits` refuses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rejections = Counter(
            f"{NAMESPACE}_limit_rejections_total",
            "Requests refused because of a limit.",
            ["limit"],
            registry=registry,
        )

    def rejected(self, limit: str) -> None:
        """A request was refused; `limit` is `Refusal.limit`."""
        self._rejections.labels(limit).inc()


class ProviderMetrics:
    """What is configured, and when that was last read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = Gauge(
            f"{NAMESPACE}_provider_info",
            "Configured providers; always 1.",
            ["provider_name", "provider_type", "status"],
            registry=registry,
        )
        self._read_at = Gauge(
            f"{NAMESPACE}_providers_last_reload_timestamp_seconds",
            "When the configuration was last read, at the start or for a reload.",
            registry=registry,
        )
        self._succeeded_at = Gauge(
            f"{NAMESPACE}_providers_last_reload_success_timestamp_seconds",
            "When the configuration was last read and put to use.",
            registry=registry,
        )

    def configured(self, providers: Iterable[tuple[str, str, str]]) -> None:
        """The name, type and status (`enabled`, `disabled`, `error`) of every provider there is."""
        self._info.clear()
        for name, kind, status in providers:
            self._info.labels(name, kind, status).set(1)

    def reloaded(self, at: float, *, succeeded: bool) -> None:
        """The configuration was read, also at the start; `at` is in seconds since the epoch."""
        self._read_at.set(at)
        if succeeded:
            self._succeeded_at.set(at)
