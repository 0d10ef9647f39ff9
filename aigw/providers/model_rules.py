"""Which models of a provider may be asked for, and under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelRules:
    """Patterns in which `*` stands for any text, and other names for models."""

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
