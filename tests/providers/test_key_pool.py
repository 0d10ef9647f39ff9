from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.providers.call import ApiKey
from aigw.providers.key_pool import (
    LONGEST_COOLDOWN,
    SHORTEST_COOLDOWN,
    TRANSITIONS,
    Event,
    KeyPool,
    State,
    Wait,
)
from aigw.secrets import Secret

RATE, AUTH = Event.RATE_LIMITED, Event.AUTH_FAILED
KEYS = [
    ApiKey(Secret(f"sk-canary-{name}-0123456789abcdef-{name}"), ("Authorization", "Bearer {}"))
    for name in ("aaaa", "bbbb", "cccc")
]
A, B, C = KEYS


class Seen:
    """Remembers what a pool tells."""

    def __init__(self) -> None:
        self.transitions: list[str] = []
        self.counts: Mapping[str, int] = {}
        self.others: list[tuple[str, object]] = []

    def transition(self, provider: str, reason: str) -> None:
        assert provider == "openai"
        self.transitions.append(reason)

    def states(self, provider: str, counts: Mapping[str, int]) -> None:
        assert provider == "openai"
        self.counts = counts

    def exhausted(self, provider: str, outcome: str) -> None:
        self.others.append((provider, outcome))

    def attempts(self, provider: str, count: int) -> None:
        self.others.append((provider, count))


def pool(*keys: ApiKey, seen: Seen | None = None, cooldown: float = 60.0) -> KeyPool:
    return KeyPool(keys or KEYS, cooldown, "openai", seen)


def test_the_table_has_an_answer_to_everything() -> None:
    assert set(TRANSITIONS) == {(state, event) for state in State for event in Event}


@pytest.mark.parametrize("state", State)
def test_every_state_is_left_by_rest_and_by_success(state: State) -> None:
    assert TRANSITIONS[state, Event.RESTED] is State.AVAILABLE
    assert TRANSITIONS[state, Event.SERVED] is State.AVAILABLE


@pytest.mark.parametrize(
    ("reasons", "state"),
    [
        ([], State.AVAILABLE),
        ([RATE], State.RATE_LIMITED),
        ([AUTH], State.AUTH_FAILED),
        ([RATE, RATE], State.RATE_LIMITED),
        ([RATE, AUTH], State.AUTH_FAILED),
        ([AUTH, RATE], State.AUTH_FAILED),
    ],
)
def test_what_refusals_lead_to(reasons: list[Event], state: State) -> None:
    made = pool()
    for reason in reasons:
        made.refused(A, reason, None, 100.0)
    assert [key.state for key in made.states(100.0)] == [
        state,
        State.AVAILABLE,
        State.AVAILABLE,
    ]
    assert made.candidates(100.0) == ([B, C] if reasons else KEYS)


def test_a_refused_key_comes_back_by_itself() -> None:
    made = pool()
    made.refused(A, RATE, None, 100.0)
    assert made.candidates(159.9) == [B, C]
    assert made.candidates(160.0) == KEYS


@pytest.mark.parametrize(
    ("asked", "rest"),
    [
        (None, 60.0),
        (5.0, 5.0),
        (600.0, 600.0),
        (0.0, SHORTEST_COOLDOWN),
        (86_400.0, LONGEST_COOLDOWN),
    ],
)
def test_the_providers_word_counts_within_bounds(asked: float | None, rest: float) -> None:
    made = pool()
    made.refused(A, RATE, asked, 100.0)
    assert made.states(100.0)[0].seconds == rest
    assert made.candidates(100.0 + rest) == KEYS


def test_many_refusals_at_once_mark_a_key_once(caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen()
    made = pool(seen=seen)
    with caplog.at_level(logging.WARNING, "aigw.providers"):
        for turn in range(100):
            made.refused(A, RATE, None, 100.0 + turn / 10)
    assert seen.transitions == ["rate_limited"]
    assert seen.counts == {"available": 2, "rate_limited": 1, "auth_failed": 0}
    assert made.states(100.0)[0].seconds == 60.0
    assert len(caplog.records) == 1
    assert "openai: the key sk-c...aaaa is set aside for 60 s" in caplog.text
    assert "0123456789" not in caplog.text


def test_a_later_refusal_makes_the_rest_longer_where_the_provider_says_so() -> None:
    made = pool()
    made.refused(A, RATE, 10.0, 100.0)
    made.refused(A, RATE, 300.0, 101.0)
    made.refused(A, RATE, 5.0, 102.0)
    assert made.states(102.0)[0].seconds == 299.0


@pytest.mark.parametrize(("sent", "back"), [(99.0, False), (100.0, False), (100.5, True)])
def test_only_a_success_of_a_later_request_ends_a_rest(sent: float, back: bool) -> None:
    made = pool()
    made.refused(A, RATE, None, 100.0)
    made.served(A, sent)
    assert (A in made.candidates(101.0)) is back


def test_how_long_and_why_to_wait() -> None:
    made = pool()
    made.refused(A, AUTH, 5.0, 100.0)
    made.refused(B, AUTH, 30.0, 100.0)
    assert made.wait(100.0) == Wait(0.0, State.AVAILABLE)
    made.refused(C, AUTH, 40.0, 100.0)
    assert made.wait(100.0) == Wait(5.0, State.AUTH_FAILED)
    made = pool()
    made.refused(A, AUTH, 5.0, 100.0)
    made.refused(B, RATE, 30.0, 100.0)
    made.refused(C, RATE, 20.0, 100.0)
    assert made.wait(101.0) == Wait(19.0, State.RATE_LIMITED)


@pytest.mark.parametrize("reason", [RATE, AUTH])
def test_a_pool_of_one_never_rests(reason: Event) -> None:
    seen = Seen()
    made = pool(A, seen=seen)
    made.refused(A, reason, 600.0, 100.0)
    made.exhausted(State.RATE_LIMITED)
    made.attempted(1)
    assert list(made.candidates(100.0)) == [A]
    assert made.wait(100.0).reason is State.AVAILABLE
    assert (seen.transitions, seen.others) == ([], [])
    assert seen.counts == {"available": 1, "rate_limited": 0, "auth_failed": 0}


def test_one_key_twice_is_one_key() -> None:
    again = ApiKey(Secret("sk-canary-aaaa-0123456789abcdef-aaaa"), ("Authorization", "{}"))
    assert pool(A, again).is_single
    assert pool(A, again, B).credentials == (A, B)


def test_no_pool_without_keys() -> None:
    with pytest.raises(ValueError, match="needs a credential"):
        KeyPool([])


def test_the_observer_hears_of_every_change() -> None:
    seen = Seen()
    made = pool(seen=seen)
    assert seen.counts == {"available": 3, "rate_limited": 0, "auth_failed": 0}
    made.refused(A, RATE, None, 100.0)
    made.refused(A, AUTH, None, 101.0)
    made.refused(B, RATE, None, 101.0)
    assert seen.counts == {"available": 1, "rate_limited": 1, "auth_failed": 1}
    made.served(B, 102.0)
    made.states(200.0)
    assert seen.transitions == ["rate_limited", "auth_failed", "rate_limited", "served", "rested"]
    made.attempted(3)
    made.exhausted(State.AUTH_FAILED)
    assert seen.others == [("openai", 3), ("openai", "auth_failed")]


def test_a_reload_keeps_what_is_known() -> None:
    old = pool(A, B)
    old.refused(A, RATE, None, 100.0)
    seen = Seen()
    new = pool(C, B, A, seen=seen)
    new.adopt(old)
    assert new.candidates(101.0) == [C, B]
    assert seen.counts == {"available": 2, "rate_limited": 1, "auth_failed": 0}
    # A request that began before the reload, and is answered after it.
    old.refused(B, AUTH, None, 102.0)
    assert new.candidates(103.0) == [C]
    old.served(B, 103.0)
    assert new.candidates(104.0) == [C, B]
    assert new.candidates(160.0) == [C, B, A]


def test_a_reload_to_one_key_or_to_others() -> None:
    old = pool(A, B)
    old.refused(A, RATE, None, 100.0)
    single, others = pool(A), pool(B, C)
    single.adopt(old)
    assert list(single.candidates(101.0)) == [A]
    others.adopt(old)
    old.refused(A, RATE, None, 102.0)
    assert others.candidates(103.0) == [B, C]


def test_nothing_shows_a_key() -> None:
    made = pool()
    assert "0123456789" not in f"{made!r} {made} {made.states(0.0)}"
    assert repr(made) == "KeyPool(sk-c...aaaa, sk-c...bbbb, sk-c...cccc)"


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([RATE, AUTH, Event.SERVED]),
        st.none() | st.floats(0, 1e9),
        st.floats(0, 100),
    ),
    max_size=40,
)


@given(_EVENTS)
def test_whatever_happens_all_keys_come_back_in_order(
    events: list[tuple[int, Event, float | None, float]],
) -> None:
    seen = Seen()
    made = pool(seen=seen)
    now = 0.0
    for which, event, seconds, passed in events:
        now += passed
        if event is Event.SERVED:
            made.served(KEYS[which], now - passed / 2)
        else:
            made.refused(KEYS[which], event, seconds, now)
        usable = made.candidates(now)
        assert list(usable) == [key for key in KEYS if key in usable]
        assert sum(seen.counts.values()) == len(KEYS)
        assert seen.counts["available"] == len(usable)
        wait = made.wait(now)
        assert (wait.reason is State.AVAILABLE) == bool(usable)
        assert all(0 <= key.seconds <= LONGEST_COOLDOWN + 0.001 for key in made.states(now))
    assert made.candidates(now + made.wait(now).seconds + 0.001)
    assert made.candidates(now + LONGEST_COOLDOWN + 0.001) == KEYS
