"""Asking the daemon of a database: `aigw status`, `aigw reload` and whoever else needs it to run.

Where it listens, the token that it obeys and the certificate that it shows are in its runtime
note, which only its own user can read.
"""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aigw.errors import DaemonError, NotRunningError
from aigw.store.lock import CONTROL_HEADER, is_locked, read_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from aigw.store.lock import Runtime

ANSWER_SECONDS = 5.0
"""How long the daemon may take to answer: it does so within milliseconds unless it hangs."""

LONGEST_ANSWER = 1_000_000
"""Bytes of an answer that are read: a status page has some kilobytes."""

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python does not name. The certificate is trusted
because the note holds it; one that expired is all the more reason to have it reloaded."""


def ask(
    database: Path, path: str, method: str = "GET", *, timeout: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """The JSON object at a path of the running daemon.

    Raises:
        NotRunningError: no daemon runs on the database.
        DaemonError: it does not answer, or refuses.
    """
    runtime = read_runtime(database)
    if runtime is None:
        if is_locked(database):
            raise NotRunningError(
                f"the daemon on {database} is starting or stopping: try again in a moment"
            )
        raise NotRunningError(
            f"no daemon runs on {database}: start it with `aigw serve --aibridge-enabled`"
        )
    return ask_runtime(runtime, path, method, timeout=timeout)


def ask_runtime(
    runtime: Runtime, path: str, method: str = "GET", *, timeout: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """The same, of the daemon that a note describes.

    Raises:
        DaemonError: it does not answer, or refuses.
    """
    # Not urllib: it would honour proxies and follow redirects with the token.
    with closing(_connect(runtime, timeout)) as connection:
        try:
            connection.request(method, path, headers={CONTROL_HEADER: runtime.control_token})
            answer = connection.getresponse()
            body = answer.read(LONGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            raise DaemonError(f"the daemon at {runtime.address} does not answer: {what}") from error
    found = _object(body)
    if answer.status != http.client.OK:
        message = found.get("message") or f"status {answer.status}"
        raise DaemonError(f"the daemon at {runtime.address} refuses: {message}")
    return found


def _connect(runtime: Runtime, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(runtime.address)
    host, port = parts.hostname or "", parts.port
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    return http.client.HTTPSConnection(
        host, port, timeout=timeout, context=_pinned(runtime.certificate or "")
    )


def _pinned(certificate: str) -> ssl.SSLContext:
    """Trusts this one certificate, whoever has signed it and whatever name it is for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
    if certificate:
        context.load_verify_locations(cadata=certificate)
    return context


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
