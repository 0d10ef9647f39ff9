"""Names, labels and bounds of the metrics."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aigw.records import InterceptionStart, Record, Status, TokenUsage, ToolUsage
from aigw.telemetry.labels import LABEL_LENGTH, LABEL_VALUES, OTHER, BoundedLabel
from aigw.telemetry.metrics import Metrics
from tests.store.rows import NOON, children, end, prompt, start

# coder-surface, section 8: name without prefix -> kind, labels. What does not exist yet is left out;
# what is not the recorder's is in test_provider_metrics.
DOCUMENTED = {
    "interceptions_total": (
        "counter",
        {"provider", "model", "status", "route", "method", "initiator_id", "client"},
    ),
    "interceptions_inflight": ("gauge", {"provider", "model", "route"}),
    "interceptions_duration_seconds": ("histogram", {"provider", "model"}),
    "passthrough_total": ("counter", {"provider", "route", "method"}),
    "prompts_total": ("counter", {"provider", "model", "initiator_id", "client"}),
    "tokens_total": ("counter", {"provider", "model", "type", "initiator_id", "client"}),
    "non_injected_tool_selections_total": ("counter", {"provider", "model", "name"}),
    "cost_control_unpriced_token_usage_records_total": (
        "counter",
        {"model", "provider", "provider_type"},
    ),
}
PREFIX = "coder_aibridged_"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def run(
    metrics: Metrics, first: InterceptionStart, records: Sequence[Record] = (), **ending: object
) -> None:
    metrics.started(first)
    metrics.recorded(first, records)
    metrics.ended(first, end(first.interception_id, NOON, **ending))


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name.removeprefix(PREFIX), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, /, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    wanted = set(labels.items())
    return sum(
        number
        for (found, has), number in samples(metrics).items()
        if found == name and wanted <= set(has)
    )


def test_names_kinds_and_labels_are_the_documented_ones(metrics: Metrics) -> None:
    run(metrics, start("i"), children("i", NOON, "hello"))
    metrics.passed_through("openai", "/models", "GET")
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = family.name + ("_total" if family.type == "counter" else "")
        assert name.startswith(PREFIX)
        if not labels:
            continue
        found[name.removeprefix(PREFIX)] = (family.type, labels)
    assert found == DOCUMENTED


def test_buckets_are_those_of_the_reference(metrics: Metrics) -> None:
    run(metrics, start("i"), duration_ms=3000)
    counted = {
        dict(labels)["le"]: number
        for (name, labels), number in samples(metrics).items()
        if name == "interceptions_duration_seconds_bucket"
    }
    bounds = ["0.5", "2.0", "5.0", "15.0", "30.0", "60.0", "120.0", "+Inf"]
    assert counted == dict(zip(bounds, [0.0, 0.0, *[1.0] * 6], strict=True))


def test_what_is_counted(metrics: Metrics) -> None:
    run(metrics, start("i"), children("i", NOON, "hello"))
    run(metrics, start("j", model="other-model"), [prompt("j", "x")], status=Status.FAILED)
    assert value(metrics, "interceptions_total", status="completed", method="POST") == 1
    assert value(metrics, "interceptions_total", status="failed", model="other-model") == 1
    assert value(metrics, "prompts_total", client="Claude Code", initiator_id="local") == 2
    assert value(metrics, "tokens_total", type="input") == 10
    assert value(metrics, "tokens_total", type="output") == 20
    assert value(metrics, "tokens_total", type="cache_read_input_tokens") == 30
    assert value(metrics, "tokens_total", type="cache_write_input_tokens") == 40
    assert value(metrics, "non_injected_tool_selections_total", name="Bash") == 1


@pytest.mark.parametrize("status", list(Status))
def test_in_flight_returns_to_zero(metrics: Metrics, status: Status) -> None:
    first, second = start("i"), start("j", model="another")
    metrics.started(first)
    metrics.started(second)
    assert metrics.in_flight == 2
    assert value(metrics, "interceptions_inflight") == 2
    assert value(metrics, "interceptions_inflight", model="another") == 1
    for one in (first, second):
        metrics.ended(one, end(one.interception_id, NOON, status=status))
    assert metrics.in_flight == 0
    assert value(metrics, "interceptions_inflight") == 0
    assert value(metrics, "interceptions_total", status=status.value) == 2


@pytest.mark.parametrize("field", ["model", "client", "initiator_id"])
def test_labels_that_clients_choose_are_bounded(metrics: Metrics, field: str) -> None:
    for number in range(LABEL_VALUES + 50):
        run(
            metrics,
            start(f"i-{number}", NOON, **{field: f"v-{number}"}),
            [prompt(f"i-{number}", "x")],
        )
    found = {dict(labels)[field] for (name, labels) in samples(metrics) if name == "prompts_total"}
    assert len(found) == LABEL_VALUES + 1
    assert value(metrics, "prompts_total", **{field: OTHER}) == 50
    assert value(metrics, "prompts_total") == LABEL_VALUES + 50
    assert value(metrics, "interceptions_inflight") == 0


def test_tool_names_are_bounded(metrics: Metrics) -> None:
    first = start("i")
    metrics.started(first)
    for number in range(LABEL_VALUES + 50):
        call = ToolUsage(
            interception_id="i", created_at=NOON, id="u", msg_id="m", tool_call_id="c",
            tool=f"tool-{number}", input="{}",
        )  # fmt: skip
        metrics.recorded(first, [call])
    assert value(metrics, "non_injected_tool_selections_total", name=OTHER) == 50


def test_a_long_name_is_not_kept(metrics: Metrics) -> None:
    run(metrics, start("i", model="x" * LABEL_LENGTH))
    run(metrics, start("j", model="x" * 100_000))
    assert value(metrics, "interceptions_total", model="x" * LABEL_LENGTH) == 1
    assert value(metrics, "interceptions_total", model=OTHER) == 1
    assert len(metrics.text()) < 100_000


def test_odd_methods_and_names_do_no_harm(metrics: Metrics) -> None:
    metrics.passed_through("openai", "/models", "GET")
    metrics.passed_through("openai", "/models", "BREW")
    metrics.passed_through("openai", "/models", "PROPFIND")
    run(metrics, start("i", model='quote " backslash \\ line\nend \u00e9\x00'))
    assert value(metrics, "passthrough_total", method="GET") == 1
    assert value(metrics, "passthrough_total", method=OTHER) == 2
    assert value(metrics, "interceptions_total") == 1


def test_counts_of_zero_make_no_series(metrics: Metrics) -> None:
    usage = TokenUsage(
        interception_id="i", created_at=NOON, id="k", msg_id="m", input_tokens=3, output_tokens=0
    )
    run(metrics, start("i"), [usage])
    kinds = {dict(labels)["type"] for (name, labels) in samples(metrics) if name == "tokens_total"}
    assert kinds == {"input"}


def test_two_instances_do_not_share_anything() -> None:
    one, other = Metrics(), Metrics()
    run(one, start("i"))
    assert value(one, "interceptions_total") == 1
    assert value(other, "interceptions_total") == 0


def test_a_bounded_label_keeps_those_that_came_first() -> None:
    label = BoundedLabel(2)
    assert [label(name) for name in ("a", "b", "c", "a", "d", "b")] == [
        "a",
        "b",
        OTHER,
        "a",
        OTHER,
        "b",
    ]


def test_a_label_holds_no_control_characters() -> None:
    assert BoundedLabel()("gpt\0\x1b[31m") == OTHER
