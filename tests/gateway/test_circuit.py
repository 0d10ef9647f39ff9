"""The state machine as a table: what each event does in each state, written out once more."""

from __future__ import annotations

from itertools import product

import pytest

from aigw.gateway.circuit import TRANSITIONS, BreakerSettings, Circuit, Event, State

NOW = 1_000_000.0
SETTINGS = BreakerSettings(failure_threshold=3, interval=10, timeout=30, max_requests=2)
CLOSED, HALF_OPEN, OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN
SUCCEEDED, FAILED, ABANDONED, TIME_OVER = Event

# State and event -> with nothing counted before, and with one short of enough: the state that
# follows, and what is then counted there.
EXPECTED = {
    (CLOSED, SUCCEEDED): [(CLOSED, 0), (CLOSED, 0)],
    (CLOSED, FAILED): [(CLOSED, 1), (OPEN, 0)],
    (CLOSED, ABANDONED): [(CLOSED, 0), (CLOSED, 2)],
    (CLOSED, TIME_OVER): [(CLOSED, 0), (CLOSED, 0)],
    (OPEN, SUCCEEDED): [(OPEN, 0), (OPEN, 0)],
    (OPEN, FAILED): [(OPEN, 0), (OPEN, 0)],
    (OPEN, ABANDONED): [(OPEN, 0), (OPEN, 0)],
    (OPEN, TIME_OVER): [(HALF_OPEN, 0), (HALF_OPEN, 0)],
    (HALF_OPEN, SUCCEEDED): [(HALF_OPEN, 1), (CLOSED, 0)],
    (HALF_OPEN, FAILED): [(OPEN, 0), (OPEN, 0)],
    (HALF_OPEN, ABANDONED): [(HALF_OPEN, 0), (HALF_OPEN, 1)],
    (HALF_OPEN, TIME_OVER): [(HALF_OPEN, 0), (HALF_OPEN, 1)],
}
ONE_SHORT = {CLOSED: 2, OPEN: 0, HALF_OPEN: 1}


def circuit(state: State, counted: int = 0, trials: int = 0) -> Circuit:
    made = Circuit(("p", "/r", "m"), NOW)
    made.enter(state, NOW)
    made.counted, made.trials = counted, trials
    return made


def test_the_table_has_every_state_and_event() -> None:
    assert set(TRANSITIONS) == set(product(State, Event)) == set(EXPECTED)


@pytest.mark.parametrize("is_nearly_enough", [False, True], ids=["fresh", "nearly-enough"])
@pytest.mark.parametrize(("state", "event"), EXPECTED, ids=lambda value: value.name)
def test_each_event_in_each_state(state: State, event: Event, is_nearly_enough: bool) -> None:
    one = circuit(state, ONE_SHORT[state] if is_nearly_enough else 0)
    before = one.generation
    has_changed = one.apply(event, SETTINGS, NOW + 5)
    assert (one.state, one.counted) == EXPECTED[state, event][is_nearly_enough]
    assert has_changed == (one.state is not state)
    # A generation ends with its state, and only then; the next one counts its time from there.
    assert one.generation == before + has_changed
    assert one.since == (NOW + 5 if has_changed else NOW)


@pytest.mark.parametrize(("event", "trials"), [(SUCCEEDED, 2), (ABANDONED, 1), (TIME_OVER, 2)])
def test_only_an_abandoned_trial_gives_its_place_to_another(event: Event, trials: int) -> None:
    one = circuit(HALF_OPEN, trials=2)
    one.apply(event, SETTINGS, NOW)
    assert one.trials == trials


def test_the_values_of_the_states_are_those_of_the_metric() -> None:
    assert [state.value for state in (CLOSED, HALF_OPEN, OPEN)] == [0, 0.5, 1]


@pytest.mark.parametrize(("state", "time"), [(CLOSED, 10), (OPEN, 30), (HALF_OPEN, None)], ids=str)
def test_the_time_of_each_state(state: State, time: float | None) -> None:
    one = circuit(state, ONE_SHORT[state])
    if time is None:
        one.elapse(SETTINGS, NOW + 1e9)
        assert (one.state, one.counted) == (state, 1)
        return
    assert one.remaining(SETTINGS, NOW + 4) == time - 4
    assert not one.elapse(SETTINGS, NOW + time - 0.001)
    assert (one.state, one.counted) == (state, ONE_SHORT[state])
    one.elapse(SETTINGS, NOW + time)
    assert (one.state, one.counted) == EXPECTED[state, TIME_OVER][1]
    assert one.since == NOW + time


def test_without_an_interval_failures_add_up_for_ever() -> None:
    settings = BreakerSettings(interval=0)
    one = circuit(CLOSED, counted=4)
    assert not one.elapse(settings, NOW + 1e9)
    assert one.counted == 4


@pytest.mark.parametrize(
    ("state", "running", "later", "expected"),
    [
        (CLOSED, 0, 0, True),
        (CLOSED, 1, 0, False),
        (OPEN, 0, 29, False),
        (OPEN, 0, 30, True),
        (OPEN, 1, 30, False),
        (HALF_OPEN, 0, 0, True),
        (HALF_OPEN, 1, 0, False),
    ],
)
def test_what_may_be_forgotten(state: State, running: int, later: float, expected: bool) -> None:
    one = circuit(state)
    one.running = running
    assert one.is_idle(SETTINGS, NOW + later) is expected
