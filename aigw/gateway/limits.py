"""How many requests are served at a time, and how many a second: for all, and for each key.

`who` is the id of a gateway key, or the client's address where there are no keys. Time comes in as
monotonic seconds. Pure counting: nothing here waits.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

BUCKETS = 10_000
"""Clients whose rate is counted one by one: more than ask within a second in one place. Protects
memory (about 2 MB) where clients can choose their address."""

_BURST_SECONDS = 1.0
"""A bucket holds what its rate gives in a second: agents send their first requests side by side,
and a second is the unit of the option."""

_ROUNDING = 1e-6
"""Seconds by which a token may be early: a third of a second added three times is less than one."""


class Refusal(NamedTuple):
    """Why a request is not served now.

    Attributes:
        status: of the answer, 429 or 503.
        code: a short word that programs may match.
        message: for a person.
        retry_after: whole seconds, for the header of that name.
        limit: which limit it was, as the metrics name it.
    """

    status: int
    code: str
    message: str
    retry_after: int
    limit: str


AT_CAPACITY = Refusal(
    503,
    "at_capacity",
    "AI Bridge is currently at capacity. Please try again later.",
    1,
    "concurrency",
)
"""The words of Coder's gateway. Nobody knows when a running request ends: clients ask again soon."""

KEY_AT_CAPACITY = Refusal(
    503,
    "key_at_capacity",
    "Your gateway key has as many requests running as it may have. Please try again when one of "
    "them has ended.",
    1,
    "key_concurrency",
)
RATE_LIMITED = Refusal(
    429, "rate_limited", "You've been rate limited. Please try again later.", 1, "rate"
)
"""The words of Coder's gateway. A token comes within a second, whatever the rate: it is a whole
number of requests a second."""

KEY_RATE_LIMITED = RATE_LIMITED._replace(limit="key_rate")


class Limits:
    """What one daemon serves; it outlives a reload of the configuration.

    Args:
        max_concurrency: requests served at a time; 0: no limit.
        rate_limit: requests a second for each `who`; 0: no limit.
    """

    def __init__(self, max_concurrency: int, rate_limit: int) -> None:
        self.max_concurrency = max_concurrency
        self.rate_limit = rate_limit
        self.running = 0
        """Requests being served."""
        self._running_of: dict[str, int] = {}
        # Each bucket is the time at which it is full again: all that a token bucket has to know
        # (the "virtual scheduling" of ITU-T I.371). The one asked least recently comes first.
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._shared_full_at = 0.0

    def configure(self, max_concurrency: int, rate_limit: int) -> None:
        """Put other limits in place. Running requests stay counted, spent tokens stay spent."""
        self.max_concurrency = max_concurrency
        self.rate_limit = rate_limit

    def admit(
        self, who: str, key_rate: int | None, key_concurrency: int | None, now: float
    ) -> Refusal | None:
        """Count a request in, or say why it is refused; `release` it only where it was counted in.

        Args:
            who: whose request it is.
            key_rate: the key's own limit, in place of the general one; 0: none, None: the general.
            key_concurrency: the key's own limit, beside the general one; 0 or None: none.
            now: monotonic seconds.
        """
        if self.max_concurrency and self.running >= self.max_concurrency:
            return AT_CAPACITY
        of_key = self._running_of.get(who, 0)
        if key_concurrency and of_key >= key_concurrency:
            return KEY_AT_CAPACITY
        rate = self.rate_limit if key_rate is None else key_rate
        if rate and not self._take(who, rate, now):
            return RATE_LIMITED if key_rate is None else KEY_RATE_LIMITED
        self.running += 1
        self._running_of[who] = of_key + 1
        return None

    def release(self, who: str) -> None:
        """A request that `admit` counted in is over, however it ended."""
        left = self._running_of[who] - 1
        self.running -= 1
        if left:
            self._running_of[who] = left
        else:
            del self._running_of[who]

    def _take(self, who: str, rate: int, now: float) -> bool:
        """Take a token from the bucket, if there is one."""
        full_at = self._full_at.get(who)
        if full_at is None:
            self._forget(now)
            if len(self._full_at) >= BUCKETS:
                return self._take_shared(rate, now)
            full_at = now
        after = _without_token(full_at, rate, now)
        if after is not None:
            self._full_at[who] = after
        if who in self._full_at:
            self._full_at.move_to_end(who)
        return after is not None

    def _take_shared(self, rate: int, now: float) -> bool:
        """For those beyond `BUCKETS`: one bucket for all, so that being many helps nobody."""
        after = _without_token(self._shared_full_at, rate, now)
        if after is not None:
            self._shared_full_at = after
        return after is not None

    def _forget(self, now: float) -> None:
        """Make room: two for each one that comes, so that the number falls when many leave.

        Only full ones, which are like new ones: nobody gets tokens by being forgotten. One that
        nobody has asked for a second is full, so those in front are.
        """
        for _ in range(2):
            oldest = next(iter(self._full_at), None)
            if oldest is None or self._full_at[oldest] > now:
                return
            del self._full_at[oldest]


def _without_token(full_at: float, rate: int, now: float) -> float | None:
    """When a bucket is full again after one token was taken; None: there is none to take."""
    after = max(full_at, now) + 1 / rate
    return after if after <= now + _BURST_SECONDS + _ROUNDING else None
