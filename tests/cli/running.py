"""Something that answers as a daemon does, with a daemon's lock and note."""

from __future__ import annotations

import os
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from aigw.store.lock import DaemonLock, Runtime
from tests.store.rows import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.certificates import Pair

TOKEN = "canary-of-control"


@dataclass
class Answering:
    """Where it listens, and what it was asked."""

    address: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)


@contextmanager
def daemon(
    database: Path,
    body: bytes,
    *,
    status: int = 200,
    tls: Pair | None = None,
    certificate: str | None = None,
    location: str = "",
) -> Iterator[Answering]:
    """Answers every request alike. `certificate` is the one in the note, where not its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answering.requests.append((self.command, self.path))
            answering.tokens.append(self.headers["X-Aigw-Control"])
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    class Server(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            del request, client_address

        def get_request(self) -> tuple[object, object]:
            connection, address = super().get_request()
            if tls is None:
                return connection, address
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.cert, tls.key)
            try:
                return context.wrap_socket(connection, server_side=True), address
            except ssl.SSLError:
                connection.close()
                raise

    lock = DaemonLock(database)
    lock.acquire()
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        scheme = "http" if tls is None else "https"
        answering = Answering(f"{scheme}://127.0.0.1:{server.server_port}")
        lock.publish(
            Runtime(
                pid=os.getpid(),
                address=answering.address,
                started_at=NOON,
                version="1.0",
                control_token=TOKEN,
                certificate=certificate or (tls.pem if tls else None),
            )
        )
        try:
            yield answering
        finally:
            server.shutdown()
            thread.join()
            lock.release()
