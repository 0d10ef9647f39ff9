"""The answer to what a response costs."""

from __future__ import annotations

import msgspec


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What a response costs at list price. `micros`: millionths of a US dollar, None: no price known.

    `source` says where the price is from; `context_window` is the model's, in tokens.
    """

    micros: int | None = None
    source: str = ""
    context_window: int | None = None


UNPRICED = Cost()
