"""Who serves what, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from asyncio import events
from pathlib import Path

import pytest

from aigw import clock
from aigw.gateway.ways import PREFIXES
from aigw.store.key_changes import NewKey, create_key
from tests.gateway.assembly import Gateway, gateway
from tests.gateway.client import Client, Headers
from tests.simulator import Script, Simulator

CHAT = b'{"model": "sim-text", "messages": [{"role": "user", "content": "hi"}]}'
ANTHROPIC_VERSION = ("anthropic-version", "2023-06-01")


def all_bytes(folder: Path) -> bytes:
    """Everything in the files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def ask(
    running: Gateway,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Headers | None = None,
) -> Client:
    async with Client(running.port) as client:
        await client.send(method, target, body, headers)
        if method == "HEAD":
            await client.until(lambda: client.status > 0)
        else:
            await client.answer()
        return client


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_every_prefix_leads_to_the_providers(running: Gateway, prefix: str) -> None:
    answer = await ask(running, "POST", f"{prefix}openai/v1/chat/completions?a=1&b=%20", CHAT)
    assert answer.status == 200
    answer = await ask(running, "GET", f"{prefix}anthropic/v1/models", None, [ANTHROPIC_VERSION])
    assert answer.status == 200
    targets = [request.target for request in running.simulator.requests]
    assert targets == ["/v1/chat/completions?a=1&b=%20", "/v1/models"]


@pytest.mark.parametrize(
    ("method", "target", "shown"),
    [
        ("GET", "/", "GET /"),
        ("POST", "/v1/chat/completions", "POST /v1/chat/completions"),
        ("GET", "/nobody/v1/models", "GET /nobody/v1/models"),
        ("GET", "/openai", "GET /"),
        ("GET", "/openai/v1/files", "GET /v1/files"),
        ("POST", "/openai/v1/models/../files", "POST /v1/models/../files"),
        ("GET", "/api/v2/aibridge/openai/v1/models/", "GET /v1/models/"),
        ("POST", "/healthz", "POST /healthz"),
    ],
)
async def test_other_routes_are_not_supported(
    running: Gateway, method: str, target: str, shown: str
) -> None:
    answer = await ask(running, method, target, b"" if method == "POST" else None)
    assert answer.status == 404
    error = json.loads(answer.body)["error"]
    assert error["message"] == f"route not supported: {shown}"
    assert running.simulator.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "target", ["/openai/v1/chat/completions", "/openai/v1/responses", "/anthropic/v1/messages"]
)
async def test_recorded_routes_take_post_only(running: Gateway, method: str, target: str) -> None:
    answer = await ask(running, method, target)
    assert answer.status == 405
    assert answer.header("Allow") == "POST"
    assert running.simulator.requests == []
    await running.ended(0)


@pytest.mark.parametrize("target", ["/", "/openai", "/openai/", "/openai/v1", "/anthropic"])
async def test_head_says_that_somebody_listens(running: Gateway, target: str) -> None:
    answer = await ask(running, "HEAD", target)
    assert answer.status == 200
    assert running.simulator.requests == []


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("/openai/v1/chat/completions", "POST"),
        ("/openai/v1/models", "GET"),
        ("/anthropic/v1/messages", "POST"),
        ("/api/v2/aibridge/status", "GET"),
        ("/api/v2/aibridge/interceptions", "GET"),
        ("/healthz", "GET"),
        ("/nowhere", "GET"),
    ],
)
@pytest.mark.parametrize(
    "header",
    [
        ("Host", "evil.example"),
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
    ],
    ids=lambda header: str(header[0]),
)
async def test_web_pages_are_refused_before_anything_happens(
    running: Gateway, target: str, method: str, header: tuple[str, str]
) -> None:
    answer = await ask(running, method, target, CHAT if method == "POST" else None, [header])
    assert answer.status == 403
    assert "open mode" in answer.body.decode()
    assert answer.header("Access-Control-Allow-Origin") is None
    assert running.simulator.requests == []
    await running.ended(0)


async def test_what_is_passed_through_is_counted_and_not_recorded(running: Gateway) -> None:
    await ask(running, "GET", "/openai/v1/models/sim-a")
    await ask(running, "GET", "/openai/v1/models/sim-b")
    await ask(running, "POST", "/anthropic/v1/messages/count_tokens", CHAT, [ANTHROPIC_VERSION])
    text = running.metrics.text().decode()
    assert 'passthrough_total{method="GET",provider="openai",route="/models/*"} 2.0' in text
    assert "sim-a" not in text
    assert 'route="/v1/messages/count_tokens"' in text
    await running.ended(0)


async def test_a_bug_becomes_a_quiet_500(
    running: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(running.pages, "status", fail)
    answer = await ask(running, "GET", "/api/v2/aibridge/status")
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["code"] == "gateway_error"
    assert b"a bug" not in answer.received
    assert "a bug" in caplog.text


async def test_a_body_over_the_limit_is_refused(tmp_path: Path, simulator: Simulator) -> None:
    async with gateway(tmp_path, simulator, body_limit=1000) as running:
        answer = await ask(running, "POST", "/anthropic/v1/messages", b"x" * 1001)
        assert answer.status == 413
        assert json.loads(answer.body)["error"]["type"] == "request_too_large"
        answer = await ask(running, "POST", "/openai/v1/responses/x", b"x" * 1001)
        assert answer.status == 413
        assert simulator.requests == []
        await running.ended(0)
        answer = await ask(running, "POST", "/anthropic/v1/messages", b"x" * 1000)
        assert len(simulator.requests) == 1


async def test_no_key_is_seen_by_the_client_or_the_wrong_provider(
    tmp_path: Path, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-canary-central-77aa01"
    async with gateway(tmp_path, simulator, key=key) as running:
        received = b""
        for target in ("/openai/v1/chat/completions", "/anthropic/v1/messages", "/nobody/v1/x"):
            received += (await ask(running, "POST", target, CHAT)).received
        for target in ("/api/v2/aibridge/status", "/api/v2/aibridge/interceptions", "/readyz"):
            received += (await ask(running, "GET", target)).received
        assert key.encode() not in received
        assert key not in running.metrics.text().decode()
        openai, anthropic = simulator.requests
        assert openai.value("authorization") == f"Bearer {key}"
        assert openai.value("x-api-key") is None
        assert anthropic.value("x-api-key") == key
        assert anthropic.value("authorization") is None
        (row, _) = await running.ended(2)
        assert row["credential_hint"] == "sk-c...aa01"
    assert key not in caplog.text
    assert key.encode() not in all_bytes(tmp_path)


SLOWEST_CALLBACK = 0.25
"""Seconds of processor time in which the loop serves nobody else. What a request of 5 MB costs is
a tenth of it on a slow machine; reading it twice more than needed would show."""


async def test_no_callback_holds_the_loop_up(
    running: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow: list[str] = []
    run = events.Handle._run

    def timed(handle: events.Handle) -> None:
        # Processor time, not the clock: a loaded machine is not the gateway's fault.
        began = time.thread_time()
        run(handle)
        if (took := time.thread_time() - began) > SLOWEST_CALLBACK:
            slow.append(f"{took:.3f} s in {handle!r}")

    monkeypatch.setattr(events.Handle, "_run", timed)
    prompt = "all work and no play " * (5_000_000 // 21)
    fields = {"model": "sim-words-200", "max_tokens": 9, "stream": True}
    large = json.dumps({**fields, "messages": [{"role": "user", "content": prompt}]}).encode()
    small = json.dumps({**fields, "messages": [{"role": "user", "content": "hi"}]}).encode()
    targets = ["/openai/v1/chat/completions", "/anthropic/v1/messages"]
    answers = await asyncio.gather(
        *(ask(running, "POST", target, large) for target in targets),
        *(ask(running, "POST", target, small) for target in targets * 10),
    )
    assert {answer.status for answer in answers} == {200}
    await running.ended(22)
    assert slow == []


async def test_with_gateway_keys_a_request_without_one_gets_a_challenge(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with gateway(tmp_path, simulator) as running:
        create_key(running.database, NewKey(name="k", user="k"), clock.now())
        answer = await ask(running, "POST", "/openai/v1/chat/completions", CHAT)
        assert answer.status == 401
        assert answer.header("WWW-Authenticate") == 'Bearer realm="aigw"'
        assert json.loads(answer.body)["error"]["code"] == "missing_gateway_key"
        # A probe for whether anybody listens, as Claude Code's, holds no key.
        assert (await ask(running, "HEAD", "/api/v2/aibridge/anthropic")).status == 200


async def test_the_first_key_counts_from_the_next_request_on(running: Gateway) -> None:
    for _ in range(3):
        answer = await ask(running, "POST", "/openai/v1/chat/completions", CHAT)
        assert answer.status == 200
    create_key(running.database, NewKey(name="k", user="k"), clock.now())
    answer = await ask(running, "POST", "/openai/v1/chat/completions", CHAT)
    assert answer.status == 401


async def test_requests_that_arrive_together_share_a_look_at_the_keys(running: Gateway) -> None:
    looks: list[str] = []
    assert running.keys._connection is not None
    running.keys._connection.set_trace_callback(looks.append)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(running.port)) for _ in range(20)]
        for client in clients:
            await client.send("POST", "/openai/v1/chat/completions", CHAT)
        for client in clients:
            assert (await client.answer()).status == 200
    assert 1 <= len(looks) <= len(clients) // 2


async def test_a_compacted_conversation_is_recorded(running: Gateway) -> None:
    body = json.dumps(
        {
            "id": "resp_c1",
            "object": "response.compaction",
            "output": [{"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}],
            "usage": {"input_tokens": 139, "output_tokens": 438, "total_tokens": 577},
        }
    ).encode()
    answered = Script(headers=[("Content-Type", "application/json")], body=body)
    running.simulator.script(answered, match=b"/responses/compact")
    asked = b'{"model": "sim-text", "input": "all that was said"}'
    answer = await ask(running, "POST", "/openai/v1/responses/compact", asked)
    assert (answer.status, answer.body) == (200, body)
    (row,) = await running.ended()
    assert (row["route"], row["status"]) == ("/v1/responses/compact", "completed")
    assert (row["input_tokens"], row["output_tokens"]) == (139, 438)


@pytest.mark.parametrize(
    ("key", "status", "count"), [("sk-central-0123456789", 405, 0), ("", 404, 1)]
)
async def test_models_are_only_read_with_a_central_key(
    tmp_path: Path, simulator: Simulator, key: str, status: int, count: int
) -> None:
    async with gateway(tmp_path, simulator, key=key) as running:
        answer = await ask(running, "DELETE", "/openai/v1/models/ft:own")
        assert len(simulator.requests) == count
        if key:
            assert (answer.status, answer.header("Allow")) == (status, "GET")
        assert (await ask(running, "GET", "/openai/v1/models")).status == 200


async def test_a_gateway_key_in_the_path_goes_nowhere(
    running: Gateway, simulator: Simulator
) -> None:
    path = f"/openai/v1/models/aigw_{'a' * 10}_{'B' * 43}"
    assert (await ask(running, "GET", path)).status == 400
    assert simulator.requests == []


async def test_a_refusal_leaves_a_line_that_quotes_nothing(
    tmp_path: Path, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = f"aigw_{'a' * 10}_{'B' * 43}"
    with caplog.at_level("INFO", logger="aigw.gateway"):
        async with gateway(tmp_path, simulator) as running:
            create_key(running.database, NewKey(name="k", user="k"), clock.now())
            headers = [("Authorization", f"Bearer {wrong}")]
            await ask(running, "POST", "/openai/v1/chat/completions", CHAT, headers)
    (line,) = [text for text in caplog.messages if text.startswith("refused")]
    assert line.endswith("provider openai: 401 unknown_gateway_key")
    assert wrong not in caplog.text
