"""A request on its way to a provider, and the credentials that it may be sent with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from multidict import CIMultiDict

from aigw.secrets import Secret, fingerprint, mask


@dataclass(slots=True)
class Call:
    """An upstream request. `url` is encoded as it goes on the wire."""

    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes

    def copy(self) -> Call:
        """One with headers of its own: for another attempt with another credential."""
        return Call(self.method, self.url, self.headers.copy(), self.body)


class CentralCredential(Protocol):
    """One of the operator's ways to be authorised at a provider: a key, or an AWS identity."""

    @property
    def hint(self) -> str:
        """The credential, masked: what is recorded and shown."""

    @property
    def identity(self) -> str:
        """Tells credentials apart over a reload of the configuration; gives nothing away."""

    async def resolve(self) -> None:
        """Have it at hand, and its `hint` known.

        Raises:
            UpstreamError: there is none to be had.
        """

    async def apply(self, call: Call) -> None:
        """Put the credential into a request that carries none yet.

        Raises:
            UpstreamError: there is none to be had (an expired login, an unreachable token service).
        """


class ApiKey:
    """A provider's API key: sent in a header."""

    __slots__ = ("_header", "_value", "hint", "identity")

    def __init__(self, secret: Secret, header: tuple[str, str]) -> None:
        name, form = header
        self._header = name
        self._value = form.format(secret.reveal())
        self.hint = mask(secret.reveal())
        self.identity = fingerprint(secret.reveal())

    async def resolve(self) -> None:
        """It is."""

    async def apply(self, call: Call) -> None:
        """Set the header."""
        call.headers[self._header] = self._value


class Translation(Protocol):
    """Turns a provider's answer into that of the API the client speaks, as its bytes arrive."""

    def begin(self, status: int, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        """The headers of the translated answer. Without `Content-Length` its length is not known."""

    def feed(self, data: bytes) -> bytes:
        """The translated bytes that these bytes complete. Never raises on any input."""

    def finish(self) -> bytes:
        """What is left at the end of the provider's bytes, be they whole or not."""
