"""The errors that cross module boundaries. Everything else is a built-in or a bug.

    AigwError
      ConfigError      an option, file or variable is wrong        -> exit 2
      StoreError       the database cannot be opened or written    -> exit 1, or 503 to a client
      DaemonError      the daemon cannot start or be reached       -> exit 1
        NotRunningError  no daemon runs on this database           -> exit 3
      UpstreamError    no answer from the provider                 -> 502 or 504 to a client
      RefusedError     the gateway will not serve a request        -> 4xx or 503 to a client
        AuthError        it brings no gateway key that works       -> 401 to a client

`cli/main.py` maps them to exit codes; `gateway/errors.py` maps the last three to wire errors.
A message says what happened, why, and what to try; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping


class AigwError(Exception):
    """The base: `str()` of it is fit for a person to read."""

    exit_code = 1


class ConfigError(AigwError):
    """A setting is wrong. `problems` are all that were found, each a line for a person."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(AigwError):
    """The database cannot be opened, read or written."""


class DaemonError(AigwError):
    """The daemon cannot start."""


class NotRunningError(DaemonError):
    """No daemon runs on this database."""

    exit_code = 3


class RefusedError(AigwError):
    """The gateway will not serve a request. `code` is a short word that programs may match.

    `retry_after` is in seconds; None where trying again would not help. `allow` names the methods
    that a route has, where the request's is none of them. `kind` is the error's type where it is not
    the one that APIs have for the status; `headers` go with the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        allow: str | None = None,
        kind: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.allow = allow
        self.kind = kind
        self.headers = headers or {}


class AuthError(RefusedError):
    """Nobody knows who asks."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(401, code, message)


class UpstreamError(AigwError):
    """The provider gave no answer: `status` is what the client gets (502 or 504).

    `retry_after` is in seconds; None where nobody knows when it would help to try again.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after
