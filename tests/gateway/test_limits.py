from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.gateway import limits as module
from aigw.gateway.limits import (
    AT_CAPACITY,
    KEY_AT_CAPACITY,
    KEY_RATE_LIMITED,
    RATE_LIMITED,
    Limits,
)

NOW = 1_000_000.0


def admitted(limits: Limits, count: int, now: float = NOW, who: str = "k") -> int:
    """How many of `count` requests at once are served."""
    return sum(limits.admit(who, None, None, now) is None for _ in range(count))


def test_the_answers_are_those_of_the_reference() -> None:
    assert AT_CAPACITY[:4] == (
        503, "at_capacity", "AI Bridge is currently at capacity. Please try again later.", 1,
    )  # fmt: skip
    assert RATE_LIMITED[:4] == (
        429, "rate_limited", "You've been rate limited. Please try again later.", 1,
    )  # fmt: skip
    assert "key" in KEY_AT_CAPACITY.message
    assert KEY_AT_CAPACITY.status == 503
    named = [one.limit for one in (AT_CAPACITY, RATE_LIMITED, KEY_AT_CAPACITY, KEY_RATE_LIMITED)]
    assert named == ["concurrency", "rate", "key_concurrency", "key_rate"]


def test_without_limits_everything_is_served_and_counted() -> None:
    limits = Limits(0, 0)
    assert admitted(limits, 1000) == 1000
    assert limits.running == 1000
    for _ in range(1000):
        limits.release("k")
    assert limits.running == 0
    assert limits._running_of == {}
    assert limits._full_at == {}


def test_as_many_at_a_time_as_allowed() -> None:
    limits = Limits(2, 0)
    assert limits.admit("a", None, None, NOW) is None
    assert limits.admit("b", None, None, NOW) is None
    assert limits.admit("c", None, None, NOW) is AT_CAPACITY
    limits.release("a")
    assert limits.admit("c", None, None, NOW) is None
    assert limits.running == 2


def test_a_key_has_its_own_number_beside_the_general_one() -> None:
    limits = Limits(3, 0)
    assert limits.admit("a", None, 1, NOW) is None
    assert limits.admit("a", None, 1, NOW) is KEY_AT_CAPACITY
    assert limits.admit("b", None, 0, NOW) is None
    assert limits.admit("b", None, None, NOW) is None
    assert limits.admit("c", None, 100, NOW) is AT_CAPACITY
    limits.release("a")
    assert limits.admit("a", None, 1, NOW) is None


def test_a_reload_keeps_what_is_running() -> None:
    limits = Limits(0, 0)
    assert admitted(limits, 3) == 3
    limits.configure(3, 0)
    assert limits.admit("k", None, None, NOW) is AT_CAPACITY
    limits.configure(0, 0)
    assert limits.admit("k", None, 3, NOW) is KEY_AT_CAPACITY
    limits.release("k")
    limits.configure(3, 0)
    assert limits.admit("k", None, None, NOW) is None


@pytest.mark.parametrize("rate", [1, 2, 3, 7, 10, 100, 999])
def test_a_second_worth_at_once_and_then_one_by_one(rate: int) -> None:
    limits = Limits(0, rate)
    assert admitted(limits, rate + 5) == rate
    assert admitted(limits, 5, NOW + 0.5 / rate) == 0
    assert admitted(limits, 5, NOW + 1 / rate) == 1
    assert admitted(limits, 5, NOW + 2 / rate) == 1
    # After a quiet time no more than a second's worth has gathered.
    assert admitted(limits, rate + 5, NOW + 1000) == rate


def test_who_waits_as_long_as_told_is_served() -> None:
    limits = Limits(0, 1)
    assert admitted(limits, 1) == 1
    refusal = limits.admit("k", None, None, NOW + 0.001)
    assert refusal is RATE_LIMITED
    assert limits.admit("k", None, None, NOW + 0.001 + refusal.retry_after) is None


def test_a_refused_request_costs_no_token_and_is_not_counted() -> None:
    limits = Limits(1, 2)
    assert limits.admit("a", None, None, NOW) is None
    assert limits.admit("b", None, None, NOW) is AT_CAPACITY
    limits.release("a")
    limits.configure(0, 2)
    assert admitted(limits, 5, who="b") == 2
    assert limits.running == 2
    assert admitted(limits, 5, NOW + 0.5, who="b") == 1


def test_each_has_its_own_bucket() -> None:
    limits = Limits(0, 2)
    assert admitted(limits, 3, who="a") == 2
    assert admitted(limits, 3, who="b") == 2


def test_the_rate_of_a_key_replaces_the_general_one() -> None:
    limits = Limits(0, 2)
    served = [limits.admit("big", 5, None, NOW) for _ in range(6)]
    assert served == [None] * 5 + [KEY_RATE_LIMITED]
    served = [limits.admit("small", 1, None, NOW) for _ in range(2)]
    assert served == [None, KEY_RATE_LIMITED]
    assert all(limits.admit("free", 0, None, NOW) is None for _ in range(100))
    limits.configure(0, 0)
    served = [limits.admit("other", 1, None, NOW) for _ in range(2)]
    assert served == [None, KEY_RATE_LIMITED]


def test_a_reload_gives_no_tokens_back() -> None:
    limits = Limits(0, 4)
    assert admitted(limits, 5) == 4
    limits.configure(0, 2)
    assert admitted(limits, 5) == 0
    assert admitted(limits, 5, NOW + 0.5) == 1


def test_buckets_are_bounded_and_only_full_ones_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BUCKETS", 10)
    limits = Limits(0, 2)
    assert admitted(limits, 3, who="abuser") == 2
    for number in range(9):
        assert admitted(limits, 1, who=f"n-{number}") == 1
    # The next ones share a bucket: there are too many to tell them apart, and none is full yet.
    assert [admitted(limits, 1, who=f"late-{number}") for number in range(4)] == [1, 1, 0, 0]
    assert len(limits._full_at) == 10
    assert admitted(limits, 1, who="abuser") == 0
    # A second later all are full, and room is made for those who come.
    assert admitted(limits, 3, NOW + 1.1, who="new") == 2
    assert len(limits._full_at) == 9
    assert admitted(limits, 3, NOW + 1.1, who="abuser") == 2


def test_a_busy_client_does_not_keep_idle_ones_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUCKETS", 10)
    limits = Limits(0, 2)
    for number in range(10):
        assert admitted(limits, 1, who=f"n-{number}") == 1
    assert admitted(limits, 3, NOW + 5, who="n-0") == 2
    assert admitted(limits, 3, NOW + 5, who="new") == 2
    assert {"n-0", "new"} <= set(limits._full_at)


def test_the_number_of_buckets_falls_when_clients_leave() -> None:
    limits = Limits(0, 1)
    for number in range(100):
        limits.admit(f"n-{number}", None, None, NOW)
    for number in range(100):
        limits.admit(f"m-{number}", None, None, NOW + 10 + 2 * number)
    assert len(limits._full_at) == 1


class Bucket:
    """A token bucket as the textbooks have it, to compare with."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.tokens = float(rate)
        self.at = NOW

    def take(self, now: float) -> bool:
        self.tokens = min(self.rate, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1 - 1e-5:
            return False
        self.tokens -= 1
        return True


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), max_size=200),
)
def test_like_the_bucket_of_the_textbooks(rate: int, asked: list[tuple[str, int]]) -> None:
    limits, buckets = Limits(0, rate), {who: Bucket(rate) for who in "abc"}
    now = NOW
    for who, hundredths in asked:
        now += hundredths / 100
        assert (limits.admit(who, None, None, now) is None) == buckets[who].take(now)


@given(
    st.integers(0, 4), st.integers(0, 3), st.lists(st.sampled_from(["+a", "+b", "-a", "-b"]))
)  # fmt: skip
def test_never_more_than_allowed_and_nothing_lost(total: int, own: int, steps: list[str]) -> None:
    limits, running = Limits(total, 0), {"a": 0, "b": 0}
    for sign, who in steps:
        if sign == "+":
            refused = limits.admit(who, None, own, NOW) is not None
            full = bool(total) and sum(running.values()) >= total
            assert refused == (full or (bool(own) and running[who] >= own))
            running[who] += not refused
        elif running[who]:
            limits.release(who)
            running[who] -= 1
        assert limits.running == sum(running.values())
        assert limits._running_of == {name: count for name, count in running.items() if count}
