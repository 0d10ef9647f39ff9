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
    Gauge,
    Histogram,
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

BUCKETS = (0.5, 2, 5, 15, 30, 60, 120)
"""Seconds; the buckets of the gateway whose dashboards these metrics feed."""


class _Series:
    """The bound series of one kind of interception: looking labels up costs more than counting."""

    __slots__ = ("duration", "ended", "prompts", "running", "tokens", "tools")

    def __init__(self, duration: Histogram, running: Gauge, prompts: Counter) -> None:
        self.duration = duration
        self.running = running
        self.prompts = prompts
        self.ended: dict[str, Counter] = {}
        self.tokens: dict[str, Counter] = {}
        self.tools: dict[str, Counter] = {}


_Key = tuple[str, str, str, str, str]


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
        self._series: dict[_Key, _Series] = {}
        who = ["provider", "model", "initiator_id", "client"]

        def counter(name: str, text: str, labels: list[str]) -> Counter:
            return Counter(f"{NAMESPACE}_{name}", text, labels, registry=registry)

        self._interceptions = counter(
            "interceptions_total",
            "Recorded requests, by outcome.",
            ["provider", "model", "status", "route", "method", "initiator_id", "client"],
        )
        self._running = Gauge(
            f"{NAMESPACE}_interceptions_inflight",
            "Recorded requests being answered.",
            ["provider", "model", "route"],
            registry=registry,
        )
        self._duration = Histogram(
            f"{NAMESPACE}_interceptions_duration_seconds",
            "Time from a recorded request to the end of its answer.",
            ["provider", "model"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._passed = counter(
            "passthrough_total", "Unrecorded requests.", ["provider", "route", "method"]
        )
        self._prompts = counter("prompts_total", "Recorded user prompts.", who)
        self._tokens = counter("tokens_total", "Tokens, by type.", [*who[:2], "type", *who[2:]])
        self._tools = counter(
            "non_injected_tool_selections_total",
            "Calls by the model of tools that the client offered.",
            ["provider", "model", "name"],
        )
        self.circuits = CircuitMetrics(registry, self._model)
        self.key_pools = KeyPoolMetrics(registry)
        self.limits = LimitMetrics(registry)
        self.providers = ProviderMetrics(registry)
        self.budgets = BudgetMetrics(registry, self._model)

    def started(self, start: InterceptionStart) -> None:
        """An interception begins."""
        self.in_flight += 1
        self._of(start)[1].running.inc()

    def recorded(self, start: InterceptionStart, records: Sequence[Record]) -> None:
        """An interception yielded records."""
        key, series = self._of(start)
        for record in records:
            kind = type(record)
            if kind is PromptUsage:
                series.prompts.inc()
            elif kind is TokenUsage:
                assert isinstance(record, TokenUsage)
                self._count_tokens(key, series, record)
                if record.cost_basis is CostBasis.UNPRICED:
                    self.budgets.unpriced(start.model, start.provider_name, start.provider)
            elif kind is ToolUsage:
                assert isinstance(record, ToolUsage)
                name = self._tool(record.tool)
                if name not in series.tools:
                    series.tools[name] = self._tools.labels(key[0], key[1], name)
                series.tools[name].inc()

    def ended(self, start: InterceptionStart, end: InterceptionEnd) -> None:
        """An interception is over."""
        self.in_flight -= 1
        key, series = self._of(start)
        series.running.dec()
        status = end.status.value
        if status not in series.ended:
            provider, model, route, initiator, client = key
            series.ended[status] = self._interceptions.labels(
                provider, model, status, route, "POST", initiator, client
            )
        series.ended[status].inc()
        series.duration.observe(end.duration_ms / 1000)

    def passed_through(self, provider: str, pattern: str, method: str) -> None:
        """A request was relayed without a record; `pattern` is the route's, never a raw path."""
        self._passed.labels(provider, pattern, method if method in _METHODS else OTHER).inc()

    def _count_tokens(self, key: _Key, series: _Series, record: TokenUsage) -> None:
        for kind, count in (
            ("input", record.input_tokens),
            ("output", record.output_tokens),
            ("cache_read_input_tokens", record.cache_read_input_tokens),
            ("cache_write_input_tokens", record.cache_write_input_tokens),
        ):
            if count:
                if kind not in series.tokens:
                    provider, model, _, initiator, client = key
                    series.tokens[kind] = self._tokens.labels(
                        provider, model, kind, initiator, client
                    )
                series.tokens[kind].inc(count)

    def _of(self, start: InterceptionStart) -> tuple[_Key, _Series]:
        key = (
            start.provider_name,
            self._model(start.model),
            start.route,
            self._initiator(start.initiator_id),
            self._client(start.client),
        )
        series = self._series.get(key)
        if series is None:
            provider, model, route, initiator, client = key
            series = self._series[key] = _Series(
                self._duration.labels(provider, model),
                self._running.labels(provider, model, route),
                self._prompts.labels(provider, model, initiator, client),
            )
        return key, series

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
