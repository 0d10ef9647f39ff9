"""A provider's central credentials, and which of them may be used now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aigw.providers.call import CentralCredential


class PoolObserver(Protocol):
    """Told of what happens to keys."""


class KeyPool:
    """Several credentials of one provider, tried in order."""

    def __init__(
        self,
        credentials: Sequence[CentralCredential],
        cooldown: float = 60.0,
        *,
        provider: str = "",
        observer: PoolObserver | None = None,
    ) -> None:
        self.credentials = tuple(credentials)
        self.cooldown = cooldown
        self.provider = provider
        self.observer = observer

    def adopt(self, other: KeyPool) -> None:
        """Let keys that both have rest on."""

    def __repr__(self) -> str:
        return f"KeyPool({', '.join(c.hint for c in self.credentials)})"
