"""The wall clock, in the unit every record uses."""

from __future__ import annotations

import time


def now() -> int:
    """Microseconds since the Unix epoch, UTC. May go backwards when the system's clock is set."""
    return time.time_ns() // 1000
