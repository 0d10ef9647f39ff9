"""One circuit of the breaker: closed while all is well, open in an outage, half-open on trial.

Everything that changes a circuit's state is in the table `TRANSITIONS`; `breaker` keeps circuits
and says what counts as an outcome. Time comes in as monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class State(Enum):
    """Of a circuit. The values are those of the metric."""

    CLOSED = 0.0
    HALF_OPEN = 0.5
    OPEN = 1.0


class Event(Enum):
    """What happens to a circuit."""

    SUCCEEDED = "a request succeeded"
    FAILED = "a request failed"
    ABANDONED = "nothing became of a request"
    TIME_OVER = "the state's time is over: the interval while closed, the timeout while open"


class Effect(Enum):
    """What an event does. Each state counts one thing: failures in a row, or successful trials."""

    NONE = "nothing"
    COUNT = "one more is counted, and where that is enough the state changes"
    COUNT_ANEW = "counting begins again"
    GIVE_BACK = "another request may go on trial"
    CHANGE = "the state changes"


class Transition(NamedTuple):
    """What an event does in a state, and the state that follows if it changes."""

    effect: Effect
    to: State


TRANSITIONS: dict[tuple[State, Event], Transition] = {
    # Enough is `failure_threshold` in a row. The interval keeps rare failures from adding up.
    (State.CLOSED, Event.SUCCEEDED): Transition(Effect.COUNT_ANEW, State.CLOSED),
    (State.CLOSED, Event.FAILED): Transition(Effect.COUNT, State.OPEN),
    (State.CLOSED, Event.ABANDONED): Transition(Effect.NONE, State.CLOSED),
    (State.CLOSED, Event.TIME_OVER): Transition(Effect.COUNT_ANEW, State.CLOSED),
    # No request is let through, so that none has an outcome.
    (State.OPEN, Event.SUCCEEDED): Transition(Effect.NONE, State.OPEN),
    (State.OPEN, Event.FAILED): Transition(Effect.NONE, State.OPEN),
    (State.OPEN, Event.ABANDONED): Transition(Effect.NONE, State.OPEN),
    (State.OPEN, Event.TIME_OVER): Transition(Effect.CHANGE, State.HALF_OPEN),
    # Enough is `max_requests`, which is also how many are let through. The state has no time of
    # its own: its trials end.
    (State.HALF_OPEN, Event.SUCCEEDED): Transition(Effect.COUNT, State.CLOSED),
    (State.HALF_OPEN, Event.FAILED): Transition(Effect.CHANGE, State.OPEN),
    (State.HALF_OPEN, Event.ABANDONED): Transition(Effect.GIVE_BACK, State.HALF_OPEN),
    (State.HALF_OPEN, Event.TIME_OVER): Transition(Effect.NONE, State.HALF_OPEN),
}
"""The whole state machine."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """How circuits behave.

    Attributes:
        failure_threshold: failures in a row that open a circuit.
        interval: seconds after which a closed circuit counts anew; 0: never.
        timeout: seconds for which a circuit stays open.
        max_requests: let through on trial; when as many succeed, the circuit closes.
    """

    failure_threshold: int = 5
    interval: float = 10.0
    timeout: float = 30.0
    max_requests: int = 3


class Circuit:
    """A circuit as it is now. A generation is the time between two changes of its state.

    Attributes:
        name: provider, route and model.
        counted: failures in a row while closed, successful trials while half-open.
        trials: requests let through on trial that succeeded or are under way.
        running: requests under way, of whatever generation.
    """

    __slots__ = ("counted", "generation", "name", "running", "since", "state", "trials")

    def __init__(self, name: tuple[str, str, str], now: float) -> None:
        self.name = name
        self.running = 0
        self.generation = 0
        self.enter(State.CLOSED, now)

    def enter(self, state: State, now: float) -> None:
        """Begin a generation: requests of earlier ones have no say in it."""
        self.state = state
        self.since = now
        self.counted = 0
        self.trials = 0
        self.generation += 1

    def apply(self, event: Event, settings: BreakerSettings, now: float) -> bool:
        """Follow the table; True when the state has changed."""
        effect, to = TRANSITIONS[self.state, event]
        if effect is Effect.COUNT:
            self.counted += 1
            is_enough = self.counted >= self._enough(settings)
            effect = Effect.CHANGE if is_enough else Effect.NONE
        if effect is Effect.COUNT_ANEW:
            self.counted = 0
        elif effect is Effect.GIVE_BACK:
            self.trials -= 1
        elif effect is Effect.CHANGE:
            self.enter(to, now)
            return True
        return False

    def elapse(self, settings: BreakerSettings, now: float) -> bool:
        """Notice that the state's time is over; True when that has changed the state."""
        if self.remaining(settings, now) > 0:
            return False
        self.since = now
        return self.apply(Event.TIME_OVER, settings, now)

    def remaining(self, settings: BreakerSettings, now: float) -> float:
        """Seconds that the state has left; infinite where it ends otherwise."""
        if self.state is State.OPEN:
            return self.since + settings.timeout - now
        if self.state is State.CLOSED and settings.interval:
            return self.since + settings.interval - now
        return math.inf

    def is_idle(self, settings: BreakerSettings, now: float) -> bool:
        """Whether it can be forgotten: no request is under way, and none would be refused."""
        is_refusing = self.state is State.OPEN and self.remaining(settings, now) > 0
        return not self.running and not is_refusing

    def _enough(self, settings: BreakerSettings) -> int:
        if self.state is State.CLOSED:
            return settings.failure_threshold
        return settings.max_requests
