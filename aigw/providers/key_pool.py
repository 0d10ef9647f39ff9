"""A provider's central credentials, and which of them may be used now."""

from __future__ import annotations

from collections.abc import Sequence

from aigw.providers.call import CentralCredential


class KeyPool:
    """Several credentials of one provider, tried in order."""

    def __init__(self, credentials: Sequence[CentralCredential], cooldown: float = 60.0) -> None:
        self.credentials = tuple(credentials)
        self.cooldown = cooldown

    def __repr__(self) -> str:
        return f"KeyPool({', '.join(c.hint for c in self.credentials)})"
