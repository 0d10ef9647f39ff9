"""Sending a request with as many of the operator's credentials as it takes.

Another credential is tried only where the provider has refused the one before, that is before it
did anything and before the client has seen a byte. A connection that breaks off proves nothing of
the kind: that request may have been carried out, and no other credential is tried. (What `upstream`
sends once more is a request whose reused connection turns out to have been closed before.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from aigw.errors import UpstreamError
from aigw.gateway.http1 import Delivery, UpstreamAnswer
from aigw.gateway.upstream import Upstream
from aigw.providers.call import Call, CentralCredential
from aigw.providers.key_errors import BY_STATUS, key_refusal
from aigw.providers.key_pool import Event, KeyPool, State
from aigw.providers.provider import Provider
from aigw.providers.retry_after import retry_after
from aigw.wire.content_coding import decode_body

MAX_ATTEMPTS = 5
"""Credentials that one request is tried with: the client waits for every one of them, and a provider
that refuses five keys of an account in a row refuses all. Coder's gateway allows no more keys."""

INSPECTED_BYTES = 64 * 1024
"""The longest error body that is looked into: real ones have a few hundred bytes."""

INSPECTION_SECONDS = 2.0
"""How long the rest of an error body is waited for: it comes with its head, and a client should
not wait for a provider that holds it back."""

OnAttempt: TypeAlias = Callable[[Call, int], None]
"""Called before each request is sent, with what is sent and its number from 1 on."""

OnRefused: TypeAlias = Callable[[UpstreamAnswer, bytes, int], None]
"""Called for each answer that refuses a credential, with its body (still compressed if it came so;
empty if it could not be had) and the attempt's number. Its content must be left unread: the last
such answer may be the one that is returned."""


class PoolExhaustedError(UpstreamError):
    """No credential may be used now, so nothing was sent. `retry_after` is in whole seconds."""

    def __init__(self, status: int, kind: str, message: str, retry_after: int) -> None:
        super().__init__(status, kind, message)
        self.retry_after = retry_after


@dataclass(slots=True)
class Sent:
    """An answer, and how it was got.

    Attributes:
        credential: the central one it was got with; None where the client's own was sent.
        attempts: how many requests were sent for it.
        number: which of them, from 1 on, the answer is to.
    """

    answer: UpstreamAnswer
    credential: CentralCredential | None
    attempts: int
    number: int


class Dispatch:
    """Sends requests to providers. `now` gives monotonic seconds, as the pools count them."""

    def __init__(self, upstream: Upstream, now: Callable[[], float] = time.monotonic) -> None:
        self._upstream = upstream
        self._now = now

    async def send(
        self,
        provider: Provider,
        call: Call,
        *,
        central: bool = True,
        on_attempt: OnAttempt | None = None,
        on_refused: OnRefused | None = None,
        delivery: Delivery | None = None,
    ) -> Sent:
        """Send a request and return as soon as the answer's head is here.

        Args:
            provider: whose pool is used.
            call: stays as it is. For a central credential it must carry none of the client's.
            central: whether one of the pool's goes with it; else the call goes as it stands.
            on_attempt: see `OnAttempt`.
            on_refused: see `OnRefused`.
            delivery: see `Upstream.send`; of the attempt that runs.

        When all credentials that were tried are refused, the last one's answer is returned as it
        came, or rather the last that says to wait: a client gives up for good on any other.

        Raises:
            PoolExhaustedError: no credential is usable now.
            UpstreamError: there is no answer, or no credential to be had.
        """
        pool = provider.pool if central else None
        if pool is None:
            return Sent(await self._ask(call, 1, on_attempt, delivery), None, 1, 1)
        if pool.is_single:
            (credential,) = pool.credentials
            attempt = call.copy()
            await credential.apply(attempt)
            return Sent(await self._ask(attempt, 1, on_attempt, delivery), credential, 1, 1)
        run = _Run(pool, call, on_attempt, on_refused, delivery)
        try:
            return await self._send_from(run)
        except BaseException:
            if run.refused is not None:
                run.refused.answer.close()
            raise
        finally:
            if run.attempts:
                pool.attempted(run.attempts)

    async def _send_from(self, run: _Run) -> Sent:
        while (credential := run.next(now := self._now())) is not None:
            attempt = run.call.copy()
            try:
                await credential.apply(attempt)
            except UpstreamError as error:
                # Nothing was sent: the next may be tried like after any refusal.
                run.failure = error
                run.pool.refused(credential, Event.AUTH_FAILED, None, self._now())
                continue
            run.attempts += 1
            sent_at = self._now()
            answer = await self._ask(attempt, run.attempts, run.on_attempt, run.delivery)
            sent = Sent(answer, credential, run.attempts, run.attempts)
            reason = await self._judge(sent, run.on_refused)
            if reason is None:
                run.pool.served(credential, sent_at)
                if run.refused is not None:
                    run.refused.answer.close()
                return sent
            wait = retry_after(answer.headers, time.time())
            run.pool.refused(credential, reason, wait, self._now())
            run.keep(sent)
        if run.refused is not None:
            run.pool.exhausted(_state_of(run.refused.answer))
            return replace(run.refused, attempts=run.attempts)
        raise run.failure or _exhausted(run.pool, now)

    async def _ask(
        self, call: Call, number: int, on_attempt: OnAttempt | None, delivery: Delivery | None
    ) -> UpstreamAnswer:
        if on_attempt is not None:
            on_attempt(call, number)
        return await self._upstream.send(call.method, call.url, call.headers, call.body, delivery)

    async def _judge(self, sent: Sent, on_refused: OnRefused | None) -> Event | None:
        """Why the answer refuses its credential; None when it does not."""
        answer = sent.answer
        if answer.status not in BY_STATUS:
            return None
        try:
            body = await answer.peek(INSPECTED_BYTES, INSPECTION_SECONDS)
            reason = key_refusal(answer.status, answer.headers, _decoded(answer, body))
            if reason is not None and on_refused is not None:
                on_refused(answer, body, sent.number)
        except BaseException:
            answer.close()
            raise
        return reason


class _Run:
    """One request's way through a pool. `refused` is the answer to return if no other comes."""

    __slots__ = (
        "attempts",
        "call",
        "delivery",
        "failure",
        "on_attempt",
        "on_refused",
        "pool",
        "refused",
        "tried",
    )

    def __init__(
        self,
        pool: KeyPool,
        call: Call,
        on_attempt: OnAttempt | None,
        on_refused: OnRefused | None,
        delivery: Delivery | None,
    ) -> None:
        self.delivery = delivery
        self.pool = pool
        self.call = call
        self.on_attempt = on_attempt
        self.on_refused = on_refused
        self.tried: set[str] = set()
        self.attempts = 0
        self.refused: Sent | None = None
        self.failure: UpstreamError | None = None

    def next(self, now: float) -> CentralCredential | None:
        """The first credential that is usable now and was not tried yet.

        Asked anew each time: what other requests have found out meanwhile need not be tried again.
        """
        if len(self.tried) >= MAX_ATTEMPTS:
            return None
        for credential in self.pool.candidates(now):
            if credential.identity not in self.tried:
                self.tried.add(credential.identity)
                return credential
        return None

    def keep(self, sent: Sent) -> None:
        """Of the refused answers keep the last, but one that says to wait rather than another."""
        before = self.refused
        if before is None:
            self.refused = sent
        elif _state_of(before.answer) is State.RATE_LIMITED is not _state_of(sent.answer):
            sent.answer.close()
        else:
            before.answer.close()
            self.refused = sent


def _state_of(refused: UpstreamAnswer) -> State:
    reason = BY_STATUS[refused.status]
    return State.RATE_LIMITED if reason is Event.RATE_LIMITED else State.AUTH_FAILED


def _decoded(answer: UpstreamAnswer, body: bytes) -> bytes:
    try:
        return decode_body(answer.headers.get("Content-Encoding", ""), body, INSPECTED_BYTES)
    except ValueError:
        return b""


def _exhausted(pool: KeyPool, now: float) -> PoolExhaustedError:
    wait = pool.wait(now)
    pool.exhausted(wait.reason)
    seconds = max(1, math.ceil(wait.seconds))
    if wait.reason is State.RATE_LIMITED:
        message = f"all configured keys are rate-limited (retry after {seconds} s)"
        return PoolExhaustedError(429, "keys_rate_limited", message, seconds)
    message = (
        f"all configured keys failed authentication: the provider {pool.provider} accepted none of"
        f" them. Replace the keys in the gateway's configuration and run `aigw reload`; the present"
        f" ones are tried again in {seconds} s"
    )
    return PoolExhaustedError(502, "keys_refused", message, seconds)
