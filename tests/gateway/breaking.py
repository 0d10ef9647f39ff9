"""Asking a breaker, for its tests."""

from __future__ import annotations

from aigw.gateway.breaker import Breakers, Pass, Rejection
from aigw.gateway.circuit import BreakerSettings

NOW = 1_000_000.0
SETTINGS = BreakerSettings(failure_threshold=3, interval=10, timeout=30, max_requests=2)
NAME = ("openai", "/responses", "gpt-5")

Name = tuple[str, str, str]


class Events:
    """What observers are told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Name, float | None]] = []

    def changed(self, circuit: Name, level: float) -> None:
        self.seen.append(("changed", circuit, level))

    def tripped(self, circuit: Name) -> None:
        self.seen.append(("tripped", circuit, None))

    def rejected(self, circuit: Name) -> None:
        self.seen.append(("rejected", circuit, None))

    def take(self) -> list[tuple[str, float | None]]:
        """Those since the last time, without names."""
        seen, self.seen = self.seen, []
        return [(kind, level) for kind, _, level in seen]


def let_through(breakers: Breakers, now: float = NOW, name: Name = NAME) -> Pass:
    got = breakers.admit(*name, now)
    assert isinstance(got, Pass)
    return got


def refused(breakers: Breakers, now: float = NOW, name: Name = NAME) -> float:
    got = breakers.admit(*name, now)
    assert isinstance(got, Rejection)
    return got.remaining


def opened(events: Events | None = None, settings: BreakerSettings = SETTINGS) -> Breakers:
    """With the circuit of `NAME` opened at `NOW`."""
    breakers = Breakers(settings, events or Events())
    for _ in range(settings.failure_threshold):
        let_through(breakers).failed(NOW)
    return breakers
