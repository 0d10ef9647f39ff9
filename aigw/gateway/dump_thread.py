"""The thread that writes HAR dumps: making the document, the file, and room for it.

A slow or full disk costs dumps, never the relay: what waits is bounded, and what is lost is counted
and said, but not once for each.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aigw.gateway.dump_folder import Place, write_dump
from aigw.gateway.dump_retention import prune
from aigw.telemetry.har import About, Attempt, document
from aigw.wire.content_coding import decoder

_log = logging.getLogger("aigw.dump")

UPKEEP_SECONDS = 60.0
"""How often the age of dumps is looked at; in between their size is added up as they are written."""

RESCAN_SECONDS = 3600.0
"""How often the folder is read afresh: another daemon may write there, a person may delete."""

COMPLAINT_SECONDS = 60.0
"""Losses are logged no more often: a full disk must not fill the log as well."""


class Finished(NamedTuple):
    """A dump to write. `cost` is the memory it holds."""

    place: Place
    about: About
    attempts: list[Attempt]
    cost: int


class Losses:
    """Counts what is lost and logs it at most once in `COMPLAINT_SECONDS`. For one thread."""

    def __init__(self, folder: Path) -> None:
        self.total = 0
        self._folder = folder
        self._unsaid = 0
        self._said_at: float | None = None

    def add(self, reason: str) -> None:
        """One more was lost."""
        self.total += 1
        self._unsaid += 1
        now = time.monotonic()
        if self._said_at is not None and now - self._said_at < COMPLAINT_SECONDS:
            return
        self._said_at = now
        unsaid, self._unsaid = self._unsaid, 0
        _log.error("%d HAR dumps for %s were lost: %s", unsaid, self._folder, reason)


class DumpThread:
    """Writes dumps in the order they are put in.

    Args:
        folder: where to; links in it were resolved.
        max_age: seconds that dumps are kept, 0 for ever.
        max_size: bytes that they may take together.
    """

    def __init__(self, folder: Path, max_age: float, max_size: int) -> None:
        self.max_age = max_age
        self.max_size = max_size
        self.written = 0
        self.done = 0
        self.freed = 0
        """Memory of the dumps done with. Like `done` it only grows: others subtract and compare."""
        self.failures = Losses(folder)
        self._folder = folder
        self._queue: queue.SimpleQueue[Finished | Callable[[], object] | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="aigw-dump", daemon=True)
        self._size = 0
        self._oldest: float | None = None
        self._scan_at = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, finished: Finished) -> None:
        """Hand over a dump. Its attempts must not change any more."""
        self._queue.put(finished)

    def call(self, what: Callable[[], object]) -> None:
        """Call something in the thread once everything handed over before is done."""
        self._queue.put(what)

    def stop(self, timeout: float) -> bool:
        """Write what waits and end; whether that was done within `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # From here on everything runs in the thread.

    def _run(self) -> None:
        upkeep_at = 0.0
        while True:
            if time.monotonic() >= upkeep_at:
                self._upkeep()
                upkeep_at = time.monotonic() + UPKEEP_SECONDS
            try:
                item = self._queue.get(timeout=max(0.0, upkeep_at - time.monotonic()))
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Finished):
                self._process(item)
            else:
                item()

    def _process(self, finished: Finished) -> None:
        try:
            self._write(finished)
        except OSError as error:
            self.failures.add(str(error.strerror or error))
        except Exception as error:  # noqa: BLE001 (a bug must not end the thread)
            # Its kind only: a message may quote what was being written.
            self.failures.add(f"the document could not be made ({type(error).__name__})")
        finally:
            finished.attempts.clear()
            self.done += 1
            self.freed += finished.cost

    def _write(self, finished: Finished) -> None:
        content = document(finished.attempts, finished.about, decoder)
        try:
            write_dump(self._folder, finished.place, content)
        except FileNotFoundError:
            # Another daemon's upkeep removed the folder in the moment it was empty.
            write_dump(self._folder, finished.place, content)
        self.written += 1
        self._size += len(content)
        if self._oldest is None:
            self._oldest = time.time()
        if self._size > self.max_size:
            self._prune()

    def _upkeep(self) -> None:
        expired = (
            self.max_age and self._oldest is not None and self._oldest + self.max_age <= time.time()
        )
        if expired or self._size > self.max_size or time.monotonic() >= self._scan_at:
            self._prune()

    def _prune(self) -> None:
        self._scan_at = time.monotonic() + RESCAN_SECONDS
        try:
            kept = prune(self._folder, time.time(), self.max_age, self.max_size)
        except OSError as error:
            _log.warning(
                "the HAR dumps in %s cannot be looked at: %s", self._folder, error.strerror
            )
            return
        self._size, self._oldest = kept
