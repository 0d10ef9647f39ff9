"""Prometheus metrics under the names of Coder's gateway (`coder_aibridged_*`).

Clients choose model names, tool names and, with keys, initiators: each such label keeps the first
`labels.LABEL_VALUES` values it sees and counts the rest as `other`, so nobody can make the daemon's
memory or the monitoring system's bill grow without end.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    disable_created_metrics,
    generate_latest,
)

from aigw.records import (
    CostBasis,
    InterceptionEnd,
    InterceptionStart,
    PromptUsage,
    Record,
    TokenUsage,
    ToolUsage,
)
from aigw.telemetry.budget_metrics import BudgetMetrics
from aigw.telemetry.labels import NAMESPACE, OTHER, BoundedLabel
from aigw.telemetry.provider_metrics import (
    CircuitMetrics,
    KeyPoolMetrics,
    LimitMetrics,
    ProviderMetrics,
)
from aigw.telemetry.tally import Kind, Tallies, Tally


class Metrics:
    """Counts what the recorder tells of (it is a `recorder.Observer`) and what is passed through.

    Attributes:
        circuits, key_pools, limits, providers, budgets: metrics that others report to.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types only a part
        self.registry = registry = CollectorRegistry()
        self.in_flight = 0
        self._model = BoundedLabel()
        self._tool = BoundedLabel()
        self._client = BoundedLabel()
        self._initiator = BoundedLabel()
        self._tallies = Tallies()
        registry.register(self._tallies)
        self._running: dict[str, Tally] = {}
        self._passed = Counter(
            f"{NAMESPACE}_passthrough_total",
            "Unrecorded requests.",
            ["provider", "route", "method"],
            registry=registry,
        )
        self.circuits = CircuitMetrics(registry, self._model)
        self.key_pools = KeyPoolMetrics(registry)
        self.limits = LimitMetrics(registry)
        self.providers = ProviderMetrics(registry)
        self.budgets = BudgetMetrics(registry, self._model)

    def started(self, start: InterceptionStart) -> None:
        """An interception begins."""
        self.in_flight += 1
        tally = self._running[start.interception_id] = self._of(start)
        tally.running += 1

    def recorded(self, start: InterceptionStart, records: Sequence[Record]) -> None:
        """An interception yielded records."""
        tally = self._running[start.interception_id]
        for record in records:
            kind = type(record)
            if kind is PromptUsage:
                tally.prompts += 1
            elif kind is TokenUsage:
                assert isinstance(record, TokenUsage)
                _count_tokens(tally.tokens, record)
                if record.cost_basis is CostBasis.UNPRICED:
                    self.budgets.unpriced(start.model, start.provider_name, start.provider)
            elif kind is ToolUsage:
                assert isinstance(record, ToolUsage)
                name = self._tool(record.tool)
                tally.tools[name] = tally.tools.get(name, 0) + 1

    def ended(self, start: InterceptionStart, end: InterceptionEnd) -> None:
        """An interception is over."""
        self.in_flight -= 1
        tally = self._running.pop(start.interception_id)
        tally.end(end.status.value, end.duration_ms / 1000)

    def passed_through(self, provider: str, pattern: str, method: str) -> None:
        """A request was relayed without a record; `pattern` is the route's, never a raw path."""
        self._passed.labels(provider, pattern, method if method in _METHODS else OTHER).inc()

    def _of(self, start: InterceptionStart) -> Tally:
        return self._tallies.of(
            Kind(
                start.provider_name,
                self._model(start.model),
                start.route,
                self._initiator(start.initiator_id),
                self._client(start.client),
            )
        )

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)


def _count_tokens(counts: dict[str, int], record: TokenUsage) -> None:
    for kind, count in (
        ("input", record.input_tokens),
        ("output", record.output_tokens),
        ("cache_read_input_tokens", record.cache_read_input_tokens),
        ("cache_write_input_tokens", record.cache_write_input_tokens),
    ):
        if count:
            counts[kind] = counts.get(kind, 0) + count


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
