"""The circuit breaker: no requests into an outage, for each provider, route and model apart.

A failure is a provider that is overloaded or out of reach: 503, 504, Anthropic's 529, no
connection, a broken-off or stalled answer. 429 is none: it belongs to one key, which others of the
pool make up for, and would shut the model off for users with keys of their own
(https://github.com/coder/coder/pull/24701). Other 4xx are the client's doing; 500 and 502 are
often one request's (a prompt on which a backend fails) and say nothing of the next. A client that
leaves tells neither way.

Time comes in as monotonic seconds. How a circuit behaves is in `circuit`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Container
from itertools import islice
from typing import NamedTuple, Protocol

from aiohttp import web

from aigw.gateway.circuit import BreakerSettings, Circuit, Event, State
from aigw.gateway.errors import error_response
from aigw.providers.provider import ErrorShape

FAILURE_STATUSES = frozenset({503, 504, 529})
"""Answers of a provider that count as failures."""

CIRCUITS = 1_000
"""Circuits kept apart. Clients choose the model's name: more of them than any provider has protect
memory, and what goes beyond shares one circuit for each provider and route."""

MODEL_LENGTH = 256
"""Characters of a model's name that has a circuit of its own: names are shorter, and a body may
hold megabytes."""

SHARED_MODEL = "other"
"""The model of a shared circuit, named as the metrics name what is beyond their bound."""

_LOOKED_AT = 8
"""Circuits looked at for one to forget: bounds what a new name costs when none can be."""

_TRIAL_WAIT = 1.0
"""Seconds that a client is told to wait while others are on trial: nobody knows how long those
take, and they may be over at any moment."""


class BreakerObserver(Protocol):
    """Told what circuits do. A circuit's name is its provider, route and model."""

    def changed(self, circuit: tuple[str, str, str], level: float) -> None:
        """A circuit has another state: `level` is 0 closed, 0.5 half-open, 1 open."""

    def tripped(self, circuit: tuple[str, str, str]) -> None:
        """A circuit has opened."""

    def rejected(self, circuit: tuple[str, str, str]) -> None:
        """A request was refused."""


class Rejection(NamedTuple):
    """Do not ask the provider: `remaining` seconds until it is worth trying again."""

    remaining: float


class Pass:
    """Leave to ask the provider. Report how it went; of several reports the first one counts.

    So `abandoned` in a `finally` gives back what nothing else has reported.
    """

    __slots__ = ("_breakers", "_circuit", "_generation", "_is_trial", "_is_verdict_in")

    def __init__(self, breakers: Breakers, circuit: Circuit | None) -> None:
        self._breakers = breakers
        self._circuit = circuit
        self._generation = 0 if circuit is None else circuit.generation
        self._is_trial = circuit is not None and circuit.state is State.HALF_OPEN
        self._is_verdict_in = False

    def answered(self, now: float) -> None:
        """The head of a good answer is here: a trial has succeeded, however long the rest takes.

        Others wait for its verdict, and an answer may stream for minutes. If it breaks off while
        other trials go on, `failed` still opens the circuit. Away from trials this does nothing:
        there it counts whether an answer is complete.
        """
        if self._is_trial and not self._is_verdict_in and self._circuit is not None:
            self._is_verdict_in = True
            self._breakers.report(self._circuit, self._generation, Event.SUCCEEDED, now)

    def succeeded(self, now: float) -> None:
        """The answer is complete, and its status none of `FAILURE_STATUSES`."""
        self._end(None if self._is_verdict_in else Event.SUCCEEDED, now)

    def failed(self, now: float) -> None:
        """The provider answered with one of `FAILURE_STATUSES`, not at all, or broke off."""
        self._end(Event.FAILED, now)

    def abandoned(self, now: float) -> None:
        """The client left, or the gateway itself failed: nothing is known of the provider."""
        self._end(None if self._is_verdict_in else Event.ABANDONED, now)

    def _end(self, event: Event | None, now: float) -> None:
        circuit, self._circuit = self._circuit, None
        if circuit is not None:
            circuit.running -= 1
            if event is not None:
                self._breakers.report(circuit, self._generation, event, now)


class Breakers:
    """All circuits of a daemon. Without settings every request passes, and nothing is kept."""

    def __init__(self, settings: BreakerSettings | None, observer: BreakerObserver) -> None:
        self._settings = settings
        self._observer = observer
        self._circuits: OrderedDict[tuple[str, str, str], Circuit] = OrderedDict()
        self._shared: dict[tuple[str, str, str], Circuit] = {}
        self._free = Pass(self, None)

    def configure(self, settings: BreakerSettings | None, now: float) -> None:
        """Take other settings; None switches off. Open circuits stay open, trials begin again.

        Trials begin again because those of before may be more or fewer than are now wanted.
        """
        if settings == self._settings:
            return
        self._settings = settings
        circuits = [*self._circuits.values(), *self._shared.values()]
        if settings is None:
            self._circuits.clear()
            self._shared.clear()
        for circuit in circuits:
            if settings is None:
                self._reset(circuit, now)
            elif circuit.state is State.HALF_OPEN:
                circuit.enter(State.HALF_OPEN, now)

    def keep(self, providers: Container[str], now: float) -> None:
        """Forget the circuits of all other providers: those are gone, or are now elsewhere."""
        for circuits in (self._circuits, self._shared):
            for name in [name for name in circuits if name[0] not in providers]:
                self._reset(circuits.pop(name), now)

    def admit(self, provider: str, route: str, model: str, now: float) -> Pass | Rejection:
        """Leave to ask a provider, or not. Every pass must be reported on."""
        settings = self._settings
        if settings is None:
            return self._free
        circuit = self._circuit((provider, route, model), settings, now)
        if circuit.elapse(settings, now):
            self._observer.changed(circuit.name, circuit.state.value)
        if circuit.state is not State.CLOSED:
            if circuit.state is State.OPEN:
                return self._reject(circuit, circuit.remaining(settings, now))
            if circuit.trials >= settings.max_requests:
                return self._reject(circuit, _TRIAL_WAIT)
            circuit.trials += 1
        circuit.running += 1
        return Pass(self, circuit)

    def unclosed(self, now: float) -> list[dict[str, str | float]]:
        """The circuits that let no requests through, or only some on trial, as pages show them."""
        settings = self._settings
        if settings is None:
            return []
        found = (*self._circuits.values(), *self._shared.values())
        return [
            {
                "provider": circuit.name[0],
                "endpoint": circuit.name[1],
                "model": circuit.name[2],
                "state": circuit.state.name.lower(),
                "seconds": round(max(0.0, circuit.remaining(settings, now)), 1),
            }
            for circuit in found
            if circuit.state is not State.CLOSED
        ]

    def report(self, circuit: Circuit, generation: int, event: Event, now: float) -> None:
        """What became of a request (`Pass` calls this). One of an earlier generation is ignored."""
        settings = self._settings
        if settings is None or generation != circuit.generation:
            return
        circuit.elapse(settings, now)
        if circuit.apply(event, settings, now):
            self._observer.changed(circuit.name, circuit.state.value)
            if circuit.state is State.OPEN:
                self._observer.tripped(circuit.name)

    def _reject(self, circuit: Circuit, remaining: float) -> Rejection:
        self._observer.rejected(circuit.name)
        return Rejection(remaining)

    def _circuit(
        self, name: tuple[str, str, str], settings: BreakerSettings, now: float
    ) -> Circuit:
        circuit = self._circuits.get(name)
        if circuit is not None:
            self._circuits.move_to_end(name)
            return circuit
        is_full = len(self._circuits) >= CIRCUITS and not self._forget_one(settings, now)
        if is_full or len(name[2]) > MODEL_LENGTH:
            name = (name[0], name[1], SHARED_MODEL)
            return self._shared.setdefault(name, Circuit(name, now))
        circuit = self._circuits[name] = Circuit(name, now)
        return circuit

    def _forget_one(self, settings: BreakerSettings, now: float) -> bool:
        """Forget the first idle circuit of the few that were asked for least recently."""
        oldest = list(islice(self._circuits.values(), _LOOKED_AT))
        for circuit in oldest:
            if circuit.is_idle(settings, now):
                del self._circuits[circuit.name]
                self._reset(circuit, now)
                return True
            # Others come first the next time, so that busy ones do not stand in the way for ever.
            self._circuits.move_to_end(circuit.name)
        return False

    def _reset(self, circuit: Circuit, now: float) -> None:
        """Let go of a circuit: its metric falls back, and what its requests report is ignored."""
        if circuit.state is not State.CLOSED:
            self._observer.changed(circuit.name, State.CLOSED.value)
        circuit.enter(State.CLOSED, now)


def rejection_message(remaining: float) -> str:
    """For a person; it begins with the words of Coder's gateway."""
    return f"circuit breaker is open; try again in {_whole_seconds(remaining)} s"


def rejection_response(shape: ErrorShape, remaining: float) -> web.Response:
    """The answer to a request that is not let through, with `remaining` as in `Rejection`."""
    headers = {"Retry-After": str(_whole_seconds(remaining))}
    message = rejection_message(remaining)
    return error_response(shape, 503, "service_unavailable", message, headers)


def _whole_seconds(remaining: float) -> int:
    return max(1, math.ceil(remaining))
