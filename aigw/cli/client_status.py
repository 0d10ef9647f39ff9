"""What a client says of itself on the stdin of its status line's command."""

from __future__ import annotations

import json
import math
import os
import sys
from threading import Thread
from typing import Any

PATIENCE = 0.3
"""Seconds that a pipe on stdin may stay silent. Clients write before or as they start the command;
where a pipe never ends (a shell in a script), the prompt waits this long and no longer."""

LARGEST = 1_048_576
"""Bytes read: the object has one or two thousand."""

_CHUNK = 65_536
_MOST_DOLLARS = 1e9
_MOST_PERCENT = 1000


class ClientStatus:
    """Facts, as far as they are given and have the right type; asking waits for them."""

    def __init__(self, descriptor: int | None) -> None:
        self._given: dict[str, Any] = {}
        self._thread: Thread | None = None
        if descriptor is not None:
            # A thread and not select(), which cannot wait for a pipe on Windows. It is left behind
            # when the pipe stays silent.
            self._thread = Thread(target=self._read, args=(descriptor,), daemon=True)
            self._thread.start()

    @classmethod
    def reading_stdin(cls) -> ClientStatus:
        """From this process's stdin, unless a person would have to type it."""
        try:
            descriptor = sys.stdin.fileno()
            return cls(None if os.isatty(descriptor) else descriptor)
        except (AttributeError, OSError, ValueError):  # closed, or none at all
            return cls(None)

    @property
    def session_id(self) -> str | None:
        """The client's session, as it sends it with its requests."""
        return _text(self._facts.get("session_id"))

    @property
    def model(self) -> str:
        """The model's name for people; empty when it is not given."""
        model = self._facts.get("model")
        if isinstance(model, dict):
            return _text(model.get("display_name")) or _text(model.get("id")) or ""
        return _text(model) or ""

    @property
    def cost_micros(self) -> int | None:
        """The client's own estimate of what the session costs, in millionths of a US dollar."""
        dollars = _number(self._part("cost").get("total_cost_usd"))
        if dollars is None or not 0 <= dollars <= _MOST_DOLLARS:
            return None
        return round(dollars * 1_000_000)

    @property
    def context_percent(self) -> float | None:
        """How much of the context window is used."""
        share = _number(self._part("context_window").get("used_percentage"))
        return share if share is not None and 0 <= share <= _MOST_PERCENT else None

    def _part(self, name: str) -> dict[str, Any]:
        part = self._facts.get(name)
        return part if isinstance(part, dict) else {}

    @property
    def _facts(self) -> dict[str, Any]:
        if self._thread is not None:
            self._thread.join(PATIENCE)
            self._thread = None
        return self._given

    def _read(self, descriptor: int) -> None:
        content = b""
        while len(content) < LARGEST:
            try:
                chunk = os.read(descriptor, _CHUNK)
            except OSError:
                return
            content += chunk
            # Whole before the pipe's end: not every writer closes it.
            if not chunk or content.rstrip().endswith(b"}"):
                try:
                    found = json.loads(content)
                except (ValueError, RecursionError):
                    found = None
                if isinstance(found, dict):
                    self._given = found
                    return
            if not chunk:
                return


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
