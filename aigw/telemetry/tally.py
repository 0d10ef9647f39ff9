"""What is counted of interceptions: plain numbers, made into Prometheus families when asked for.

Every request adds to a dozen of them. The library's own counters take a lock for each and check
what cannot be wrong here, which took 4 % of a small request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from aigw.telemetry.labels import NAMESPACE

BUCKETS = (0.5, 2, 5, 15, 30, 60, 120)
"""Seconds; the buckets of the gateway whose dashboards these metrics feed."""

_BOUNDS = (*(f"{float(bound)}" for bound in BUCKETS), "+Inf")

_Sums = Mapping[tuple[str, ...], int]


class Kind(NamedTuple):
    """What interceptions of one tally have in common, as labels say it."""

    provider: str
    model: str
    route: str
    initiator: str
    client: str


class Tally:
    """The numbers of one kind of interception. `seconds` adds up their durations."""

    __slots__ = ("ended", "in_bucket", "kind", "prompts", "running", "seconds", "tokens", "tools")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.running = 0
        self.prompts = 0
        self.ended: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        self.tools: dict[str, int] = {}
        self.seconds = 0.0
        self.in_bucket = [0] * len(_BOUNDS)

    def end(self, status: str, seconds: float) -> None:
        """One is over."""
        self.running -= 1
        self.ended[status] = self.ended.get(status, 0) + 1
        self.seconds += seconds
        self.in_bucket[bisect_left(BUCKETS, seconds)] += 1


class Tallies(Collector):
    """The tallies of all kinds. Counted by one thread, read by any."""

    def __init__(self) -> None:
        self._of: dict[Kind, Tally] = {}

    def of(self, kind: Kind) -> Tally:
        """The tally of a kind, made where there is none."""
        found = self._of.get(kind)
        if found is None:
            found = self._of[kind] = Tally(kind)
        return found

    def collect(self) -> Iterator[Metric]:
        """The families, as a registry asks for them."""
        tallies = list(self._of.values())
        who = ("provider", "model", "initiator_id", "client")
        yield _counter(
            "interceptions_total",
            "Recorded requests, by outcome.",
            ("provider", "model", "status", "route", "method", "initiator_id", "client"),
            _ended(tallies),
        )
        running = GaugeMetricFamily(
            f"{NAMESPACE}_interceptions_inflight",
            "Recorded requests being answered.",
            labels=("provider", "model", "route"),
        )
        for labels, number in _running(tallies).items():
            running.add_metric(labels, number)
        yield running
        yield _durations(tallies)
        yield _counter("prompts_total", "Recorded user prompts.", who, _prompts(tallies))
        yield _counter(
            "tokens_total",
            "Tokens, by type.",
            ("provider", "model", "type", "initiator_id", "client"),
            _tokens(tallies),
        )
        yield _counter(
            "non_injected_tool_selections_total",
            "Calls by the model of tools that the client offered.",
            ("provider", "model", "name"),
            _tools(tallies),
        )


def _counter(name: str, text: str, labels: tuple[str, ...], sums: _Sums) -> Metric:
    family = CounterMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)
    for values, number in sums.items():
        family.add_metric(values, number)
    return family


def _ended(tallies: Collection[Tally]) -> _Sums:
    sums = Counter[tuple[str, ...]]()
    for each in tallies:
        kind = each.kind
        for status, number in list(each.ended.items()):
            key = (kind.provider, kind.model, status, kind.route, "POST", kind.initiator, kind.client)  # fmt: skip
            sums[key] += number
    return sums


def _running(tallies: Collection[Tally]) -> _Sums:
    sums = Counter[tuple[str, ...]]()
    for each in tallies:
        sums[each.kind.provider, each.kind.model, each.kind.route] += each.running
    return sums


def _prompts(tallies: Collection[Tally]) -> _Sums:
    sums = Counter[tuple[str, ...]]()
    for each in tallies:
        kind = each.kind
        sums[kind.provider, kind.model, kind.initiator, kind.client] += each.prompts
    return sums


def _tokens(tallies: Collection[Tally]) -> _Sums:
    sums = Counter[tuple[str, ...]]()
    for each in tallies:
        kind = each.kind
        for name, number in list(each.tokens.items()):
            sums[kind.provider, kind.model, name, kind.initiator, kind.client] += number
    return sums


def _tools(tallies: Collection[Tally]) -> _Sums:
    sums = Counter[tuple[str, ...]]()
    for each in tallies:
        for name, number in list(each.tools.items()):
            sums[each.kind.provider, each.kind.model, name] += number
    return sums


def _durations(tallies: Collection[Tally]) -> Metric:
    family = HistogramMetricFamily(
        f"{NAMESPACE}_interceptions_duration_seconds",
        "Time from a recorded request to the end of its answer.",
        labels=("provider", "model"),
    )
    of: dict[tuple[str, str], list[Tally]] = {}
    for each in tallies:
        of.setdefault((each.kind.provider, each.kind.model), []).append(each)
    for labels, found in of.items():
        # Each bucket of a histogram holds those before it too.
        buckets, total = [], 0
        for position, bound in enumerate(_BOUNDS):
            total += sum(each.in_bucket[position] for each in found)
            buckets.append((bound, total))
        family.add_metric(labels, buckets, sum(each.seconds for each in found))
    return family
