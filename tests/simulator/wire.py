"""Requests as they stood on the wire: parsed, but with every byte kept.

Sans-IO: `parse_head` and `BodyParser` take bytes, the server moves them. The parser accepts more
than a strict server would, since its job is to show what arrived, not to judge it.
"""

from __future__ import annotations

import json
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulator.sigv4 import Signed


@dataclass(eq=False)
class Received:
    """One request. `head` and `framed` together are all of its bytes, in order.

    `headers` keeps order, case and duplicates. `body` is `framed` without chunk framing (still
    compressed if the client compressed it). `sent` counts the answer's bytes handed to the socket,
    `status` is the answer's. `signed` says who signed it, once its AWS signature has been found
    right.
    """

    method: str
    target: str
    version: str
    headers: list[tuple[bytes, bytes]]
    head: bytes
    framed: bytes = b""
    body: bytes = b""
    connection: int = 0
    index: int = 0
    sent: int = 0
    signed: Signed | None = None
    status: int = 0
    answered: threading.Event = field(default_factory=threading.Event)
    disconnected: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def value(self, name: str) -> str | None:
        """The first value of a header; None where there is none."""
        return next(iter(self.values(name)), None)

    def plain_body(self) -> bytes:
        """The body, decompressed as its `Content-Encoding` says."""
        from tests.simulator.encodings import decompress

        return decompress(self.value("content-encoding") or "", self.body)

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.plain_body())
        except (RecursionError, ValueError, OSError, EOFError, zlib.error):
            return None

    def __contains__(self, token: bytes) -> bool:
        """Whether the bytes of the request hold `token` somewhere."""
        return token in self.head or token in self.body


def parse_head(head: bytes) -> Received:
    """Parse a start line and headers (with the closing empty line)."""
    first, *rest = head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    method, _, remainder = first.decode("latin-1").partition(" ")
    target, _, version = remainder.rpartition(" ")
    headers = []
    for line in rest:
        name, _, value = line.partition(b":")
        headers.append((name, value.strip(b" \t")))
    return Received(method, target, version, headers, head)


class BodyParser:
    """Takes the body's bytes off the front of a buffer. `done` once the body is whole."""

    def __init__(self, request: Received) -> None:
        self._request = request
        coding = (request.value("transfer-encoding") or "").lower()
        self._chunked = coding.endswith("chunked")
        self._left = 0 if self._chunked else int(request.value("content-length") or 0)
        self._framed = bytearray()
        self._body = bytearray()
        self._state = "size" if self._chunked else "data"
        self.done = not self._chunked and self._left == 0

    def feed(self, buffer: bytearray) -> None:
        """Consume what belongs to the body; leaves later bytes in `buffer`."""
        while not self.done:
            progress = self._data(buffer) if self._state == "data" else self._line(buffer)
            if not progress:
                return
        self._request.framed = bytes(self._framed)
        self._request.body = bytes(self._body)

    def _take(self, buffer: bytearray, count: int) -> bytes:
        taken = bytes(buffer[:count])
        del buffer[:count]
        self._framed += taken
        return taken

    def _data(self, buffer: bytearray) -> bool:
        if not buffer:
            return False
        taken = self._take(buffer, self._left)
        self._body += taken
        self._left -= len(taken)
        if self._left == 0:
            self._state = "crlf"
            self.done = not self._chunked
        return True

    def _line(self, buffer: bytearray) -> bool:
        end = buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._take(buffer, end + 2)[:-2]
        if self._state == "crlf":
            self._state = "size"
        elif self._state == "trailer":
            self.done = not line
        else:
            self._left = int(line.split(b";")[0].strip(), 16)
            self._state = "data" if self._left else "trailer"
        return True
