"""A provider's central credentials, and which of them may be used now.

A credential that its provider refused rests for a while, and is then used again: nothing here is
permanent, because limits pass and keys are restored. `TRANSITIONS` is all there is to its state.
Times are monotonic seconds and passed in.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from aigw.provider_settings import KEY_COOLDOWN
from aigw.providers.call import CentralCredential

_log = logging.getLogger("aigw.providers")

LONGEST_COOLDOWN = 3600.0
"""Seconds that a provider's `Retry-After` may take a key out, at most: quotas that are gone for a
day are often raised within the hour, and a key should come back without a restart."""

SHORTEST_COOLDOWN = 1.0
"""Seconds that it takes at least, whatever the provider says: with 0 every further request would
spend an attempt on a key that was refused a moment ago."""


class State(StrEnum):
    """What is known of a credential."""

    AVAILABLE = "available"
    RATE_LIMITED = "rate_limited"
    AUTH_FAILED = "auth_failed"


class Event(StrEnum):
    """What may happen to a credential; the first two are the reasons of a refusal."""

    RATE_LIMITED = "rate_limited"
    AUTH_FAILED = "auth_failed"
    SERVED = "served"
    RESTED = "rested"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.AVAILABLE, Event.RATE_LIMITED): State.RATE_LIMITED,
    (State.AVAILABLE, Event.AUTH_FAILED): State.AUTH_FAILED,
    (State.AVAILABLE, Event.SERVED): State.AVAILABLE,
    (State.AVAILABLE, Event.RESTED): State.AVAILABLE,
    (State.RATE_LIMITED, Event.RATE_LIMITED): State.RATE_LIMITED,
    # The stronger word: a key that is not valid will not be served when the limit has passed.
    (State.RATE_LIMITED, Event.AUTH_FAILED): State.AUTH_FAILED,
    (State.RATE_LIMITED, Event.SERVED): State.AVAILABLE,
    (State.RATE_LIMITED, Event.RESTED): State.AVAILABLE,
    # An answer to a request that was under way when the key was found invalid.
    (State.AUTH_FAILED, Event.RATE_LIMITED): State.AUTH_FAILED,
    (State.AUTH_FAILED, Event.AUTH_FAILED): State.AUTH_FAILED,
    (State.AUTH_FAILED, Event.SERVED): State.AVAILABLE,
    (State.AUTH_FAILED, Event.RESTED): State.AVAILABLE,
}
"""`RESTED` comes when a cool-down is over, `SERVED` counts only for a request that was sent after
the cool-down had begun."""


class KeyState(NamedTuple):
    """A credential as pages show it: `hint` is masked, `seconds` are left of its cool-down."""

    hint: str
    state: State
    seconds: float


class Wait(NamedTuple):
    """How long there will be no usable credential, and why (`AVAILABLE`: there is one)."""

    seconds: float
    reason: State


class PoolObserver(Protocol):
    """Is told what happens in pools, to count it. Never called for a pool of one but `states`."""

    def transition(self, provider: str, reason: str) -> None:
        """A credential changed its state; `reason` is an `Event`."""

    def states(self, provider: str, counts: Mapping[str, int]) -> None:
        """How many credentials are in which `State` now; every state is named."""

    def exhausted(self, provider: str, outcome: str) -> None:
        """A request found no credential that serves; `outcome` is the `State` they are in."""

    def attempts(self, provider: str, count: int) -> None:
        """A request was sent so many times, each with another credential."""


class _Key:
    """A credential's place in the table. `since` is when the state was entered."""

    __slots__ = ("hint", "since", "state", "until")

    def __init__(self, hint: str) -> None:
        self.hint = hint
        self.state = State.AVAILABLE
        self.since = 0.0
        self.until = 0.0


class KeyPool:
    """The credentials of one provider, tried in the order in which they are configured.

    A pool of one never rests: there is nothing better to try, and the provider is the judge.

    Args:
        credentials: at least one; of two with the same identity the first counts.
        cooldown: seconds that a refused credential rests where the provider does not say.
        provider: the configured name, for messages and the observer.
        observer: is told of changes.
    """

    def __init__(
        self,
        credentials: Sequence[CentralCredential],
        cooldown: float = KEY_COOLDOWN.total_seconds(),
        provider: str = "",
        observer: PoolObserver | None = None,
    ) -> None:
        distinct: dict[str, CentralCredential] = {}
        for credential in credentials:
            distinct.setdefault(credential.identity, credential)
        if not distinct:
            raise ValueError("a pool needs a credential")
        self.credentials = tuple(distinct.values())
        self.cooldown = cooldown
        self.provider = provider
        self._observer = observer
        self._keys = {identity: _Key(made.hint) for identity, made in distinct.items()}
        self._successor: KeyPool | None = None
        self._tell_states()

    def __repr__(self) -> str:
        return f"KeyPool({', '.join(c.hint for c in self.credentials)})"

    @property
    def is_single(self) -> bool:
        """Whether there is only one credential, which is then always used."""
        return len(self.credentials) == 1

    def candidates(self, now: float) -> Sequence[CentralCredential]:
        """The credentials that may be used, in configured order."""
        if self.is_single:
            return self.credentials
        self._rest(now)
        keys = self._keys
        return [c for c in self.credentials if keys[c.identity].state is State.AVAILABLE]

    def refused(
        self,
        credential: CentralCredential,
        reason: Event,
        retry_after: float | None,
        now: float,
    ) -> None:
        """The provider refused a credential. `retry_after` is in seconds, None if it did not say.

        Many requests may be refused at once: the first takes the credential out, and the others
        only make its rest longer where the provider asks for that.
        """
        if self._successor is not None:
            self._successor.refused(credential, reason, retry_after, now)
            return
        key = self._keys.get(credential.identity)
        if key is None or self.is_single:
            return
        self._rest(now)
        changes = TRANSITIONS[key.state, reason] is not key.state
        if changes or retry_after is not None:
            key.until = max(key.until, now + self._duration(retry_after))
        if changes:
            self._enter(key, reason, now)
            _log.warning(
                "%s: the key %s is set aside for %d s: %s",
                self.provider,
                key.hint,
                round(key.until - now),
                _WHY[key.state],
            )

    def served(self, credential: CentralCredential, sent: float) -> None:
        """A request that was sent at `sent` was served.

        That ends a cool-down which had begun before, but not one that began since.
        """
        if self._successor is not None:
            self._successor.served(credential, sent)
            return
        key = self._keys.get(credential.identity)
        if key is not None and key.state is not State.AVAILABLE and sent > key.since:
            self._enter(key, Event.SERVED, sent)

    def wait(self, now: float) -> Wait:
        """How long until one is usable again, and why none is.

        Where at least one is only rate-limited, that is the reason, and what is waited for.
        """
        if self.candidates(now):
            return Wait(0.0, State.AVAILABLE)
        keys = self._keys.values()
        limited = [key.until - now for key in keys if key.state is State.RATE_LIMITED]
        if limited:
            return Wait(min(limited), State.RATE_LIMITED)
        return Wait(min(key.until - now for key in keys), State.AUTH_FAILED)

    def states(self, now: float) -> list[KeyState]:
        """All credentials in configured order, for pages."""
        self._rest(now)
        return [
            KeyState(key.hint, key.state, max(0.0, key.until - now) if _is_out(key) else 0.0)
            for key in self._keys.values()
        ]

    def adopt(self, old: KeyPool) -> None:
        """Take over the cool-downs of the pool that this one replaces, and what it learns yet.

        Requests that are still under way report to the old pool; it passes that on from now on.
        """
        old._successor = self
        if self.is_single:
            return
        for identity, key in self._keys.items():
            known = old._keys.get(identity)
            if known is not None and _is_out(known):
                key.state, key.since, key.until = known.state, known.since, known.until
        self._tell_states()

    def attempted(self, count: int) -> None:
        """Count a request that was sent `count` times."""
        if self._observer is not None and not self.is_single:
            self._observer.attempts(self.provider, count)

    def exhausted(self, outcome: State) -> None:
        """Count a request that no credential served."""
        if self._observer is not None and not self.is_single:
            self._observer.exhausted(self.provider, outcome.value)

    def _duration(self, retry_after: float | None) -> float:
        if retry_after is None:
            return self.cooldown
        return min(max(retry_after, SHORTEST_COOLDOWN), LONGEST_COOLDOWN)

    def _rest(self, now: float) -> None:
        for key in self._keys.values():
            if _is_out(key) and now >= key.until:
                self._enter(key, Event.RESTED, now)

    def _enter(self, key: _Key, event: Event, now: float) -> None:
        key.state = TRANSITIONS[key.state, event]
        key.since = now
        if self._observer is not None:
            self._observer.transition(self.provider, event.value)
        self._tell_states()

    def _tell_states(self) -> None:
        if self._observer is None:
            return
        counts = dict.fromkeys((state.value for state in State), 0)
        for key in self._keys.values():
            counts[key.state.value] += 1
        self._observer.states(self.provider, counts)


_WHY = {
    State.RATE_LIMITED: "its rate limit is reached",
    State.AUTH_FAILED: "the provider does not accept it; replace it if that stays so",
}


def _is_out(key: _Key) -> bool:
    return key.state is not State.AVAILABLE
