"""One request's way to its provider: with which credentials, in how many attempts."""

from __future__ import annotations

import contextlib
import time

from aigw.errors import UpstreamError
from aigw.gateway.auth import CREDENTIAL_HEADERS
from aigw.gateway.dispatch import Dispatch
from aigw.gateway.dump import Dump
from aigw.gateway.http1 import Delivery, UpstreamAnswer
from aigw.providers.call import Call, CentralCredential
from aigw.providers.provider import Provider
from aigw.secrets import mask

SHORTEST_CREDENTIAL = 8
"""Characters of what is looked for in a provider's words: placeholders such as `none` are no secret,
and would garble them."""

_CREDENTIALS = frozenset(
    {name.lower() for name in CREDENTIAL_HEADERS} | {"cookie", "x-amz-security-token"}
)


class Asking:
    """Sends a request by `dispatch`, and knows afterwards what is recorded of that.

    Args:
        central: whether a credential of the provider's pool goes with it, not the client's own.
    """

    __slots__ = (
        "_central",
        "_delivery",
        "_dispatch",
        "_dump",
        "_first",
        "_last",
        "_provider",
        "_refusals",
        "attempts",
        "is_dumped",
        "served_hint",
    )

    def __init__(self, dispatch: Dispatch, provider: Provider, *, central: bool) -> None:
        self._dispatch = dispatch
        self._provider = provider
        self._central = central
        self._delivery = Delivery()
        self._dump: Dump | None = None
        self._first = _first(provider) if central else None
        self._last: Call | None = None
        self._refusals: set[int] = set()
        self.is_dumped = False
        """Whether the answer's body is in the dump already: it was looked into for its refusal."""
        self.attempts = 0
        self.served_hint: str | None = None
        """The masked credential that the answer was got with, where it is not the first."""

    @property
    def first_hint(self) -> str:
        """The masked central credential that is tried first; empty where none is."""
        return self._first.hint if self._first is not None else ""

    @property
    def is_unanswered(self) -> bool:
        """Whether the provider has the request, and no answer to it has begun."""
        return self._delivery.is_unanswered

    async def resolve(self) -> None:
        """Have the first credential looked for, where it is not known yet which it is.

        An identity of AWS's is found at the daemon's start, or with its first request. That there
        is none to be had is said when the request is sent.
        """
        if self._first is not None and not self._first.hint:
            with contextlib.suppress(UpstreamError):
                await self._first.resolve()

    async def send(self, call: Call, dump: Dump | None = None) -> UpstreamAnswer:
        """Send it and return as soon as the head of the answer is here. `dump` gets each attempt.

        Raises:
            UpstreamError: there is no answer.
        """
        self._dump = dump
        first_hint = self.first_hint
        sent = await self._dispatch.send(
            self._provider,
            call,
            central=self._central,
            on_attempt=self._attempted,
            on_refused=self._refused if dump is not None else None,
            delivery=self._delivery,
        )
        if sent.credential is not None and sent.credential.hint != first_hint:
            self.served_hint = sent.credential.hint
        self.is_dumped = sent.number in self._refusals
        if dump is not None and not self.is_dumped:
            dump.head(sent.answer.status, sent.answer.reason, sent.answer.headers)
        return sent.answer

    def without_credentials(self, text: str) -> str:
        """A provider's words without the credentials it was sent, should it repeat them."""
        call = self._last
        if call is None:
            return text
        for name, value in call.headers.items():
            if name.lower() in _CREDENTIALS or name in self._provider.headers:
                token = value.split(None, 1)[-1].strip() if value.strip() else ""
                if len(token) >= SHORTEST_CREDENTIAL and token in text:
                    text = text.replace(token, mask(token))
        return text

    def _attempted(self, call: Call, number: int) -> None:
        self.attempts = number
        self._last = call
        if self._dump is not None:
            self._dump.attempt(call)

    def _refused(self, answer: UpstreamAnswer, body: bytes, number: int) -> None:
        self._refusals.add(number)
        if self._dump is not None:
            self._dump.head(answer.status, answer.reason, answer.headers)
            self._dump.data(body)


def _first(provider: Provider) -> CentralCredential | None:
    pool = provider.pool
    if pool is None:
        return None
    if pool.is_single:
        return pool.credentials[0]
    return next(iter(pool.candidates(time.monotonic())), pool.credentials[0])
