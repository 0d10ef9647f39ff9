"""Failover between keys: against a provider that refuses some, over real connections."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest
from multidict import CIMultiDict

from aigw.errors import UpstreamError
from aigw.gateway import dispatch as dispatch_module
from aigw.gateway.dispatch import Dispatch, PoolExhaustedError, Sent
from aigw.gateway.http1 import UpstreamAnswer
from aigw.gateway.upstream import Upstream
from aigw.providers.call import ApiKey, Call
from aigw.providers.key_pool import KeyPool, State
from aigw.providers.provider import Provider
from aigw.providers.types import OPENAI
from aigw.secrets import Secret
from tests.gateway.client import LONG
from tests.simulator import Simulator
from tests.simulator.script import Gate, Script, Send

NAMES = ["one", "two", "three", "four", "five", "six", "seven"]
KEYS = [ApiKey(Secret(f"sk-canary-{name}-0123456789"), OPENAI.key_header) for name in NAMES]

LIMITED = Script(
    status=429,
    reason="Too Many Requests",
    headers=[("Content-Type", "application/json"), ("retry-after", "7")],
    body=b'{"error": {"message":"Rate limit reached",  "code":"rate_limit_exceeded"}}',
)
UNKNOWN = Script(
    status=401,
    headers=[("Content-Type", "application/json")],
    body=b'{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}',
)
INVALID = Script(
    status=403, body=b'{"error":{"message":"Invalid API key","code":"invalid_api_key"}}'
)
DENIED = Script(
    status=403, body=b'{"error":{"type":"permission_error","message":"no access to the model"}}'
)


def key(name: str) -> bytes:
    """What a request sent with a key holds."""
    return f"Bearer sk-canary-{name}-".encode()


class Seen:
    def __init__(self) -> None:
        self.transitions: list[str] = []
        self.outcomes: list[str] = []
        self.counts: list[int] = []

    def transition(self, provider: str, reason: str) -> None:
        assert provider == "openai"
        self.transitions.append(reason)

    def states(self, provider: str, counts: Mapping[str, int]) -> None:
        assert provider == "openai"
        assert sum(counts.values())

    def exhausted(self, provider: str, outcome: str) -> None:
        assert provider == "openai"
        self.outcomes.append(outcome)

    def attempts(self, provider: str, count: int) -> None:
        assert provider == "openai"
        self.counts.append(count)


@dataclass
class Setup:
    """A dispatch in front of the simulator. `now` is the clock that the pool goes by."""

    simulator: Simulator
    upstream: Upstream
    now: float = 1000.0
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        self.dispatch = Dispatch(self.upstream, lambda: self.now)

    def provider(self, count: int = 3) -> Provider:
        pool = KeyPool(KEYS[:count], 60.0, "openai", self.seen) if count else None
        return Provider(OPENAI, "openai", f"{self.simulator.url}/v1", pool)

    def call(self, text: str = "hello") -> Call:
        body = json.dumps({"model": "sim-text", "messages": [{"role": "user", "content": text}]})
        headers = CIMultiDict({"Content-Type": "application/json"})
        return Call("POST", f"{self.simulator.url}/v1/chat/completions", headers, body.encode())

    async def ask(self, provider: Provider, text: str = "hello") -> tuple[Sent, bytes]:
        async with asyncio.timeout(LONG):
            sent = await self.dispatch.send(provider, self.call(text))
            try:
                return sent, await sent.answer.content.read()
            finally:
                sent.answer.close()

    def used(self) -> list[str]:
        """The keys in the order in which requests with them arrived."""
        return [
            next(name for name in NAMES if key(name) in request)
            for request in self.simulator.requests
        ]

    def states(self, provider: Provider) -> list[State]:
        assert provider.pool is not None
        return [found.state for found in provider.pool.states(self.now)]


@pytest.fixture
async def setup(simulator: Simulator) -> AsyncIterator[Setup]:
    upstream = Upstream(connect_timeout=5.0, idle_timeout=10.0)
    yield Setup(simulator, upstream)
    await upstream.close()


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        (LIMITED, State.RATE_LIMITED),
        (UNKNOWN, State.AUTH_FAILED),
        (INVALID, State.AUTH_FAILED),
        (Script(status=429), State.RATE_LIMITED),
        (Script(status=403, body=b'{"message":"x"}', headers=[("x-amzn-errortype", "UnrecognizedClientException:")]), State.AUTH_FAILED),
        (Script(status=403, body=zlib.compress(b'{"error":{"code":"invalid_api_key"}}'), headers=[("Content-Encoding", "deflate")]), State.AUTH_FAILED),
        (Script(status=400, body=b'[{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}]'), State.AUTH_FAILED),
        (Script(status=403, body=[b'{"error":{"code":', b'"invalid_api_key"}}'], framing="chunked"), State.AUTH_FAILED),
        (Script(status=429, body=b"x", framing="close"), State.RATE_LIMITED),
        (Script(status=429, body=b"x" * 50, ending="reset", cut=10), State.RATE_LIMITED),
    ],
)  # fmt: skip
async def test_a_refused_key_is_followed_by_the_next(
    setup: Setup, refusal: Script, state: State
) -> None:
    provider = setup.provider()
    setup.simulator.always(refusal, match=key("one"))
    sent, body = await setup.ask(provider)
    assert sent.answer.status == 200
    assert json.loads(body)["object"] == "chat.completion"
    assert (sent.credential, sent.attempts, sent.number) == (KEYS[1], 2, 2)
    assert setup.states(provider) == [state, State.AVAILABLE, State.AVAILABLE]
    await setup.ask(provider)
    assert setup.used() == ["one", "two", "two"]
    assert setup.simulator.requests[0].body == setup.simulator.requests[1].body
    assert setup.seen.counts == [2, 1]
    assert setup.seen.outcomes == []


@pytest.mark.parametrize(
    "answer",
    [
        DENIED,
        Script(status=400, body=b'{"error":{"message":"bad","code":"invalid_value"}}'),
        Script(status=401, body=b'{"error":"You have insufficient permissions for this operation."}'),
        Script(status=429, body=b'{"error":{"message":"Request too large for gpt-4o on TPM"}}'),
        Script(status=403, body=b"x" * 100_000),
        Script(status=403, body=[b"x" * 50_000] * 2, framing="chunked"),
        Script(status=403, framing="none", raw=[Send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")]),
        Script(status=404, body=b'{"error":{"code":"invalid_api_key"}}'),
        Script(status=500, body=b"invalid api key"),
        Script(status=503, headers=[("Retry-After", "9")]),
        Script(status=529, headers=[("Retry-After", "9")], body=b"overloaded"),
    ],
)  # fmt: skip
async def test_any_other_answer_is_the_answer(setup: Setup, answer: Script) -> None:
    provider = setup.provider()
    setup.simulator.script(answer)
    sent, body = await setup.ask(provider)
    assert sent.answer.status == answer.status
    assert body == b"".join(answer.pieces())
    assert (sent.credential, sent.attempts) == (KEYS[0], 1)
    assert setup.used() == ["one"]
    assert setup.states(provider) == [State.AVAILABLE] * 3


@pytest.mark.parametrize("cut", [-1, -2])
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_a_connection_that_breaks_off_is_no_reason_to_ask_again(
    setup: Setup, ending: str, cut: int
) -> None:
    provider = setup.provider()
    setup.simulator.script(Script(ending=ending, cut=cut))  # type: ignore[arg-type]
    with pytest.raises(UpstreamError) as caught:
        await setup.ask(provider)
    assert caught.value.status == 502
    assert setup.used() == ["one"]
    assert setup.states(provider) == [State.AVAILABLE] * 3


async def test_a_break_after_a_refusal_ends_it_too(setup: Setup) -> None:
    provider = setup.provider()
    setup.simulator.always(LIMITED, match=key("one"))
    setup.simulator.script(Script(ending="reset", cut=-2), match=key("two"))
    with pytest.raises(UpstreamError):
        await setup.ask(provider)
    assert setup.used() == ["one", "two"]


async def test_the_first_usable_key_is_always_the_first(setup: Setup) -> None:
    provider = setup.provider()
    setup.simulator.script(LIMITED, match=key("one"))
    setup.simulator.script(UNKNOWN, match=key("two"))
    await setup.ask(provider)
    setup.now += 6.9
    await setup.ask(provider)
    setup.now += 0.1  # the seven seconds that the provider asked for
    await setup.ask(provider)
    setup.simulator.script(LIMITED, match=key("one"))
    setup.now += 53.1  # the minute that an invalid key rests
    await setup.ask(provider)
    assert setup.used() == ["one", "two", "three", "three", "one", "one", "two"]


async def test_a_date_to_come_back_is_understood(setup: Setup) -> None:
    provider = setup.provider()
    headers = [
        ("Date", "Thu, 09 Oct 2025 08:53:20 GMT"),
        ("Retry-After", "Thu, 09 Oct 2025 08:55:20 GMT"),
    ]
    setup.simulator.script(Script(status=429, headers=headers), match=key("one"))
    await setup.ask(provider)
    assert provider.pool is not None
    assert provider.pool.states(setup.now)[0].seconds == 120.0


async def test_when_all_are_refused_the_last_answer_is_the_providers_own(setup: Setup) -> None:
    provider = setup.provider()
    setup.simulator.always(Script(status=429, body=b"first"), match=key("one"))
    setup.simulator.always(Script(status=429, body=b"second"), match=key("two"))
    setup.simulator.always(LIMITED, match=key("three"))
    sent, body = await setup.ask(provider)
    assert (sent.answer.status, sent.answer.reason) == (429, "Too Many Requests")
    assert sent.answer.headers == CIMultiDict(LIMITED.header_list())
    assert body == LIMITED.body
    assert (sent.credential, sent.attempts, sent.number) == (KEYS[2], 3, 3)
    assert setup.seen.outcomes == ["rate_limited"]
    assert setup.seen.counts == [3]


@pytest.mark.parametrize("refusal", [UNKNOWN, INVALID])
async def test_a_limit_that_passes_is_told_rather_than_a_key_that_is_bad(
    setup: Setup, refusal: Script
) -> None:
    provider = setup.provider()
    setup.simulator.always(refusal, match=key("one"))
    setup.simulator.always(LIMITED, match=key("two"))
    setup.simulator.always(refusal, match=key("three"))
    sent, body = await setup.ask(provider)
    assert (sent.answer.status, body) == (429, LIMITED.body)
    assert (sent.credential, sent.attempts, sent.number) == (KEYS[1], 3, 2)


@pytest.mark.parametrize(
    ("refusal", "status", "seconds", "words"),
    [
        (LIMITED, 429, 6, "all configured keys are rate-limited (retry after 6 s)"),
        (UNKNOWN, 502, 59, "all configured keys failed authentication: the provider openai"),
        (INVALID, 502, 59, "run `aigw reload`; the present ones are tried again in 59 s"),
    ],
)
async def test_without_a_usable_key_nothing_is_sent(
    setup: Setup, refusal: Script, status: int, seconds: int, words: str
) -> None:
    provider = setup.provider()
    setup.simulator.always(refusal, match=b"Bearer")
    await setup.ask(provider)
    setup.now += 1.5
    with pytest.raises(PoolExhaustedError) as caught:
        await setup.ask(provider)
    assert (caught.value.status, caught.value.retry_after) == (status, seconds)
    assert words in str(caught.value)
    assert "0123456789" not in str(caught.value)
    assert setup.used() == NAMES[:3]
    assert len(setup.seen.outcomes) == 2
    assert setup.seen.counts == [3]
    setup.now += 60
    await setup.ask(provider)
    assert setup.used() == NAMES[:3] * 2


async def test_one_request_is_tried_with_so_many_keys_and_no_more(setup: Setup) -> None:
    provider = setup.provider(7)
    setup.simulator.always(LIMITED, match=b"Bearer")
    sent, _ = await setup.ask(provider)
    assert (sent.answer.status, sent.attempts) == (429, dispatch_module.MAX_ATTEMPTS)
    assert setup.used() == NAMES[:5]
    await setup.ask(provider)
    assert setup.used() == NAMES


@pytest.mark.parametrize("refusal", [LIMITED, UNKNOWN, INVALID])
async def test_a_pool_of_one_passes_what_the_provider_says(setup: Setup, refusal: Script) -> None:
    provider = setup.provider(1)
    setup.simulator.always(refusal, match=key("one"))
    for _ in range(2):
        sent, body = await setup.ask(provider)
        assert (sent.answer.status, body) == (refusal.status, refusal.body)
        assert (sent.credential, sent.attempts) == (KEYS[0], 1)
    assert setup.used() == ["one", "one"]
    assert setup.seen.counts == []


@pytest.mark.parametrize("count", [0, 3])
async def test_a_clients_own_credential_goes_as_it_stands(setup: Setup, count: int) -> None:
    provider = setup.provider(count)
    setup.simulator.always(LIMITED, match=b"Bearer")
    call = setup.call()
    call.headers["Authorization"] = "Bearer sk-of-the-client"
    sent = await setup.dispatch.send(provider, call, central=False)
    assert (sent.answer.status, sent.credential, sent.attempts) == (429, None, 1)
    sent.answer.close()
    (request,) = setup.simulator.requests
    assert request.values("authorization") == ["Bearer sk-of-the-client"]
    if provider.pool is not None:
        assert setup.states(provider) == [State.AVAILABLE] * 3


async def test_the_callers_request_stays_without_a_key(setup: Setup) -> None:
    for count in (1, 3):
        call = setup.call()
        sent = await setup.dispatch.send(setup.provider(count), call)
        await sent.answer.content.read()
        assert "Authorization" not in call.headers


async def test_every_attempt_and_refusal_is_told(setup: Setup) -> None:
    setup.simulator.always(UNKNOWN, match=key("one"))
    setup.simulator.always(LIMITED, match=key("two"))
    told: list[object] = []

    def on_attempt(call: Call, number: int) -> None:
        told.append((number, call.headers["Authorization"].split("-")[2]))

    def on_refused(answer: UpstreamAnswer, body: bytes, number: int) -> None:
        told.append((number, answer.status, body))

    sent = await setup.dispatch.send(
        setup.provider(), setup.call(), on_attempt=on_attempt, on_refused=on_refused
    )
    await sent.answer.content.read()
    assert told == [
        (1, "one"),
        (1, 401, UNKNOWN.body),
        (2, "two"),
        (2, 429, LIMITED.body),
        (3, "three"),
    ]


class Expired:
    """An AWS login, say, that has run out."""

    hint = "AKIA...0001"
    identity = "expired"

    async def apply(self, call: Call) -> None:
        raise UpstreamError(502, "no_credentials", f"log in again for {call.method}")


async def test_a_credential_that_cannot_be_had_is_passed_over(setup: Setup) -> None:
    pool = KeyPool([Expired(), KEYS[1]], 60.0, "openai")
    provider = Provider(OPENAI, "openai", f"{setup.simulator.url}/v1", pool)
    sent, _ = await setup.ask(provider)
    assert (sent.answer.status, sent.attempts, sent.credential) == (200, 1, KEYS[1])
    assert setup.states(provider) == [State.AUTH_FAILED, State.AVAILABLE]


async def test_where_no_credential_can_be_had_its_error_says_why(setup: Setup) -> None:
    other = Expired()
    other.identity = "expired too"
    for credentials in ([Expired()], [Expired(), other]):
        pool = KeyPool(credentials, 60.0, "openai")
        provider = Provider(OPENAI, "openai", f"{setup.simulator.url}/v1", pool)
        with pytest.raises(UpstreamError, match="log in again for POST"):
            await setup.ask(provider)
    assert setup.simulator.requests == []


async def test_a_body_that_does_not_come_is_not_waited_for(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch_module, "INSPECTION_SECONDS", 0.05)
    gate = Gate()
    provider = setup.provider()
    body = b'{"error":{"code":"invalid_api_key"}}'
    setup.simulator.script(Script(status=429, body=body, hold={0: gate}), match=key("one"))
    setup.simulator.script(Script(status=403, body=body, hold={0: gate}), match=key("two"))
    async with asyncio.timeout(LONG):
        sent = await setup.dispatch.send(provider, setup.call())
        # What a 403 means was not to be learnt in time; its bytes come when they come.
        assert (sent.answer.status, sent.credential) == (403, KEYS[1])
        gate.release()
        assert await sent.answer.content.read() == body
    await asyncio.to_thread(
        setup.simulator.wait_until, lambda: setup.simulator.connection_count == 1
    )


@pytest.mark.parametrize(
    ("last", "left"), [(Script(status=500, body=b"x"), 1), (LIMITED, 1), (Script(ending="reset"), 0)]
)  # fmt: skip
async def test_refusals_that_are_not_whole_leave_no_connection(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, last: Script, left: int
) -> None:
    monkeypatch.setattr(dispatch_module, "INSPECTION_SECONDS", 0.02)
    stalled = Script(status=429, body=b"never", hold={0: Gate()})
    for name in NAMES[:2]:
        setup.simulator.script(stalled, match=key(name))
    setup.simulator.script(last, match=key("three"))
    if left:
        sent, _ = await setup.ask(setup.provider())
        assert (sent.answer.status, sent.attempts) == (last.status, 3)
    else:
        with pytest.raises(UpstreamError):
            await setup.ask(setup.provider())
    await asyncio.to_thread(
        setup.simulator.wait_until, lambda: setup.simulator.connection_count == left
    )


async def test_who_leaves_while_an_error_is_looked_into_leaves_no_connection(setup: Setup) -> None:
    provider = setup.provider()
    gate = Gate()
    setup.simulator.script(Script(status=429, body=b"{}"), match=key("one"))
    setup.simulator.script(Script(status=403, body=b"{}", hold={0: gate}), match=key("two"))
    asking = asyncio.ensure_future(setup.ask(provider))  # noqa: TID251 (a test cancels it)
    await asyncio.to_thread(gate.reached.wait, LONG)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # The first one's connection is kept for the next request, the second one's is closed.
    await asyncio.to_thread(
        setup.simulator.wait_until, lambda: setup.simulator.connection_count <= 1
    )


async def test_connections_of_refused_requests_serve_the_next(setup: Setup) -> None:
    setup.simulator.always(UNKNOWN, match=key("one"))
    setup.simulator.always(LIMITED, match=key("two"))
    for _ in range(20):
        await setup.ask(setup.provider())
    assert len(setup.simulator.requests) == 60
    assert setup.simulator.connection_count == 1


@pytest.mark.parametrize("after", [0, 1, 70])
async def test_under_load_nothing_is_lost_and_nothing_repeated(setup: Setup, after: int) -> None:
    setup.simulator.always(LIMITED, match=key("one"), after=after)
    setup.simulator.always(UNKNOWN, match=key("two"), after=30)
    provider = setup.provider()
    texts = [f"request number {number:03}." for number in range(200)]
    results = await asyncio.gather(*(setup.ask(provider, text) for text in texts))
    assert [sent.answer.status for sent, _ in results] == [200] * 200
    assert len({json.loads(body)["id"] for _, body in results}) == 200
    served: Counter[str] = Counter()
    for request in setup.simulator.requests:
        if request.status == 200:
            served[request.json()["messages"][0]["content"]] += 1
    assert served == Counter(texts)
    assert len(setup.simulator.requests) == sum(sent.attempts for sent, _ in results)
    assert all(sent.attempts <= 3 for sent, _ in results)
    assert setup.seen.transitions == ["rate_limited", "auth_failed"]
    # Another wave finds out nothing new.
    setup.simulator.forget()
    await asyncio.gather(*(setup.ask(provider, text) for text in texts))
    assert set(setup.used()) == {"three"}
    assert setup.simulator.connection_count <= 200


async def test_a_late_success_leaves_a_refused_key_where_it_is(setup: Setup) -> None:
    provider = setup.provider()
    gate = Gate()
    setup.simulator.script(Script(body=b"late", hold={-1: gate}), match=b"the slow one")
    setup.simulator.script(LIMITED, match=b"the limited one")
    slow = asyncio.ensure_future(setup.ask(provider, "the slow one"))  # noqa: TID251 (awaited below)
    await asyncio.to_thread(gate.reached.wait, LONG)
    setup.now += 1
    await setup.ask(provider, "the limited one")
    setup.now += 1
    gate.release()
    sent, body = await slow
    assert (sent.credential, body) == (KEYS[0], b"late")
    assert setup.states(provider)[0] is State.RATE_LIMITED


async def test_the_clock_is_the_monotonic_one(setup: Setup) -> None:
    provider = setup.provider()
    setup.simulator.script(LIMITED, match=key("one"))
    sent = await Dispatch(setup.upstream).send(provider, setup.call())
    await sent.answer.content.read()
    assert provider.pool is not None
    # By any other clock it would be over, or years away.
    assert 0 < provider.pool.states(time.monotonic())[0].seconds <= 7.0
