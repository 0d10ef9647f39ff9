"""Which circuits are kept: through a reload, and when there are many."""

from __future__ import annotations

import pytest

from aigw.gateway import breaker as module
from aigw.gateway.breaker import MODEL_LENGTH, SHARED_MODEL, Breakers
from aigw.gateway.circuit import BreakerSettings
from tests.gateway.breaking import NAME, NOW, SETTINGS, Events, let_through, opened, refused


def test_switching_off_lets_everything_through_and_resets_the_metric() -> None:
    events = Events()
    breakers = opened(events)
    other = ("openai", "/responses", "fine")
    running = [let_through(breakers, name=other) for _ in range(3)]
    events.take()
    breakers.configure(None, NOW)
    assert events.seen == [("changed", NAME, 0.0)]
    let_through(breakers).failed(NOW)
    breakers.configure(SETTINGS, NOW)
    for one in running:
        one.failed(NOW)
    let_through(breakers)
    let_through(breakers, name=other)
    assert events.take() == [("changed", 0.0)]


def test_other_settings_hold_for_what_is_open() -> None:
    breakers = opened()
    breakers.configure(BreakerSettings(timeout=60), NOW)
    assert refused(breakers, NOW + 30) == 30
    breakers.configure(BreakerSettings(timeout=5), NOW + 31)
    let_through(breakers, NOW + 31)


def test_a_lower_threshold_holds_at_once() -> None:
    breakers = Breakers(BreakerSettings(failure_threshold=100, interval=0), Events())
    for _ in range(50):
        let_through(breakers).failed(NOW)
    breakers.configure(SETTINGS, NOW)
    let_through(breakers).failed(NOW)
    refused(breakers)


@pytest.mark.parametrize("trials", [1, 2, 5])
def test_other_settings_leave_no_circuit_stuck_on_trial(trials: int) -> None:
    breakers = opened()
    got = let_through(breakers, NOW + 30)
    got.succeeded(NOW + 30)
    before = let_through(breakers, NOW + 30)
    breakers.configure(BreakerSettings(max_requests=trials), NOW + 30)
    before.failed(NOW + 30)
    for _ in range(trials):
        let_through(breakers, NOW + 31).succeeded(NOW + 31)
    for _ in range(10):
        let_through(breakers, NOW + 32)


def test_the_same_settings_again_change_nothing() -> None:
    breakers = opened()
    trial = let_through(breakers, NOW + 30)
    breakers.configure(BreakerSettings(3, 10, 30, 2), NOW + 30)
    trial.failed(NOW + 30)
    refused(breakers, NOW + 30)


def test_a_provider_that_is_gone_leaves_no_circuit_behind() -> None:
    events = Events()
    breakers = opened(events)
    other = ("azure", "/responses", "gpt-5")
    long = ("openai", "/responses", "x" * 1000)
    for name in (other, long):
        for _ in range(3):
            let_through(breakers, name=name).failed(NOW)
    stale = [let_through(breakers, name=("openai", "/responses", "fine")) for _ in range(3)]
    events.seen.clear()
    breakers.keep(["azure", "new"], NOW)
    shared = ("openai", "/responses", SHARED_MODEL)
    assert events.seen == [("changed", NAME, 0.0), ("changed", shared, 0.0)]
    refused(breakers, name=other)
    let_through(breakers)
    let_through(breakers, name=long)
    events.seen.clear()
    for one in stale:
        one.failed(NOW)
    assert not events.seen


def test_circuits_are_bounded_and_idle_ones_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CIRCUITS", 20)
    events = Events()
    breakers = opened(events)
    for number in range(200):
        let_through(breakers, name=("openai", "/responses", f"m-{number}")).succeeded(NOW)
    assert len(breakers._circuits) == 20
    assert not breakers._shared
    refused(breakers)
    # Once nothing of it would be refused any more it is idle, too; its metric falls back.
    events.take()
    for number in range(40):
        name = ("openai", "/responses", f"n-{number}")
        let_through(breakers, NOW + 30, name=name).succeeded(NOW + 30)
    assert NAME not in breakers._circuits
    assert events.seen == [("changed", NAME, 0.0)]


def test_the_one_asked_for_least_recently_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CIRCUITS", 3)
    breakers = Breakers(SETTINGS, Events())
    for model in ("a", "b", "c", "a", "d"):
        let_through(breakers, name=("openai", "/responses", model)).succeeded(NOW)
    assert [name[2] for name in breakers._circuits] == ["c", "a", "d"]


def test_busy_ones_do_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CIRCUITS", 20)
    breakers = Breakers(SETTINGS, Events())
    passes = [let_through(breakers, name=("openai", "/responses", f"m-{n}")) for n in range(20)]
    for one in passes[12:]:
        one.succeeded(NOW)
    for number in range(3):
        let_through(breakers, name=("openai", "/responses", f"n-{number}"))
    kept = {name[2] for name in breakers._circuits}
    assert {f"m-{n}" for n in range(12)} | {"n-1", "n-2"} <= kept


def test_those_beyond_the_bound_share_a_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CIRCUITS", 20)
    events = Events()
    breakers = Breakers(SETTINGS, events)
    busy = [let_through(breakers, name=("openai", "/responses", f"m-{n}")) for n in range(20)]
    for number in range(3):
        let_through(breakers, name=("openai", "/responses", f"n-{number}")).failed(NOW)
    assert events.seen[0] == ("changed", ("openai", "/responses", SHARED_MODEL), 1.0)
    refused(breakers, name=("openai", "/responses", "one-more"))
    let_through(breakers, name=("openai", "/chat/completions", "one-more"))
    let_through(breakers, name=("openai", "/responses", "m-3"))
    assert len(breakers._circuits) == 20
    busy[0].succeeded(NOW)
    # Found within a few requests, though only a few circuits are looked at for each.
    for number in range(3):
        breakers.admit("openai", "/responses", f"p-{number}", NOW)
    assert ("openai", "/responses", "m-0") not in breakers._circuits
    breakers.configure(None, NOW)
    assert events.seen[-1] == ("changed", ("openai", "/responses", SHARED_MODEL), 0.0)


def test_a_long_model_is_not_kept() -> None:
    breakers = Breakers(SETTINGS, Events())
    let_through(breakers, name=("openai", "/responses", "x" * MODEL_LENGTH))
    let_through(breakers, name=("openai", "/responses", "x" * 100_000))
    let_through(breakers, name=("openai", "/responses", "y" * 100_000))
    assert len(breakers._circuits) == 1
    assert list(breakers._shared) == [("openai", "/responses", SHARED_MODEL)]
