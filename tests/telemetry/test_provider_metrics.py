"""Names, labels and bounds of the metrics of providers and what guards them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aigw.gateway.breaker import Breakers, Pass
from aigw.gateway.circuit import BreakerSettings
from aigw.gateway.limits import Limits
from aigw.telemetry.labels import LABEL_VALUES, OTHER
from aigw.telemetry.metrics import Metrics

# coder-surface, section 8: name without prefix -> kind, labels. The limits are our own.
DOCUMENTED = {
    "circuit_breaker_state": ("gauge", {"provider", "endpoint", "model"}),
    "circuit_breaker_trips_total": ("counter", {"provider", "endpoint", "model"}),
    "circuit_breaker_rejects_total": ("counter", {"provider", "endpoint", "model"}),
    "key_pool_state": ("gauge", {"provider", "state"}),
    "key_pool_state_transitions_total": ("counter", {"provider", "reason"}),
    "key_pool_exhaustions_total": ("counter", {"provider", "outcome"}),
    "key_pool_failover_attempts": ("histogram", {"provider"}),
    "limit_rejections_total": ("counter", {"limit"}),
    "provider_info": ("gauge", {"provider_name", "provider_type", "status"}),
    "providers_last_reload_timestamp_seconds": ("gauge", set()),
    "providers_last_reload_success_timestamp_seconds": ("gauge", set()),
}
PREFIX = "coder_aibridged_"
CIRCUIT = ("openai", "/responses", "gpt-5")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of this name: the labels' values in order of the labels' names, and the number."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == PREFIX + name
    }


def touch_all(metrics: Metrics) -> None:
    metrics.circuits.changed(CIRCUIT, 1.0)
    metrics.circuits.tripped(CIRCUIT)
    metrics.circuits.rejected(CIRCUIT)
    metrics.key_pools.states("openai", {"available": 1})
    metrics.key_pools.transition("openai", "rate_limited")
    metrics.key_pools.exhausted("openai", "rate_limited")
    metrics.key_pools.attempts("openai", 2)
    metrics.limits.rejected("rate")
    metrics.providers.configured([("openai", "openai", "enabled")])
    metrics.providers.reloaded(5.0, succeeded=True)


def test_names_kinds_and_labels_are_the_documented_ones(metrics: Metrics) -> None:
    touch_all(metrics)
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        if family.samples:
            labels = {name for sample in family.samples for name in sample.labels} - {"le"}
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name.removeprefix(PREFIX)] = (family.type, labels)
    assert found == DOCUMENTED


def test_what_is_not_used_has_no_series(metrics: Metrics) -> None:
    for name, (_, labels) in DOCUMENTED.items():
        assert series(metrics, name) == ({} if labels else {(): 0.0})


def test_a_breaker_that_trips_and_recovers(metrics: Metrics) -> None:
    """The breaker itself, as the daemon puts the two together."""
    breakers = Breakers(BreakerSettings(2, 10, 30, 1), metrics.circuits)
    labels = ("/responses", "gpt-5", "openai")

    def ask(now: float) -> Pass:
        passed = breakers.admit(*CIRCUIT, now)
        assert isinstance(passed, Pass)
        return passed

    ask(0).succeeded(0)
    assert series(metrics, "circuit_breaker_state") == {}
    ask(0).failed(0)
    ask(0).failed(0)
    assert series(metrics, "circuit_breaker_state") == {labels: 1.0}
    assert series(metrics, "circuit_breaker_trips_total") == {labels: 1.0}
    breakers.admit(*CIRCUIT, 1)
    assert series(metrics, "circuit_breaker_rejects_total") == {labels: 1.0}
    trial = ask(30)
    assert series(metrics, "circuit_breaker_state") == {labels: 0.5}
    trial.succeeded(31)
    assert series(metrics, "circuit_breaker_state") == {labels: 0.0}
    assert series(metrics, "circuit_breaker_trips_total") == {labels: 1.0}


def test_the_models_of_circuits_are_bounded(metrics: Metrics) -> None:
    for number in range(LABEL_VALUES + 50):
        metrics.circuits.tripped(("openai", "/responses", f"m-{number}"))
    found = series(metrics, "circuit_breaker_trips_total")
    assert len(found) == LABEL_VALUES + 1
    assert found["/responses", OTHER, "openai"] == 50


def test_key_states_are_those_of_now(metrics: Metrics) -> None:
    metrics.key_pools.states("openai", {"available": 3})
    metrics.key_pools.states("openai", {"available": 2, "cooling_auth": 1})
    metrics.key_pools.states("azure", {"available": 1})
    assert series(metrics, "key_pool_state") == {
        ("openai", "available"): 2,
        ("openai", "cooling_auth"): 1,
        ("azure", "available"): 1,
    }
    metrics.key_pools.states("openai", {"available": 3})
    assert series(metrics, "key_pool_state")["openai", "cooling_auth"] == 0


def test_the_states_of_a_provider_that_is_gone_are_dropped(metrics: Metrics) -> None:
    metrics.key_pools.states("openai", {"available": 2, "cooling_auth": 1})
    metrics.key_pools.states("azure", {"available": 1})
    metrics.key_pools.keep(["azure", "new"])
    assert series(metrics, "key_pool_state") == {("azure", "available"): 1}
    metrics.key_pools.states("openai", {"available": 1})
    assert series(metrics, "key_pool_state")["openai", "available"] == 1


def test_key_events_are_counted(metrics: Metrics) -> None:
    for number in (1, 1, 3, 20):
        metrics.key_pools.attempts("openai", number)
    metrics.key_pools.transition("openai", "unauthorized")
    metrics.key_pools.transition("openai", "unauthorized")
    metrics.key_pools.exhausted("openai", "auth_failed")
    buckets = series(metrics, "key_pool_failover_attempts_bucket")
    assert [buckets[f"{le}.0", "openai"] for le in range(1, 11)] == [2, 2, *[3] * 8]
    assert buckets["+Inf", "openai"] == 4
    assert series(metrics, "key_pool_state_transitions_total") == {("openai", "unauthorized"): 2}
    assert series(metrics, "key_pool_exhaustions_total") == {("auth_failed", "openai"): 1}


def test_each_limit_has_its_own_count(metrics: Metrics) -> None:
    limits = Limits(2, 1)
    for key_rate, key_concurrency in ((None, None), (None, None), (None, 1), (1, None), (0, None)):
        refusal = limits.admit("k", key_rate, key_concurrency, 0.0)
        if refusal is not None:
            metrics.limits.rejected(refusal.limit)
    limits.admit("k", 0, None, 0.0)
    full = limits.admit("k", 0, None, 0.0)
    assert full is not None
    metrics.limits.rejected(full.limit)
    assert series(metrics, "limit_rejections_total") == {
        ("rate",): 1,
        ("key_concurrency",): 1,
        ("key_rate",): 1,
        ("concurrency",): 1,
    }


def test_providers_are_those_of_the_last_reload(metrics: Metrics) -> None:
    metrics.providers.configured([("openai", "openai", "enabled"), ("a", "anthropic", "error")])
    metrics.providers.configured([("openai", "openai", "disabled"), ("b", "bedrock", "enabled")])
    assert series(metrics, "provider_info") == {
        ("openai", "openai", "disabled"): 1,
        ("b", "bedrock", "enabled"): 1,
    }


def test_a_reload_that_failed_moves_one_time_only(metrics: Metrics) -> None:
    metrics.providers.reloaded(1000.0, succeeded=True)
    metrics.providers.reloaded(2000.5, succeeded=False)
    assert series(metrics, "providers_last_reload_timestamp_seconds") == {(): 2000.5}
    assert series(metrics, "providers_last_reload_success_timestamp_seconds") == {(): 1000.0}
