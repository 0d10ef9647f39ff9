"""Contents that break careless gateways: timing of events, odd text, odd providers, odd sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.asking import APIS, CHAT, EVENT_STREAM, JSON_HEADERS, Api, stream_events
from tests.e2e.raw import Connection, ask
from tests.simulator import Gate, Script, Simulator
from tests.simulator.encodings import ENCODINGS

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon

Model = Callable[[str], str]
by_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


@by_api
@pytest.mark.parametrize("encoding", ["", *ENCODINGS])
def test_every_event_goes_on_at_once(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, encoding: str
) -> None:
    name = model("words-6+think")
    events = stream_events(simulator, api, name)
    if api is CHAT and not encoding:
        events = [_without_usage(event) for event in events]
    gates = [Gate() for _ in events]
    script = Script(
        headers=EVENT_STREAM,
        body=events,
        framing="chunked",
        encoding=encoding,
        hold=dict(enumerate(gates)),
    )
    simulator.script(script, match=name.encode())
    fields = json.loads(api.body(name, stream=True))
    if api is CHAT and encoding:
        # Not to be edited: the coding would be taken off.
        fields["stream_options"] = {"include_usage": True}
    pieces, sent = script.pieces(), b""
    with Connection(gateway.port) as connection:
        connection.send("POST", api.path, json.dumps(fields).encode(), JSON_HEADERS)
        body = b""
        for index, gate in enumerate(gates):
            gate.release()
            if index == 0:
                assert connection.receive_head().status == 200
            sent += pieces[index]
            if index >= len(events) - 2:
                # The last two may wait for the commit of the end.
                continue
            while len(body) < len(sent):
                body += _chunk(connection)
            assert body == sent


def _without_usage(event: bytes) -> bytes:
    return event.replace(b',"usage":null', b"")


def _chunk(connection: Connection) -> bytes:
    size = int(connection._until(b"\r\n"), 16)
    data = connection._exactly(size)
    assert connection._exactly(2) == b"\r\n"
    return data


ODD_TEXTS = {
    "lone surrogate": (rb"cut emoji \ud83d end", "cut emoji"),
    "NUL": (rb"before\u0000after", "before"),
    "emoji": ("naïve 🙂 € Ω".encode(), "naïve 🙂 € Ω"),
    "escaped emoji": (rb"\ud83d\ude42", "🙂"),
    "controls": (rb"tab\tnew\nline\u001b[31mred", "tab\tnew\nline\x1b[31mred"),
}


@by_api
@pytest.mark.parametrize("kind", ODD_TEXTS)
def test_odd_prompts(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, kind: str
) -> None:
    written, start = ODD_TEXTS[kind]
    name = model("tools-1")
    body = api.body(name, prompt="HERE").replace(b"HERE", written)
    answer = ask(gateway.port, "POST", api.path, body, JSON_HEADERS)
    assert answer.status == 200
    assert simulator.wait_for(name.encode()).body == body
    found = gateway.only(name)
    assert found.status == "completed"
    assert found.prompts[0]["prompt"].startswith(start)
    assert len(found.tool_usages) == 1
    assert found.token_usages


@by_api
@pytest.mark.parametrize("stream", [False, True], ids=["blocking", "streaming"])
@pytest.mark.parametrize("kind", ODD_TEXTS)
def test_odd_text_in_answers(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, stream: bool, kind: str
) -> None:
    written, _ = ODD_TEXTS[kind]
    name = model("think+tools-1")
    direct = ask(simulator.port, "POST", api.upstream, api.body(name, stream=stream))
    whole = direct.body.replace(b"Let me see. ", written)
    assert whole != direct.body
    script = Script(headers=EVENT_STREAM if stream else [], body=whole, framing="chunked")
    simulator.script(script, match=name.encode())
    answer = ask(gateway.port, "POST", api.path, api.body(name, stream=stream), JSON_HEADERS)
    assert answer.complete
    assert answer.body == whole
    found = gateway.only(name)
    assert found.status == "completed"
    assert len(found.thoughts) == 1
    assert len(found.tool_usages) == 1


@by_api
@pytest.mark.parametrize("stream", [False, True], ids=["blocking", "streaming"])
def test_an_event_of_megabytes(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, stream: bool
) -> None:
    name = model("size-3000000+tools-1" if api.name == "messages" else "size-3000000")
    body = api.body(name, stream=stream)
    direct = ask(simulator.port, "POST", api.upstream, body)
    answer = ask(gateway.port, "POST", api.path, body, JSON_HEADERS)
    assert answer.complete
    assert answer.body == direct.body
    found = gateway.only(name)
    assert found.status == "completed"
    assert found.token_usages


@by_api
def test_odd_models_and_agents(gateway: Daemon, model: Model, api: Api) -> None:
    long = model("text") + "+" + "x" * 100_000
    assert ask(gateway.port, "POST", api.path, api.body(long)).status == 200
    odd = model("text") + "+\ud800\x00/../%s"
    agent = [(b"User-Agent", b"agent/\xff\xfe caf\xc3\xa9")]
    assert ask(gateway.port, "POST", api.path, api.body(odd), agent).status == 200
    token = odd.partition("\ud800")[0]
    found = [each for each in gateway.interceptions() if each.start["model"].startswith(token)]
    assert len(found) == 1
    assert found[0].status == "completed"
    assert gateway.logs("-q", "nothing-like-this") == []


@by_api
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"model": "m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model": "m", "n": 1e999999, "input": 1' + b"0" * 10_000 + b"}",
        b'{"model": "m", "model": "n", "messages": [], "messages": 1}',
        b"\xef\xbb\xbf{}",
    ],
    ids=["deep", "deep inside", "huge numbers", "repeated keys", "byte order mark"],
)
def test_hostile_json(simulator: Simulator, gateway: Daemon, api: Api, body: bytes) -> None:
    direct = ask(simulator.port, "POST", api.upstream, body)
    answer = ask(gateway.port, "POST", api.path, body)
    assert (answer.status, answer.body) == (direct.status, direct.body)


def _chat_stream(*chunks: Any) -> bytes:
    events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return b"".join(events) + b"data: [DONE]\n\n"


def _chunk_object(choices: list[Any], **more: Any) -> dict[str, Any]:
    frame = {"id": "chatcmpl-odd", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame | {"choices": choices} | more


def test_chat_providers_that_send_usage_their_own_way(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    delta = {"index": 0, "delta": {"content": "hi"}, "finish_reason": None}
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    filters = _chunk_object([], prompt_filter_results=[{"prompt_index": 0}])
    answers = {
        "with the last choice": _chat_stream(
            _chunk_object([delta]), _chunk_object([stop], usage=usage)
        ),
        "on every chunk": _chat_stream(
            _chunk_object([delta], usage=usage | {"completion_tokens": 1}),
            _chunk_object([stop], usage=usage),
            _chunk_object([], usage=usage),
        ),
        "after a chunk without choices": _chat_stream(
            filters, _chunk_object([delta]), _chunk_object([stop]), _chunk_object([], usage=usage)
        ),
    }
    for kind, whole in answers.items():
        name = model("text")
        simulator.script(
            Script(headers=EVENT_STREAM, body=whole, framing="chunked"), match=name.encode()
        )
        answer = ask(gateway.port, "POST", CHAT.path, CHAT.body(name, stream=True))
        assert answer.complete
        seen = [line[6:] for line in answer.body.splitlines() if line.startswith(b"data: {")]
        chunks = [json.loads(line) for line in seen]
        contents = [choice["delta"].get("content") for each in chunks for choice in each["choices"]]
        assert contents == ["hi", None], kind
        assert answer.body.endswith(b"data: [DONE]\n\n")
        if "filters" in kind or "without choices" in kind:
            assert filters in chunks
        assert not any(each["choices"] == [] and each.get("usage") for each in chunks), kind
        (recorded,) = gateway.only(name).token_usages
        assert (recorded["input_tokens"], recorded["output_tokens"]) == (7, 3), kind


@pytest.mark.parametrize(
    ("separator", "prefix"),
    [(b"\r\n\r\n", b"data: "), (b"\n\n", b"data:"), (b"\r\r", b"data: ")],
    ids=["CRLF", "no space", "CR"],
)
def test_event_streams_with_other_line_ends(
    simulator: Simulator, gateway: Daemon, model: Model, separator: bytes, prefix: bytes
) -> None:
    name = model("tools-2")
    whole = b"".join(stream_events(simulator, CHAT, name))
    odd = whole.replace(b"\n\n", separator).replace(b"data: ", prefix)
    odd = b": a comment" + separator + odd
    simulator.script(Script(headers=EVENT_STREAM, body=odd, framing="chunked"), match=name.encode())
    fields = json.loads(CHAT.body(name, stream=True)) | {"stream_options": {"include_usage": True}}
    answer = ask(gateway.port, "POST", CHAT.path, json.dumps(fields).encode())
    assert answer.body == odd
    found = gateway.only(name)
    assert found.status == "completed"
    assert len(found.tool_usages) == 2
    assert len(found.token_usages) == 1
