"""HTTP by hand: what is sent and what comes back, to the byte."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


@dataclass
class Answer:
    """An answer. `complete` is false when the connection ended before its framing said so."""

    version: str
    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    complete: bool = True
    interim: list[bytes] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def end_to_end(self, *without: str) -> Headers:
        """The headers that are not of the connection, names in lower case, in order."""
        dropped = HOP_BY_HOP | {name.encode() for name in without}
        return end_to_end(self.headers, dropped)


def end_to_end(headers: Headers, dropped: frozenset[bytes] | set[bytes] = HOP_BY_HOP) -> Headers:
    """Headers but for some, names in lower case, in order."""
    return [(name.lower(), value) for name, value in headers if name.lower() not in dropped]


def head(method: str, target: str, headers: Headers) -> bytes:
    """The bytes of a request's start line and headers."""
    lines = [f"{method} {target} HTTP/1.1".encode()]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Connection:
    """One connection to the gateway or the simulator."""

    def __init__(self, port: int, timeout: float = 30.0, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self._port = port
        self._buffer = b""
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Headers | None = None,
        *,
        chunks: list[int] | None = None,
        host: bool = True,
    ) -> None:
        """Send a request with the framing its body needs: chunked when `chunks` gives sizes."""
        sent = list(headers or [])
        if host:
            sent.insert(0, (b"Host", f"127.0.0.1:{self._port}".encode()))
        if chunks is not None:
            sent.append((b"Transfer-Encoding", b"chunked"))
        elif body is not None:
            sent.append((b"Content-Length", str(len(body)).encode()))
        self.socket.sendall(head(method, target, sent))
        if body is not None:
            self.socket.sendall(body if chunks is None else chunked(body, chunks))

    def receive(self, *, method: str = "") -> Answer:
        """The next answer in full, or as much of it as came."""
        answer = self.receive_head()
        return self.receive_body(answer, method=method)

    def receive_head(self) -> Answer:
        """The next answer's status and headers; answers of class 1xx before it are kept."""
        interim = []
        while True:
            raw = self._until(b"\r\n\r\n")
            first, *lines = raw[:-4].split(b"\r\n")
            version, _, rest = first.decode("latin-1").partition(" ")
            status, _, reason = rest.partition(" ")
            if status.startswith("1") and status != "101":
                interim.append(raw)
                continue
            headers = [_split(line) for line in lines]
            return Answer(version, int(status), reason, headers, interim=interim)

    def receive_body(self, answer: Answer, *, method: str = "") -> Answer:
        """Fill in the body."""
        length = answer.values("content-length")
        if method == "HEAD" or answer.status in {204, 304}:
            return answer
        if "chunked" in "".join(answer.values("transfer-encoding")).lower():
            self._receive_chunks(answer)
        elif length:
            answer.body = self._exactly(int(length[0]))
            answer.complete = len(answer.body) == int(length[0])
        else:
            answer.body = self._rest()
        return answer

    def read_some(self) -> bytes:
        """Whatever comes next, framing included; empty at the end of the connection."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        return self._more()

    def is_closed(self) -> bool:
        """Wait for the other side to end the connection; false if it sends something instead."""
        return self._buffer == b"" and self._more() == b""

    def _receive_chunks(self, answer: Answer) -> None:
        body = []
        answer.complete = False
        while not answer.complete:
            line = self._until(b"\r\n", partial=True)
            if not line.endswith(b"\r\n"):
                break
            size = int(line.split(b";")[0], 16)
            if size == 0:
                answer.complete = self._until(b"\r\n", partial=True) == b"\r\n"
                break
            body.append(self._exactly(size))
            if len(body[-1]) < size or self._exactly(2) != b"\r\n":
                break
        answer.body = b"".join(body)

    def _until(self, mark: bytes, *, partial: bool = False) -> bytes:
        while mark not in self._buffer:
            data = self._more()
            if not data:
                if partial:
                    taken, self._buffer = self._buffer, b""
                    return taken
                raise ConnectionError(f"the connection ended after {self._buffer!r}")
            self._buffer += data
        taken, _, self._buffer = self._buffer.partition(mark)
        return taken + mark

    def _exactly(self, count: int) -> bytes:
        parts = [self._buffer[:count]]
        got = len(parts[0])
        self._buffer = self._buffer[count:]
        while got < count and (data := self._more()):
            parts.append(data[: count - got])
            self._buffer = data[count - got :]
            got += len(parts[-1])
        return b"".join(parts)

    def _rest(self) -> bytes:
        parts, self._buffer = [self._buffer], b""
        while data := self._more():
            parts.append(data)
        return b"".join(parts)

    def _more(self) -> bytes:
        if self._ended:
            return b""
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError:
            data = b""
        self._ended = not data
        return data


def chunked(body: bytes, sizes: list[int]) -> bytes:
    """A body in chunks of these sizes, cycling through them."""
    from tests.simulator import resplit

    parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in resplit(body, sizes or [1 << 20])]
    return b"".join(parts) + b"0\r\n\r\n"


def ask(
    port: int,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Headers | None = None,
    **more: object,
) -> Answer:
    """One request on a connection of its own."""
    with Connection(port) as connection:
        connection.send(method, target, body, headers, **more)  # type: ignore[arg-type]
        return connection.receive(method=method)


def _split(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip(b" \t")
