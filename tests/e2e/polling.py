"""Waiting for something in another process: there is no event to wait on, so look often."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def until(look: Callable[[], _T], timeout: float = 30.0, what: str = "it") -> _T:
    """Call `look` every 15 ms until it gives something true; its result."""
    deadline = time.monotonic() + timeout
    while not (result := look()):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what} did not happen within {timeout} s")
        time.sleep(0.015)
    return result
