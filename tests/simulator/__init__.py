"""A provider simulator: OpenAI and Anthropic over real HTTP, with every fault a network has.

In a test: `Simulator` (a thread) and `Script`. As a process: `python -m tests.simulator --port 0`
prints its base URL; the request's model name steers it (see `tests.simulator.plan`).
"""

from tests.simulator.script import (
    Close,
    Gate,
    Hold,
    Pause,
    Reset,
    Script,
    Send,
    resplit,
)
from tests.simulator.threaded import Simulator
from tests.simulator.wire import Received

__all__ = [
    "Close",
    "Gate",
    "Hold",
    "Pause",
    "Received",
    "Reset",
    "Script",
    "Send",
    "Simulator",
    "resplit",
]
