from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.gateway.breaker import (
    FAILURE_STATUSES,
    Breakers,
    Pass,
    rejection_response,
)
from aigw.gateway.circuit import BreakerSettings, State
from aigw.providers.provider import ErrorShape
from tests.gateway.breaking import NAME, NOW, SETTINGS, Events, let_through, opened, refused


def test_what_counts_as_a_failure() -> None:
    assert {503, 504, 529} == FAILURE_STATUSES


def test_without_settings_everything_passes_and_nothing_is_kept() -> None:
    events = Events()
    breakers = Breakers(None, events)
    for _ in range(100):
        let_through(breakers).failed(NOW)
    got = let_through(breakers)
    assert got is let_through(breakers)
    got.answered(NOW)
    got.succeeded(NOW)
    got.abandoned(NOW)
    assert not events.seen
    assert not breakers._circuits


def test_the_life_of_a_circuit() -> None:
    events = Events()
    breakers = opened(events)
    assert events.take() == [("changed", 1.0), ("tripped", None)]
    assert refused(breakers, NOW + 12) == 18
    assert events.take() == [("rejected", None)]
    first, second = let_through(breakers, NOW + 30), let_through(breakers, NOW + 30)
    assert events.take() == [("changed", 0.5)]
    assert refused(breakers, NOW + 31) == 1
    first.succeeded(NOW + 32)
    assert refused(breakers, NOW + 33) == 1
    events.take()
    second.succeeded(NOW + 34)
    assert events.take() == [("changed", 0.0)]
    for _ in range(5):
        let_through(breakers, NOW + 35)
    assert not events.seen


def test_one_failed_trial_opens_it_again() -> None:
    events = Events()
    breakers = opened(events)
    first, second = let_through(breakers, NOW + 30), let_through(breakers, NOW + 30)
    first.succeeded(NOW + 31)
    events.take()
    second.failed(NOW + 32)
    assert events.take() == [("changed", 1.0), ("tripped", None)]
    assert refused(breakers, NOW + 33) == 29


def test_only_failures_in_a_row_count() -> None:
    breakers = Breakers(SETTINGS, Events())
    for _ in range(10):
        let_through(breakers).failed(NOW)
        let_through(breakers).failed(NOW)
        let_through(breakers).succeeded(NOW)
    let_through(breakers)


def test_failures_further_apart_than_the_interval_do_not_add_up() -> None:
    breakers = Breakers(SETTINGS, Events())
    for number in range(20):
        let_through(breakers, NOW + 6 * number).failed(NOW + 6 * number)
    let_through(breakers, NOW + 120)


def test_the_interval_ends_also_when_nobody_asks() -> None:
    breakers = Breakers(SETTINGS, Events())
    passes = [let_through(breakers) for _ in range(3)]
    passes[0].failed(NOW + 1)
    passes[1].failed(NOW + 1)
    passes[2].failed(NOW + 12)
    let_through(breakers, NOW + 12)


def test_a_failure_that_took_longer_than_the_interval_counts() -> None:
    """Requests that run into a timeout of half a minute are what the breaker is for."""
    breakers = Breakers(SETTINGS, Events())
    for got in [let_through(breakers) for _ in range(3)]:
        got.failed(NOW + 60)
    assert refused(breakers, NOW + 60) == 30


def test_a_client_that_leaves_counts_neither_way() -> None:
    breakers = Breakers(SETTINGS, Events())
    for _ in range(3):
        let_through(breakers).abandoned(NOW)
    let_through(breakers).failed(NOW)
    let_through(breakers).failed(NOW)
    let_through(breakers).abandoned(NOW)
    let_through(breakers).failed(NOW)
    refused(breakers)


def test_a_client_that_leaves_gives_its_trial_to_another() -> None:
    breakers = opened()
    for _ in range(10):
        first, second = let_through(breakers, NOW + 30), let_through(breakers, NOW + 30)
        refused(breakers, NOW + 30)
        first.abandoned(NOW + 31)
        second.abandoned(NOW + 31)
    let_through(breakers, NOW + 32).succeeded(NOW + 33)
    let_through(breakers, NOW + 32).succeeded(NOW + 33)
    for _ in range(5):
        let_through(breakers, NOW + 34)


def test_the_first_report_counts() -> None:
    breakers = Breakers(SETTINGS, Events())
    got = let_through(breakers)
    for _ in range(5):
        got.failed(NOW)
    let_through(breakers).failed(NOW)
    let_through(breakers).failed(NOW)
    refused(breakers)
    trial = let_through(breakers, NOW + 30)
    trial.succeeded(NOW + 30)
    trial.abandoned(NOW + 30)
    trial.succeeded(NOW + 30)
    let_through(breakers, NOW + 30)
    refused(breakers, NOW + 30)


@pytest.mark.parametrize("report", ["failed", "succeeded", "abandoned", "answered"])
def test_reports_of_an_earlier_generation_are_ignored(report: str) -> None:
    events = Events()
    breakers = Breakers(SETTINGS, events)
    stale = [let_through(breakers) for _ in range(6)]
    for _ in range(3):
        let_through(breakers).failed(NOW)
    getattr(stale[0], report)(NOW + 1)
    assert refused(breakers, NOW + 2) == 28
    trial = let_through(breakers, NOW + 30)
    events.take()
    for got in stale[1:]:
        getattr(got, report)(NOW + 31)
    assert not events.seen
    trial.succeeded(NOW + 32)
    let_through(breakers, NOW + 33)
    assert refused(breakers, NOW + 33) == 1


def test_a_trial_whose_answer_has_begun_need_not_end() -> None:
    breakers = opened()
    trials = [let_through(breakers, NOW + 30) for _ in range(2)]
    for got in trials:
        got.answered(NOW + 31)
        got.answered(NOW + 31)
    others = [let_through(breakers, NOW + 32) for _ in range(3)]
    trials[0].succeeded(NOW + 90)
    trials[1].failed(NOW + 90)
    for got in others[:2]:
        got.failed(NOW + 90)
    let_through(breakers, NOW + 91)


def test_one_answered_trial_does_not_count_twice_and_may_still_fail() -> None:
    breakers = opened()
    trials = [let_through(breakers, NOW + 30) for _ in range(2)]
    trials[0].answered(NOW + 31)
    trials[0].succeeded(NOW + 32)
    assert refused(breakers, NOW + 33) == 1
    trials[1].abandoned(NOW + 33)
    again = let_through(breakers, NOW + 34)
    again.answered(NOW + 34)
    let_through(breakers, NOW + 35)

    breakers = opened()
    trial = let_through(breakers, NOW + 30)
    trial.answered(NOW + 31)
    trial.abandoned(NOW + 31)
    let_through(breakers, NOW + 31)
    refused(breakers, NOW + 31)

    breakers = opened()
    trial = let_through(breakers, NOW + 30)
    trial.answered(NOW + 31)
    trial.failed(NOW + 32)
    assert refused(breakers, NOW + 33) == 29


def test_away_from_trials_only_the_end_of_an_answer_counts() -> None:
    breakers = Breakers(SETTINGS, Events())
    for _ in range(3):
        got = let_through(breakers)
        got.answered(NOW)
        got.failed(NOW + 1)
    refused(breakers, NOW + 1)


@pytest.mark.parametrize(
    "other",
    [
        ("azure", "/responses", "gpt-5"),
        ("openai", "/chat/completions", "gpt-5"),
        ("openai", "/responses", "x"),
    ],
)
def test_circuits_are_apart(other: tuple[str, str, str]) -> None:
    breakers = opened()
    refused(breakers)
    let_through(breakers, name=other)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "succeeded", "failed", "abandoned", "answered", "wait"]),
        st.integers(0, 10),
    ),
    max_size=150,
)


class Traffic:
    """Requests on one circuit; each step checks what must always hold."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self.breakers = Breakers(settings, Events())
        self.now = NOW
        self.running: list[Pass] = []

    def step(self, step: str, number: int) -> None:
        if step == "wait":
            self.now += number
        elif step == "admit":
            self.admit()
        elif self.running:
            one = self.running[number % len(self.running)]
            getattr(one, step)(self.now)
            if step != "answered":
                self.running.remove(one)
        if NAME in self.breakers._circuits:
            self.check()

    def admit(self) -> None:
        got = self.breakers.admit(*NAME, self.now)
        if isinstance(got, Pass):
            self.running.append(got)
        else:
            assert self.breakers._circuits[NAME].state is not State.CLOSED
            assert 0 < got.remaining <= self.settings.timeout

    def check(self) -> None:
        circuit = self.breakers._circuits[NAME]
        assert circuit.running == len(self.running)
        if circuit.state is State.HALF_OPEN:
            own = [one for one in self.running if one._generation == circuit.generation]
            undecided = [one for one in own if not one._is_verdict_in]
            assert len(undecided) + circuit.counted == circuit.trials
            assert circuit.trials <= self.settings.max_requests


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.0, 7.0]), STEPS)
def test_never_too_many_on_trial_and_never_shut_for_ever(
    threshold: int, trials: int, interval: float, steps: list[tuple[str, int]]
) -> None:
    traffic = Traffic(BreakerSettings(threshold, interval, 20, trials))
    for step, number in steps:
        traffic.step(step, number)
    for one in traffic.running:
        one.abandoned(traffic.now)
    later = traffic.now + 20
    for _ in range(trials):
        let_through(traffic.breakers, later).succeeded(later)
    for _ in range(trials + 5):
        let_through(traffic.breakers, later)
    assert traffic.breakers._circuits[NAME].state is State.CLOSED


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (
            ErrorShape.ANTHROPIC,
            {
                "type": "error",
                "error": {"type": "overloaded_error", "code": "service_unavailable"},
            },
        ),
        (
            ErrorShape.OPENAI,
            {"error": {"type": "server_error", "code": "service_unavailable", "param": None}},
        ),
        (ErrorShape.AWS, {}),
    ],
)
@pytest.mark.parametrize(
    ("remaining", "seconds"), [(12.0, 12), (11.2, 12), (0.2, 1), (0.0, 1), (-3, 1)]
)
def test_the_answer_of_an_open_circuit(
    shape: ErrorShape, body: dict[str, dict[str, str]], remaining: float, seconds: int
) -> None:
    response = rejection_response(shape, remaining)
    assert response.status == 503
    assert response.content_type == "application/json"
    assert response.headers["Retry-After"] == str(seconds)
    kind = response.headers.get("x-amzn-errortype")
    assert kind == ("ServiceUnavailableException" if shape is ErrorShape.AWS else None)
    assert isinstance(response.body, bytes)
    found = json.loads(response.body)
    message = found.get("error", found).pop("message")
    assert message == f"circuit breaker is open; try again in {seconds} s"
    assert found == body
