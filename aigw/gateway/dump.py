"""HAR dumps of requests and answers, for whoever has to see what was said to a provider.

Runs beside the relay: it notes references to what passes by, within bounds, and hands them to a
thread at the end. No method of a `Dump` waits, and none raises.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path

from aigw import clock
from aigw.errors import ConfigError
from aigw.gateway.dump_folder import Folder, place
from aigw.gateway.dump_thread import DumpThread, Finished, Losses
from aigw.providers.call import Call
from aigw.telemetry.har import About, Attempt
from aigw.telemetry.har_body import Body

_log = logging.getLogger("aigw.dump")

BODY_BYTES = 16 * 1024 * 1024
"""Memory for each body of a dump; the rest is counted only. Contexts of a million tokens fit, and
more would stall the developer tools that read it."""

TOTAL_BYTES = 256 * 1024 * 1024
"""Memory for all dumps that are collected or wait for the disk; beyond it bodies are cut."""

WAITING_DUMPS = 1024
"""Most dumps that wait for the disk: a second or so of a busy gateway. Further ones are lost."""

CLOSE_SECONDS = 5.0
"""How long a stop waits for dumps to be written: a disk that hangs must not keep the daemon."""

_TAKEN_AT_ONCE = 16 * 1024
"""Memory that an answer takes ahead, so that most of its chunks need not ask for theirs."""

_CHUNK_BYTES = 64
"""What Python needs for a chunk besides its bytes: many small ones take more than they hold."""


class Dumper:
    """Makes a file of each exchange in `folder`.

    Args:
        folder: made if it is missing; the files are for its owner only.
        max_age: how long dumps are kept; zero keeps them for ever.
        max_size: bytes that they may take together. The oldest go first.
    """

    def __init__(self, folder: Path, max_age: timedelta, max_size: int) -> None:
        # The operator may name the folder through links; what is below is reached through none.
        self._folder = Path(os.path.realpath(folder))
        self._thread = DumpThread(self._folder, max_age.total_seconds(), max_size)
        self._lost = Losses(self._folder)
        self._is_open = False
        self._put = 0
        self._held = 0

    @property
    def lost(self) -> int:
        """Dumps that were not written: the disk was too slow, or failed."""
        return self._lost.total + self._thread.failures.total

    def open(self) -> None:
        """Begin.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        try:
            with Folder.root(self._folder) as folder:
                name = f".aigw-{clock.now()}.part"
                folder.new_file(name).close()
                folder.remove(name)
        except OSError as error:
            raise ConfigError(
                f"cannot write HAR dumps in {self._folder}: {error.strerror}. Make the folder "
                "writable, or name another with --aibridge-dump-dir."
            ) from error
        self._thread.start()
        self._is_open = True

    def retain(self, max_age: timedelta, max_size: int) -> None:
        """Keep dumps by other bounds from now on: seen within a minute."""
        self._thread.max_age = max_age.total_seconds()
        self._thread.max_size = max_size

    def begin(
        self,
        provider: str,
        model: str,
        interception_id: str | None,
        path: str,
        own_headers: Iterable[str] = (),
    ) -> Dump:
        """A dump of one exchange. Without an interception it is named by the request's path.

        `own_headers` are the names of the provider's configured headers, which may be secrets.
        """
        return Dump(self, About(provider, model, interception_id, frozenset(own_headers)), path)

    async def flush(self) -> None:
        """Wait until all dumps finished so far are written."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._thread.call(lambda: loop.call_soon_threadsafe(done.set_result, None))
        await done

    async def close(self) -> None:
        """Write what waits, for some seconds at most, and end. Later dumps are not written."""
        if not self._is_open:
            return
        self._is_open = False
        if not await asyncio.to_thread(self._thread.stop, CLOSE_SECONDS):
            waiting = self._put - self._thread.done
            _log.error("%d HAR dumps for %s were not written in time", waiting, self._folder)

    def hold(self, size: int) -> bool:
        """Take memory for a dump, if there is some."""
        if self._held - self._thread.freed + size > TOTAL_BYTES:
            return False
        self._held += size
        return True

    def hand_over(self, about: About, path: str, attempts: list[Attempt], cost: int) -> None:
        """Have a finished dump written. `cost` is the memory that was taken for it."""
        if not attempts or not self._is_open:
            self._held -= cost
            return
        if self._put - self._thread.done >= WAITING_DUMPS:
            self._held -= cost
            self._lost.add("the disk is too slow")
            return
        milliseconds = attempts[0].started_at // 1000
        where = place(about.provider, about.model, about.interception_id, path, milliseconds)
        self._put += 1
        self._thread.put(Finished(where, about, attempts, cost))


class Dump:
    """Collects one exchange: each `attempt`, its answer's `head` and `data`, then `finish`.

    For the loop's thread. A dump that is not finished keeps its memory: call it in a `finally`.
    """

    __slots__ = (
        "_about",
        "_answered_at",
        "_attempts",
        "_began_at",
        "_cost",
        "_current",
        "_dumper",
        "_free",
        "_path",
        "_room",
    )

    def __init__(self, dumper: Dumper, about: About, path: str) -> None:
        self._dumper = dumper
        self._about = about
        self._path = path
        self._attempts: list[Attempt] = []
        self._current: Attempt | None = None
        self._began_at = 0.0
        self._answered_at: float | None = None
        self._cost = 0
        self._free = 0
        self._room = 0

    def attempt(self, call: Call) -> None:
        """A request is about to be sent as it is now; the one before, if any, is over."""
        self._end_attempt()
        headers = list(call.headers.items())
        body = self._body_of(call.body)
        self._current = Attempt(clock.now(), call.method, call.url, headers, body)
        self._attempts.append(self._current)
        self._room = BODY_BYTES
        self._free = 0
        self._began_at = time.monotonic()

    def head(self, status: int, reason: str, headers: Mapping[str, str]) -> None:
        """The head of the answer has come."""
        current = self._current
        if current is not None:
            self._answered_at = time.monotonic()
            current.status = status
            current.reason = reason
            current.response_headers = list(headers.items())

    def data(self, chunk: bytes) -> None:
        """Bytes of the answer have come, before anything was made of them."""
        current = self._current
        if current is None:
            return
        body = current.response_body
        size = len(chunk)
        body.size += size
        cost = size + _CHUNK_BYTES
        if cost <= self._free:
            self._free -= cost
            body.chunks.append(chunk)
        elif not body.is_cut:
            self._keep(body, chunk)

    def _keep(self, body: Body, chunk: bytes) -> None:
        """Keep a chunk, or its beginning, for which memory has to be taken first."""
        room = self._free + self._room
        cost = len(chunk) + _CHUNK_BYTES
        if cost > room:
            body.is_cut = True
            chunk = chunk[: max(0, room - _CHUNK_BYTES)]
            cost = room
        missing = cost - self._free
        wanted = min(max(missing, _TAKEN_AT_ONCE), self._room)
        if self._dumper.hold(wanted):
            self._room -= wanted
            self._cost += wanted
            self._free += wanted - cost
            body.chunks.append(chunk)
        else:
            body.is_cut = True
        if body.is_cut:
            # No later chunk may slip in behind the gap.
            self._free = 0

    def failed(self, text: str) -> None:
        """The answer did not come, or not to its end."""
        if self._current is not None:
            self._current.error = text

    def finish(self) -> None:
        """The exchange is over: have it written. Harmless when called again."""
        self._end_attempt()
        attempts, self._attempts = self._attempts, []
        cost, self._cost = self._cost, 0
        if attempts or cost:
            self._dumper.hand_over(self._about, self._path, attempts, cost)

    def _end_attempt(self) -> None:
        current, self._current = self._current, None
        if current is None:
            return
        now = time.monotonic()
        answered_at = now if self._answered_at is None else self._answered_at
        current.wait = (answered_at - self._began_at) * 1000
        current.receive = (now - answered_at) * 1000
        self._answered_at = None

    def _body_of(self, data: bytes) -> Body:
        if not data:
            return Body()
        if self._attempts:
            before = self._attempts[-1].body
            if before.chunks and before.chunks[0] is data:
                # Tried again with another credential: the same bytes, held once.
                return before
        kept = data[:BODY_BYTES]
        if not self._dumper.hold(len(kept)):
            return Body([], len(data), is_cut=True)
        self._cost += len(kept)
        return Body([kept], len(data), is_cut=len(kept) < len(data))
