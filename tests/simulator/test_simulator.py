"""The simulator speaks HTTP and both APIs as the real SDKs expect, and fails when told to."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anthropic
import httpx2
import openai
import pytest

from tests.simulator import Gate, Script, Simulator
from tests.simulator.encodings import ENCODINGS, decompress

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.url, trust_env=False, timeout=10) as running:
        yield running


def _openai(simulator: Simulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=simulator.openai_url, api_key="k", max_retries=0)


def test_a_request_is_kept_to_the_byte(simulator: Simulator) -> None:
    sent = (
        b"POST /v1/kept?q=%7e%2F HTTP/1.1\r\nHost: x\r\nX-oDD:  two  spaces \r\nX-oDD: again\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trail: t\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", simulator.port)) as raw:
        for byte in sent:
            raw.send(bytes([byte]))
        assert raw.recv(12) == b"HTTP/1.1 404"
    request = simulator.wait_for(b"/v1/kept")
    assert request.head + request.framed == sent
    assert request.target == "/v1/kept?q=%7e%2F"
    assert request.values("x-odd") == ["two  spaces", "again"]
    assert request.body == b"abcde"


def test_the_same_question_gets_the_same_bytes(client: httpx2.Client) -> None:
    body = {"model": "sim-tools-2", "stream": True, "messages": [{"role": "user", "content": "a"}]}
    first = client.post("/v1/chat/completions", json=body)
    assert first.content == client.post("/v1/chat/completions", json=body).content
    other = body | {"messages": [{"role": "user", "content": "b"}]}
    assert first.content != client.post("/v1/chat/completions", json=other).content


def test_chat_usage_comes_only_when_asked_for(client: httpx2.Client) -> None:
    body = {"model": "sim-text", "stream": True, "messages": []}
    silent = client.post("/v1/chat/completions", json=body).text
    assert '"usage"' not in silent
    asked = body | {"stream_options": {"include_usage": True}}
    lines = client.post("/v1/chat/completions", json=asked).text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    assert '"choices":[]' in lines[-2]
    assert '"prompt_tokens"' in lines[-2]
    assert all('"usage":null' in line for line in lines[:-2])


def test_the_sdks_understand_every_kind_of_answer(simulator: Simulator) -> None:
    with _openai(simulator) as client:
        with client.responses.stream(
            model="sim-think+commentary+tools-2", input="weather?"
        ) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        assert kinds[-1] == "response.completed"
        assert [item.type for item in final.output] == [
            "reasoning",
            "message",
            "function_call",
            "function_call",
        ]
        assert final.usage is not None
    with (
        anthropic.Anthropic(base_url=simulator.anthropic_url, api_key="k") as other,
        other.messages.stream(
            model="sim-think+redacted+search+tools-2",
            max_tokens=100,
            messages=[{"role": "user", "content": "weather?"}],
        ) as messages,
    ):
        message = messages.get_final_message()
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "web_search_tool_result",
        "text",
        "tool_use",
        "tool_use",
    ]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_compressed_streams_flush_at_every_event(simulator: Simulator, encoding: str) -> None:
    script = Script(body=[b"data: one\n\n", b"data: two\n\n"], framing="chunked", encoding=encoding)
    plain = b"data: one\n\ndata: two\n\n"
    assert decompress(encoding, b"".join(script.pieces())) == plain
    assert len(script.pieces()) == 2
    simulator.script(script, match=b"/flush-" + encoding.encode())
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port)
    connection.request("GET", f"/flush-{encoding}")
    answer = connection.getresponse()
    assert answer.getheader("content-encoding") == encoding
    assert decompress(encoding, answer.read()) == plain
    connection.close()


def test_a_gate_holds_the_answer_until_released(simulator: Simulator) -> None:
    gate = Gate()
    simulator.script(
        Script(body=[b"one", b"two"], framing="chunked", hold={1: gate}), match=b"/held"
    )
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=5)
    connection.request("GET", "/held")
    answer = connection.getresponse()
    assert answer.read(3) == b"one"
    assert gate.reached.wait(5)
    assert not simulator.wait_for(b"/held").answered.is_set()
    gate.release()
    assert answer.read() == b"two"
    assert simulator.wait_for(b"/held").answered.wait(5)
    connection.close()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(ending="reset", cut=-1), httpx2.ReadError),
        (Script(ending="close", cut=-1), httpx2.RemoteProtocolError),
        (Script(ending="close", cut=-2, body=b"abc"), httpx2.RemoteProtocolError),
        (Script(ending="close", cut=2, body=b"abc"), httpx2.RemoteProtocolError),
        (Script(ending="close", cut=2, body=b"abc", framing="chunked"), httpx2.RemoteProtocolError),
        (Script(ending="reset", cut=3, body=[b"abc", b"d"], framing="chunked"), httpx2.ReadError),
    ],
)
def test_faults(
    simulator: Simulator, client: httpx2.Client, script: Script, error: type[Exception]
) -> None:
    simulator.script(script, match=b"/fault")
    with pytest.raises(error):
        client.get("/fault")


def test_a_script_for_reused_connections_spares_first_requests(
    simulator: Simulator, client: httpx2.Client
) -> None:
    simulator.script(Script(ending="reset", only_reused=True), match=b"/reused")
    assert client.get("/reused").status_code == 404
    with pytest.raises(httpx2.ReadError):
        client.get("/reused")
    assert client.get("/reused").status_code == 404


def test_a_client_that_leaves_is_noticed(simulator: Simulator) -> None:
    gate = Gate()
    simulator.script(Script(body=[b"one", b"two"], hold={1: gate}), match=b"/leaves")
    raw = socket.create_connection(("127.0.0.1", simulator.port))
    raw.sendall(b"GET /leaves HTTP/1.1\r\nHost: x\r\n\r\n")
    assert gate.reached.wait(5)
    raw.close()
    assert simulator.wait_for(b"/leaves").disconnected.wait(5)


def test_trailers_interim_answers_and_old_http(simulator: Simulator) -> None:
    simulator.script(
        Script(
            interim=b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
            body=b"abc",
            framing="chunked",
            trailers=[("X-Sum", "1")],
        ),
        Script(version="HTTP/1.0", body=b"old", framing="close"),
        match=b"/odd",
    )
    assert _exchange(simulator, b"GET /odd HTTP/1.1\r\nConnection: close\r\n\r\n") == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    assert _exchange(simulator, b"GET /odd HTTP/1.1\r\n\r\n") == (
        b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nold"
    )


def _exchange(simulator: Simulator, request: bytes) -> bytes:
    received = b""
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as raw:
        raw.sendall(request)
        while data := raw.recv(65536):
            received += data
    return received


def test_it_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.simulator", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            answer = httpx2.get(f"{url}/v1/models", trust_env=False)
        finally:
            process.terminate()
        assert answer.json()["object"] == "list"
        assert process.wait(10) == 0
