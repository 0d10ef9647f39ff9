"""Metrics of budgets. Names and labels are those of Coder's gateway; the thresholds are our own.

`group_id` is the group whose budget refused a request, empty where it was not a group's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from aigw.telemetry.labels import NAMESPACE, BoundedLabel

BUCKETS = (0.0001, 0.0005, 0.001, 0.01, 0.1, 1, 5, 15, 30, 60)
"""Seconds. A check takes some microseconds; what is more was spent waiting for other requests."""

MOST_BLOCKED = 10_000
"""Users remembered as refused: as many as have gateway keys, but the bound is ours."""


class BudgetMetrics:
    """Counts what `gateway.budgets` lets through and refuses."""

    def __init__(
        self,
        registry: CollectorRegistry,
        model_label: Callable[[str], str],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._model = model_label
        self._group = BoundedLabel()
        self._now = now
        self._blocked_until: dict[tuple[str, str], float] = {}
        self._blocked = Counter(
            f"{NAMESPACE}_cost_control_blocked_requests_total",
            "Requests refused because a budget was spent.",
            ["group_id"],
            registry=registry,
        )
        self._blocked_users = Gauge(
            f"{NAMESPACE}_cost_control_blocked_users",
            "Users refused in a budget's period, and not let through since.",
            ["group_id"],
            registry=registry,
        )
        duration = Histogram(
            f"{NAMESPACE}_cost_control_enforcement_duration_seconds",
            "Time that checking the budgets took, waiting for other requests included.",
            ["outcome"],
            buckets=BUCKETS,
            registry=registry,
        )
        # Looking a label up costs more than counting.
        self._duration_of = cache(duration.labels)
        self._unpriced = Counter(
            f"{NAMESPACE}_cost_control_unpriced_token_usage_records_total",
            "Responses whose model has no known price, and which cost a budget nothing.",
            ["model", "provider", "provider_type"],
            registry=registry,
        )
        self._thresholds = Counter(
            f"{NAMESPACE}_cost_control_thresholds_passed_total",
            "Thresholds that a budget's spending has passed.",
            ["scope", "threshold"],
            registry=registry,
        )

    def checked(self, outcome: str, seconds: float) -> None:
        """A request was checked: `allowed`, `blocked`, or `left` by its client while it waited."""
        self._duration_of(outcome).observe(seconds)

    def blocked(self, group: str, user: str, until: float) -> None:
        """A user's request was refused; the budget begins anew at `until`, seconds since the epoch."""
        label = self._group(group)
        self._blocked.labels(label).inc()
        if len(self._blocked_until) < MOST_BLOCKED:
            self._blocked_until[label, user] = until
        gauge = self._blocked_users.labels(label)
        gauge.set_function(lambda: self._count(label))

    def allowed(self, user: str) -> None:
        """A user's request was let through: whatever stood in the way is gone."""
        if self._blocked_until:
            for key in [key for key in self._blocked_until if key[1] == user]:
                del self._blocked_until[key]

    def unpriced(self, model: str, provider: str, provider_type: str) -> None:
        """A token record has no price."""
        self._unpriced.labels(self._model(model), provider, provider_type).inc()

    def passed(self, scope: str, threshold: int) -> None:
        """Spending has passed a threshold, in percent."""
        self._thresholds.labels(scope, str(threshold)).inc()

    def _count(self, group: str) -> int:
        now = self._now()
        for key in [key for key, until in self._blocked_until.items() if until <= now]:
            del self._blocked_until[key]
        return sum(label == group for label, _ in self._blocked_until)
