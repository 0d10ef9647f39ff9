"""The simulator itself: an HTTP/1.1 server that remembers every byte and can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from tests.simulator.routes import answer
from tests.simulator.script import Close, Hold, Pause, Reset, Script, Send, Step
from tests.simulator.wire import BodyParser, Received, parse_head

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

_BODILESS = frozenset({204, 304})


class _GoneError(Exception):
    """The peer ended the connection."""


class Connection(asyncio.Protocol):
    """One client connection: reads requests one after the other, answers each in full."""

    def __init__(self, owner: Engine) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._input = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self.number = next(owner.numbers)
        self._count = 0
        self._input_left = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface but not the base class.
        self._transport = cast("asyncio.Transport", transport)
        # A small buffer makes `sent` follow what the peer really took.
        self._transport.set_write_buffer_limits(high=64 * 1024)
        self._owner.connections.add(self)
        self._task = self._owner.start(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._input.set()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._owner.connections.discard(self)
        if not self._lost.done():
            self._lost.set_result(None)
        self._input.set()
        self._writable.set()

    def abort(self) -> None:
        """End the connection with RST, at once."""
        assert self._transport is not None
        peer = self._transport.get_extra_info("socket")
        if peer is not None and not self._lost.done():
            # The option belongs to the socket, not to the descriptor: a duplicate will do, and
            # works with event loops whose transports give out no real socket.
            duplicate = socket.fromfd(peer.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            duplicate.close()
        self._transport.abort()

    async def _serve(self) -> None:
        try:
            while await self._exchange():
                pass
        except _GoneError:
            pass
        finally:
            assert self._transport is not None
            self._transport.close()

    async def _exchange(self) -> bool:
        request, script = await self._next_request()
        if script is None:
            script = self._owner.choose(request)
        request.status = script.status
        if request.method == "HEAD" or script.status in _BODILESS:
            script = script.without_body()
        try:
            going_on = await self._play(script.steps(), request)
        except _GoneError:
            request.disconnected.set()
            raise
        finally:
            self._owner.changed()
        return going_on and (request.value("connection") or "").lower() != "close"

    async def _play(self, steps: list[Step], request: Received) -> bool:
        for step in steps:
            if self._lost.done():
                raise _GoneError
            if not await self._perform(step, request):
                return False
        request.answered.set()
        return True

    async def _next_request(self) -> tuple[Received, Script | None]:
        """The next request; with a script if that answers before the body is read."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        head = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        request = parse_head(head)
        request.connection, request.index = self.number, self._count
        self._count += 1
        if (early := self._owner.choose_early(request)) is not None:
            self._input_left = True
            return request, early
        parser = BodyParser(request)
        if (request.value("expect") or "").lower() == "100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parser.feed(self._buffer)
        while not parser.done:
            await self._more()
            parser.feed(self._buffer)
        return request, None

    async def _more(self) -> None:
        if self._lost.done():
            raise _GoneError
        self._input.clear()
        await self._input.wait()

    async def _perform(self, step: Step, request: Received) -> bool:
        """Do one step. False when the connection is over by our own doing."""
        assert self._transport is not None
        if isinstance(step, Send):
            await self._send(step.data, request)
        elif isinstance(step, Pause):
            await self._unless_lost(asyncio.sleep(step.seconds))
        elif isinstance(step, Hold):
            await self._unless_lost(step.gate.passed())
        elif isinstance(step, Reset):
            self.abort()
            return False
        elif isinstance(step, Close):
            await self._linger() if self._input_left else self._transport.close()
            request.answered.set()
            return False
        return True

    async def _linger(self) -> None:
        """Say that nothing more comes, and take what does: a close would be a reset, which may
        overtake the answer (RFC 9112 section 9.6)."""
        assert self._transport is not None
        self._transport.write_eof()
        with contextlib.suppress(_GoneError):
            while True:
                self._buffer.clear()
                await self._more()

    async def _send(self, data: bytes, request: Received) -> None:
        assert self._transport is not None
        view = memoryview(data)
        for start in range(0, len(view), 65536):
            if self._transport.is_closing():
                raise _GoneError
            part = view[start : start + 65536]
            self._transport.write(part)
            await self._writable.wait()
            if self._lost.done():
                raise _GoneError
            request.sent += len(part)

    async def _unless_lost(self, waiting: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(waiting)
        await asyncio.wait({task, self._lost}, return_when=asyncio.FIRST_COMPLETED)
        if self._lost.done():
            task.cancel()
            raise _GoneError
        task.result()


class Engine:
    """The server on a running event loop: what `Simulator` runs in its thread."""

    def __init__(self, *, keep: bool = True) -> None:
        self.numbers = itertools.count()
        self.connections: set[Connection] = set()
        self.requests: list[Received] = []
        self.condition = threading.Condition()
        self._keep = keep
        self._tasks: set[asyncio.Task[None]] = set()
        self._scripts: deque[tuple[Callable[[Received], bool], Script]] = deque()
        self._rules: list[tuple[Callable[[Received], bool], Script, itertools.count[int]]] = []
        self._server: asyncio.Server | None = None

    def add(self, script: Script, matches: Callable[[Received], bool]) -> None:
        """Queue a script for the first request that matches. Usable from any thread."""
        with self.condition:
            self._scripts.append((matches, script))

    def add_rule(self, script: Script, matches: Callable[[Received], bool], after: int) -> None:
        """Answer every matching request by a script, but the first `after` of them."""
        with self.condition:
            self._rules.append((matches, script, itertools.count(-after)))

    def pending(self) -> int:
        """How many scripts no request has used yet."""
        with self.condition:
            return len(self._scripts)

    def clear_scripts(self) -> None:
        """Forget the scripts not used yet."""
        with self.condition:
            self._scripts.clear()

    def choose(self, request: Received) -> Script:
        """Remember the request and find its answer: a queued script, else the provider's own."""
        with self.condition:
            if self._keep:
                self.requests.append(request)
            self.condition.notify_all()
            for position, (matches, script) in enumerate(self._scripts):
                if matches(request) and (request.index or not script.only_reused):
                    del self._scripts[position]
                    return script
            for matches, script, turns in self._rules:
                if matches(request) and next(turns) >= 0:
                    return script
        return answer(request)

    def choose_early(self, request: Received) -> Script | None:
        """A queued script that answers this request on its head alone."""
        with self.condition:
            for position, (matches, script) in enumerate(self._scripts):
                if script.early and matches(request):
                    del self._scripts[position]
                    self.requests.append(request)
                    self.condition.notify_all()
                    return script
        return None

    def changed(self) -> None:
        """Wake those who wait for something to have happened."""
        with self.condition:
            self.condition.notify_all()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a connection, keeping a reference."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Start to accept; gives the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), host, port, backlog=1024, ssl=tls
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop accepting and end every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
