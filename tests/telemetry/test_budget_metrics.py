"""Names, labels and bounds of the metrics of budgets."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aigw.telemetry.budget_metrics import BudgetMetrics
from aigw.telemetry.labels import LABEL_VALUES, OTHER, BoundedLabel

PREFIX = "coder_aibridged_cost_control_"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[BudgetMetrics, CollectorRegistry, Clock]:
    registry, clock = CollectorRegistry(), Clock()
    return BudgetMetrics(registry, BoundedLabel(), now=clock), registry, clock


def series(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name == PREFIX + name
    }


def test_blocked_users_are_counted_once_until_their_period_ends() -> None:
    metrics, registry, clock = made()
    for user, until in (("ada", 2000.0), ("ada", 2000.0), ("bob", 3000.0)):
        metrics.blocked("dev", user, until)
    metrics.blocked("", "eve", 2000.0)
    assert series(registry, "blocked_requests_total") == {("dev",): 3, ("",): 1}
    assert series(registry, "blocked_users") == {("dev",): 2, ("",): 1}
    clock.now = 2000.0
    assert series(registry, "blocked_users") == {("dev",): 1, ("",): 0}


def test_who_is_let_through_is_not_blocked_any_more() -> None:
    metrics, registry, _ = made()
    metrics.blocked("dev", "ada", 2000.0)
    metrics.blocked("ops", "ada", 2000.0)
    metrics.allowed("bob")
    assert sum(series(registry, "blocked_users").values()) == 2
    metrics.allowed("ada")
    assert sum(series(registry, "blocked_users").values()) == 0


def test_labels_are_bounded() -> None:
    metrics, registry, _ = made()
    for number in range(LABEL_VALUES + 5):
        metrics.unpriced(f"m-{number}", "openai", "openai")
        metrics.blocked(f"g-{number}", "ada", 2000.0)
    unpriced = series(registry, "unpriced_token_usage_records_total")
    assert unpriced[OTHER, "openai", "openai"] == 5
    assert series(registry, "blocked_requests_total")[OTHER,] == 5


def test_checks_and_thresholds() -> None:
    metrics, registry, _ = made()
    metrics.checked("allowed", 0.00005)
    metrics.checked("blocked", 2.0)
    assert series(registry, "enforcement_duration_seconds_count") == {
        ("allowed",): 1,
        ("blocked",): 1,
    }
    metrics.passed("group", 85)
    assert series(registry, "thresholds_passed_total") == {("group", "85"): 1}
