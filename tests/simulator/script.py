"""What a test tells the simulator to answer: a `Script`, compiled to steps on the socket.

simulator.script(Script(status=529, body=b"..."), match=b"token-in-the-request")
gate = Gate()
simulator.script(Script(body=[b"one", b"two"], framing="chunked", hold={1: gate}))
gate.reached.wait(5); ...; gate.release()
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from tests.simulator.encodings import compress_chunks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Framing: TypeAlias = Literal["length", "chunked", "close", "none"]
Ending: TypeAlias = Literal["whole", "close", "reset"]


class Gate:
    """A place where the simulator waits until a test lets it go on. Usable from any thread."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._released: Future[None] = Future()

    def release(self) -> None:
        """Let everything that waits here, now or later, go on."""
        if not self._released.done():
            self._released.set_result(None)

    async def passed(self) -> None:
        """Wait on the simulator's loop until released."""
        self.reached.set()
        await asyncio.shield(asyncio.wrap_future(self._released))


@dataclass(frozen=True)
class Send:
    """Write bytes and wait until the socket takes more."""

    data: bytes


@dataclass(frozen=True)
class Pause:
    """Wait for some seconds: for slow providers, not for synchronisation (that is `Hold`)."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Wait at a gate."""

    gate: Gate


@dataclass(frozen=True)
class Close:
    """End the connection in order (FIN) with whatever was sent so far."""


@dataclass(frozen=True)
class Reset:
    """End the connection with RST."""


Step: TypeAlias = Send | Pause | Hold | Close | Reset


@dataclass(frozen=True, kw_only=True)
class Script:
    """One answer. `body` as a list is sent piece by piece (each a chunk when chunked).

    `encoding` compresses the pieces, flushed one by one, and sets `Content-Encoding`.
    `framing="none"` sends no framing header and keeps the connection (204, 304, HEAD).
    `ending` other than "whole" breaks the answer off: before any byte when `cut` is -1, in the
    middle of the head when `cut` is -2, else after `cut` bytes of (compressed) body.
    `hold[i]` waits at a gate before piece i; `hold[-1]` before the head.
    `delay` is a pause before the head, `interval` one between pieces, in seconds.
    `only_reused` applies the script only to a request that is not its connection's first; a first
    one is answered as if the script were not there.
    `early` answers when the request's head is there, and never reads its body; it must match on
    the head and close the connection.
    `raw` replaces everything else by literal steps.
    """

    status: int = 200
    reason: str = "OK"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Sequence[bytes] = b""
    framing: Framing = "length"
    encoding: str = ""
    version: str = "HTTP/1.1"
    interim: bytes = b""
    trailers: Sequence[tuple[str, str]] = ()
    hold: Mapping[int, Gate] = field(default_factory=dict)
    interval: float = 0.0
    delay: float = 0.0
    ending: Ending = "whole"
    cut: int = -1
    keep_alive: bool = True
    only_reused: bool = False
    early: bool = False
    raw: Sequence[Step] | None = None

    def pieces(self) -> list[bytes]:
        """The body as it is on the wire but for chunk framing."""
        parts = [self.body] if isinstance(self.body, bytes) else list(self.body)
        if self.encoding:
            return compress_chunks(self.encoding, parts)
        return [part for part in parts if part]

    def header_list(self) -> list[tuple[str, str]]:
        """All headers, framing included."""
        headers = list(self.headers)
        if self.encoding:
            headers.append(("Content-Encoding", self.encoding))
        if self.framing == "length":
            headers.append(("Content-Length", str(sum(map(len, self.pieces())))))
        elif self.framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
        if self.framing == "close" or not self.keep_alive:
            headers.append(("Connection", "close"))
        return headers

    def head(self) -> bytes:
        """The status line and headers."""
        lines = [f"{self.version} {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.header_list()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def steps(self) -> list[Step]:
        """What to do on the socket. A list that ends without Close or Reset keeps the connection."""
        if self.raw is not None:
            return list(self.raw)
        breaking: list[Step] = [Reset() if self.ending == "reset" else Close()]
        if self.ending != "whole" and self.cut == -1:
            return [*self._held(-1), *breaking]
        head = self.head()
        if self.ending != "whole" and self.cut == -2:
            return [*self._held(-1), Send(head[: len(head) // 2]), *breaking]
        steps: list[Step] = [*self._held(-1), Send(self.interim + head)]
        if self.delay:
            steps.insert(0, Pause(self.delay))
        limit = None if self.ending == "whole" else self.cut
        steps += self._body_steps(limit)
        if limit is not None:
            return steps + breaking
        steps += self._held(len(self.pieces()))
        if self.framing == "chunked":
            trailers = "".join(f"{name}: {value}\r\n" for name, value in self.trailers)
            steps.append(Send(b"0\r\n" + trailers.encode("latin-1") + b"\r\n"))
        if self.framing == "close" or not self.keep_alive or self.version == "HTTP/1.0":
            steps.append(Close())
        return steps

    def _held(self, index: int) -> list[Step]:
        return [Hold(self.hold[index])] if index in self.hold else []

    def _body_steps(self, limit: int | None) -> list[Step]:
        steps: list[Step] = []
        left = limit
        for index, piece in enumerate(self.pieces()):
            whole = piece if left is None else piece[:left]
            steps += self._held(index)
            if index and self.interval:
                steps.append(Pause(self.interval))
            if whole:
                steps.append(Send(self._framed(whole, len(piece))))
            if left is not None:
                left -= len(whole)
                if left <= 0:
                    break
        return steps

    def _framed(self, data: bytes, announced: int) -> bytes:
        # A cut chunk announces its full size, as a provider that dies in the middle of one does.
        if self.framing != "chunked":
            return data
        ending = b"\r\n" if len(data) == announced else b""
        return b"%x\r\n" % announced + data + ending

    def without_body(self) -> Script:
        """The answer to HEAD: the same head, no body."""
        head = self.head()
        return replace(self, raw=[Send(self.interim + head)], ending="whole")


def resplit(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut bytes into pieces of the sizes given, cycling through them."""
    pieces, start, turn = [], 0, 0
    while start < len(data):
        size = max(1, sizes[turn % len(sizes)])
        pieces.append(data[start : start + size])
        start += size
        turn += 1
    return pieces
