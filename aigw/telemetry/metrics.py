"""Prometheus metrics under the names of Coder's gateway (`coder_aibridged_*`).

Clients choose model names, tool names and, with keys, initiators: each such label keeps the first
`LABEL_VALUES` values it sees and counts the rest as `other`, so nobody can make the daemon's memory
or the monitoring system's bill grow without end.
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
    InterceptionEnd,
    InterceptionStart,
    PromptUsage,
    Record,
    TokenUsage,
    ToolUsage,
)

NAMESPACE = "coder_aibridged"

LABEL_VALUES = 200
"""Distinct values of one label that clients choose: more models than anyone uses in one place."""

OTHER = "other"
BUCKETS = (0.5, 2, 5, 15, 30, 60, 120)
"""Seconds; the buckets of the gateway whose dashboards these metrics feed."""


class BoundedLabel:
    """Lets the first `limit` distinct values of a label through."""

    def __init__(self, limit: int = LABEL_VALUES) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value itself, or `other` when too many others came first."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen.add(value)
        return value


class Metrics:
    """Counts what the recorder tells of (it is a `recorder.Observer`) and what is passed through."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = registry = CollectorRegistry()
        self.in_flight = 0
        self._model = BoundedLabel()
        self._tool = BoundedLabel()
        self._client = BoundedLabel()
        self._initiator = BoundedLabel()
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

    def started(self, start: InterceptionStart) -> None:
        """An interception begins."""
        self.in_flight += 1
        self._running.labels(start.provider_name, self._model(start.model), start.route).inc()

    def recorded(self, start: InterceptionStart, records: Sequence[Record]) -> None:
        """An interception yielded records."""
        provider, model, initiator, client = self._who(start)
        for record in records:
            if isinstance(record, PromptUsage):
                self._prompts.labels(provider, model, initiator, client).inc()
            elif isinstance(record, TokenUsage):
                for kind, count in (
                    ("input", record.input_tokens),
                    ("output", record.output_tokens),
                    ("cache_read_input_tokens", record.cache_read_input_tokens),
                    ("cache_write_input_tokens", record.cache_write_input_tokens),
                ):
                    if count:
                        self._tokens.labels(provider, model, kind, initiator, client).inc(count)
            elif isinstance(record, ToolUsage):
                self._tools.labels(provider, model, self._tool(record.tool)).inc()

    def ended(self, start: InterceptionStart, end: InterceptionEnd) -> None:
        """An interception is over."""
        self.in_flight -= 1
        provider, model, initiator, client = self._who(start)
        self._running.labels(provider, model, start.route).dec()
        self._interceptions.labels(
            provider, model, end.status.value, start.route, "POST", initiator, client
        ).inc()
        self._duration.labels(provider, model).observe(end.duration_ms / 1000)

    def passed_through(self, provider: str, pattern: str, method: str) -> None:
        """A request was relayed without a record; `pattern` is the route's, never a raw path."""
        self._passed.labels(provider, pattern, method if method in _METHODS else OTHER).inc()

    def _who(self, start: InterceptionStart) -> tuple[str, str, str, str]:
        return (
            start.provider_name,
            self._model(start.model),
            self._initiator(start.initiator_id),
            self._client(start.client),
        )

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
