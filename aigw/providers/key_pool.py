"""A provider's central credentials, and which of them may be used now."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from aigw.providers.call import CentralCredential


class State(StrEnum):
    """What is known of a credential."""

    AVAILABLE = "available"


class KeyState(NamedTuple):
    """A credential as pages show it: `hint` is masked, `seconds` are left of its cool-down."""

    hint: str
    state: State
    seconds: float


class PoolObserver(Protocol):
    """Told of what happens to keys."""


class KeyPool:
    """Several credentials of one provider, tried in order."""

    def __init__(
        self,
        credentials: Sequence[CentralCredential],
        cooldown: float = 60.0,
        provider: str = "",
        observer: PoolObserver | None = None,
    ) -> None:
        self.credentials = tuple(credentials)
        self.cooldown = cooldown
        self.provider = provider
        self.observer = observer

    def states(self, now: float) -> list[KeyState]:
        """All credentials in configured order, for pages."""
        del now
        return [KeyState(each.hint, State.AVAILABLE, 0.0) for each in self.credentials]

    def adopt(self, old: KeyPool) -> None:
        """Let keys that both have rest on."""
        del old

    def __repr__(self) -> str:
        return f"KeyPool({', '.join(c.hint for c in self.credentials)})"
