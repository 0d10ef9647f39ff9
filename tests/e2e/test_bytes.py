"""Byte equality: what one side sends is what the other gets, but for the credential's rules.

Generated exchanges over raw sockets. Framing belongs to each connection: bodies are compared after
chunk framing is taken off, and of the framing headers only `Content-Length` has to survive.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.e2e.raw import HOP_BY_HOP, Answer, Connection, Headers, ask, end_to_end
from tests.simulator import Script, Simulator
from tests.simulator.encodings import ENCODINGS, compress, decompress

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator.script import Framing
    from tests.simulator.wire import Received

_numbers = itertools.count()
_BOUNDED = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_NOT_THE_CLIENT_S = HOP_BY_HOP | {b"host", b"content-length", b"expect"}

INTERCEPTED = [
    ("/api/v2/aibridge/openai/v1/chat/completions", "/v1/chat/completions"),
    ("/api/v2/ai-gateway/openai/v1/responses", "/v1/responses"),
    ("/anthropic/v1/messages", "/v1/messages"),
]
PASSED = [
    ("/api/v2/aibridge/openai/v1/models/ft:gpt%20x", "/v1/models/ft:gpt%20x"),
    ("/openai/v1/responses/resp_1/input_items", "/v1/responses/resp_1/input_items"),
    ("/openai/v1/conversations", "/v1/conversations"),
    ("/api/v2/ai-gateway/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    ("/anthropic/api/event_logging/batch", "/api/event_logging/batch"),
]

_token_characters = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~"
_names = st.text(_token_characters, min_size=1, max_size=12).map(lambda name: f"X-{name}".encode())
# Visible characters, spaces inside, and text beyond ASCII, which some clients send as UTF-8.
_values = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"]), max_size=20
).map(lambda text: text.encode().strip(b" "))
_header_lists = st.lists(st.tuples(_names, _values), max_size=6)
_queries = st.text("abc=&%+;~:@/?[]{}|^$!*'(),._-0123456789", max_size=20).map(
    lambda text: text.replace("%", "%7e")
)
_bodies = st.one_of(
    st.binary(max_size=200),
    st.binary(min_size=1, max_size=64).map(lambda seed: seed * 3000),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=4).map(
        lambda value: json.dumps(value, indent=1).encode()
    ),
)
_pieces = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


@dataclass
class Exchange:
    """Both sides of one exchange, from both ends."""

    arrived: Received
    answer: Answer
    script: Script


def _exchange(
    simulator: Simulator,
    gateway: Daemon,
    method: str,
    path: str,
    script: Script,
    *,
    body: bytes | None = None,
    headers: Headers | None = None,
    query: str = "",
    chunks: list[int] | None = None,
) -> Exchange:
    """Send one request through; a header of its own makes it find its script."""
    mark = f"exchange-{next(_numbers)}-".encode()
    simulator.script(script, match=mark)
    sent = [*(headers or []), (b"X-Mark", mark)]
    target = f"{path}?{query}" if query else path
    answer = ask(gateway.port, method, target, body, sent, chunks=chunks)
    return Exchange(simulator.wait_for(mark), answer, script)


def _check_request(exchange: Exchange, target: str, body: bytes | None, headers: Headers) -> None:
    arrived = exchange.arrived
    assert arrived.target == target
    assert arrived.body == (body or b"")
    mark = arrived.value("x-mark")
    assert mark is not None
    sent = end_to_end([*headers, (b"X-Mark", mark.encode())], _NOT_THE_CLIENT_S)
    assert end_to_end(arrived.headers, _NOT_THE_CLIENT_S) == sent


def _check_answer(exchange: Exchange, body: bytes) -> None:
    answer, script = exchange.answer, exchange.script
    assert (answer.status, answer.reason) == (script.status, script.reason)
    assert answer.complete
    assert answer.body == body
    expected = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in script.headers]
    if script.encoding:
        expected.append((b"Content-Encoding", script.encoding.encode()))
    assert answer.end_to_end("content-length") == end_to_end(expected)
    if script.framing == "length":
        assert answer.values("content-length") == [str(len(body))]


@_BOUNDED
@given(
    route=st.sampled_from(INTERCEPTED),
    body=_bodies,
    headers=_header_lists,
    query=_queries,
    chunks=st.none() | st.lists(st.integers(1, 5000), min_size=1, max_size=3),
)
@example(route=INTERCEPTED[0], body=b"", headers=[], query="", chunks=None)
@example(
    route=INTERCEPTED[2],
    body=b'{"model": 7}',
    headers=[(b"x-dup", b"1"), (b"x-dup", b"2"), (b"x-dup", b""), (b"Cookie", b"a=b; c=d")],
    query="beta=true&q=%7e%2F%20+&q&&=",
    chunks=[1],
)
def test_any_request_arrives_as_it_was_sent(
    simulator: Simulator,
    gateway: Daemon,
    route: tuple[str, str],
    body: bytes,
    headers: Headers,
    query: str,
    chunks: list[int] | None,
) -> None:
    path, upstream = route
    exchange = _exchange(
        simulator,
        gateway,
        "POST",
        path,
        Script(body=b"{}", headers=[("Content-Type", "application/json")]),
        body=body,
        headers=headers,
        query=query,
        chunks=chunks,
    )
    _check_request(exchange, upstream + (f"?{query}" if query else ""), body, headers)
    _check_answer(exchange, b"{}")


@_BOUNDED
@given(
    route=st.sampled_from(PASSED),
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "PURGE"]),
    body=st.none() | _bodies,
    headers=_header_lists,
    query=_queries,
)
def test_what_is_passed_through_arrives_as_it_was_sent(
    simulator: Simulator,
    gateway: Daemon,
    route: tuple[str, str],
    method: str,
    body: bytes | None,
    headers: Headers,
    query: str,
) -> None:
    path, upstream = route
    exchange = _exchange(
        simulator,
        gateway,
        method,
        path,
        Script(body=[b"a", b"b"], framing="chunked"),
        body=body,
        headers=headers,
        query=query,
    )
    assert exchange.arrived.method == method
    _check_request(exchange, upstream + (f"?{query}" if query else ""), body, headers)
    _check_answer(exchange, b"ab")


@_BOUNDED
@given(
    route=st.sampled_from([*INTERCEPTED, PASSED[1]]),
    status=st.sampled_from([200, 201, 202, 203, 226, 300, 307, 400, 402, 418, 429, 500, 529, 599]),
    reason=st.text("abcdefgh ABC'!0123456789", max_size=20).map(str.strip),
    headers=_header_lists,
    kind=st.sampled_from(["application/json", "text/event-stream", "text/html", "", "broken; x"]),
    body=_pieces,
    framing=st.sampled_from(["length", "chunked", "close"]),
    encoding=st.sampled_from(["", *ENCODINGS]),
)
def test_any_answer_arrives_as_it_was_sent(
    simulator: Simulator,
    gateway: Daemon,
    route: tuple[str, str],
    status: int,
    reason: str,
    headers: Headers,
    kind: str,
    body: list[bytes],
    framing: Framing,
    encoding: str,
) -> None:
    listed = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    if kind:
        listed.append(("Content-Type", kind))
    script = Script(
        status=status,
        reason=reason,
        headers=listed,
        body=body,
        framing=framing,
        encoding=encoding,
    )
    exchange = _exchange(simulator, gateway, "POST", route[0], script, body=b"{}")
    _check_answer(exchange, b"".join(script.pieces()))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("features", ["think+tools-2+cached", "words-60"])
def test_encoded_answers_cross_untouched_and_are_read(
    simulator: Simulator,
    gateway: Daemon,
    encoding: str,
    framing: Framing,
    features: str,
) -> None:
    number = next(_numbers)
    body = json.dumps(
        {
            "model": f"sim-{features}+e{number}{encoding}{framing}",
            "stream": True,
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}],
        }
    ).encode()
    plain = ask(simulator.port, "POST", "/v1/messages", body).body
    pieces = [plain[start : start + 97] for start in range(0, len(plain), 97)]
    script = Script(
        headers=[("Content-Type", "text/event-stream")],
        body=pieces,
        framing=framing,
        encoding=encoding,
    )
    offered = [(b"Accept-Encoding", b"gzip, deflate, br, zstd")]
    exchange = _exchange(
        simulator, gateway, "POST", "/anthropic/v1/messages", script, body=body, headers=offered
    )
    _check_answer(exchange, b"".join(script.pieces()))
    assert decompress(encoding, exchange.answer.body) == plain
    found = gateway.only(json.loads(body)["model"])
    assert found.status == "completed"
    assert len(found.token_usages) == 1
    assert len(found.tool_usages) == (2 if "tools" in features else 0)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", [path for path, _ in INTERCEPTED])
def test_compressed_requests_arrive_compressed_and_are_read(
    simulator: Simulator, gateway: Daemon, encoding: str, path: str
) -> None:
    model = f"sim-text+z{next(_numbers)}{encoding}"
    question = [{"role": "user", "content": "squeezed"}]
    plain = json.dumps({"model": model, "messages": question, "input": question}).encode()
    body = compress(encoding, plain)
    headers = [(b"Content-Encoding", encoding.encode()), (b"Content-Type", b"application/json")]
    sent = [*headers, (b"X-Mark", model.encode())]
    assert ask(gateway.port, "POST", path, body, sent).status == 200
    arrived = simulator.wait_for(model.encode())
    assert arrived.body == body
    assert arrived.values("content-encoding") == [encoding]
    (prompt,) = gateway.only(model).prompts
    assert prompt["prompt"] == "squeezed"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"M","stream":true,"messages":[]}',
        b'  {\n "messages" : [ ] , "stream":true, "model" : "M", "x":1e300, "y":1.00, "z":"\\u00e9"}\n',
        b'{"stream_options":{"include_usage":false,"other":1},"model":"M","stream":true}',
        b'{"stream_options":{},"model":"M","stream":true}',
        b'{"stream_options":null,"model":"M","stream":true}',
    ],
    ids=["absent", "odd spacing", "false", "empty", "null"],
)
def test_asking_for_usage_is_the_only_edit(
    simulator: Simulator, gateway: Daemon, body: bytes
) -> None:
    model = f"sim-words-3+edit{next(_numbers)}e".encode()
    sent = body.replace(b'"M"', b'"' + model + b'"')
    answer = ask(gateway.port, "POST", "/openai/v1/chat/completions", sent)
    assert b"prompt_tokens" not in answer.body
    assert b'"usage"' not in answer.body
    arrived = simulator.wait_for(model)
    assert arrived.json()["stream_options"]["include_usage"] is True
    assert _common_ends(sent, arrived.body) >= len(sent) - len(b'"stream_options":null')
    assert gateway.only(model.decode()).token_usages


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("encoding", ["", *ENCODINGS])
def test_the_edit_fits_every_framing_and_coding(
    simulator: Simulator, gateway: Daemon, framing: Framing, encoding: str
) -> None:
    model = f"sim-words-9+fit{next(_numbers)}f"
    fields = {"model": model, "stream": True, "messages": []}
    direct = ask(simulator.port, "POST", "/v1/chat/completions", json.dumps(fields).encode())
    asked = json.dumps(fields | {"stream_options": {"include_usage": True}}).encode()
    whole = ask(simulator.port, "POST", "/v1/chat/completions", asked).body
    script = Script(
        headers=[("Content-Type", "text/event-stream")],
        body=[whole[start : start + 50] for start in range(0, len(whole), 50)],
        framing=framing,
        encoding=encoding,
    )
    simulator.script(script, match=model.encode())
    sent = compress(encoding, json.dumps(fields).encode())
    coding = [(b"Content-Encoding", encoding.encode())] if encoding else []
    headers = [*coding, (b"X-Mark", model.encode()), (b"Accept-Encoding", b"gzip, br")]
    answer = ask(gateway.port, "POST", "/openai/v1/chat/completions", sent, headers)
    assert answer.complete
    assert answer.body == direct.body
    arrived = simulator.wait_for(model.encode(), count=3)
    assert json.loads(arrived.plain_body())["stream_options"] == {"include_usage": True}
    assert arrived.values("content-length") == [str(len(arrived.body))]
    (usage,) = gateway.only(model).token_usages
    assert usage["output_tokens"] > 0


def _common_ends(one: bytes, other: bytes) -> int:
    """How many bytes the two share at their beginnings and ends together."""
    limit = min(len(one), len(other))
    front = next((i for i in range(limit) if one[i] != other[i]), limit)
    back = next((i for i in range(limit - front) if one[-1 - i] != other[-1 - i]), limit - front)
    return front + back


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"M","stream":true,"stream_options":{"include_usage":true},"messages":[]}',
        b'{"model":"M","stream":false,"messages":[]}',
        b'{"model":"M","stream":"true","messages":[]}',
        b'{"model":"M","messages":[],"n":2}',
        b'[{"model":"M"}]',
        b'{"model":"M","stream":true,"messages":[}',
    ],
)
def test_nothing_else_is_edited(simulator: Simulator, gateway: Daemon, body: bytes) -> None:
    model = f"sim-words-3+same{next(_numbers)}e".encode()
    sent = body.replace(b'"M"', b'"' + model + b'"')
    direct = ask(simulator.port, "POST", "/v1/chat/completions", sent)
    answer = ask(gateway.port, "POST", "/openai/v1/chat/completions", sent)
    assert simulator.wait_for(model, count=2).body == sent
    assert (answer.status, answer.body) == (direct.status, direct.body)


def test_the_case_of_header_names_survives(simulator: Simulator, gateway: Daemon) -> None:
    # HTTP does not care; some providers and their proxies do.
    sent: Headers = [(b"x-lower", b"1"), (b"X-UPPER", b"2"), (b"X-mIxEd_under!", b"3")]
    script = Script(headers=[("x-lOwEr", "1"), ("ANTHROPIC-odd", "2")], body=b"{}")
    exchange = _exchange(
        simulator, gateway, "POST", "/anthropic/v1/messages", script, body=b"{}", headers=sent
    )
    assert [pair for pair in exchange.arrived.headers if pair in sent] == sent
    names = [name for name, _ in exchange.answer.headers]
    assert b"x-lOwEr" in names
    assert b"ANTHROPIC-odd" in names


def test_repeated_headers_in_different_case(simulator: Simulator, gateway: Daemon) -> None:
    sent: Headers = [(b"x-dup", b"1"), (b"X-Dup", b"2"), (b"X-DUP", b"3")]
    script = Script(headers=[("x-dup", "1"), ("X-Dup", "2"), ("X-DUP", "3")], body=b"{}")
    exchange = _exchange(
        simulator, gateway, "POST", "/openai/v1/responses", script, body=b"{}", headers=sent
    )
    assert exchange.arrived.values("x-dup") == ["1", "2", "3"]
    assert exchange.answer.values("x-dup") == ["1", "2", "3"]


@pytest.mark.xfail(reason="aiohttp writes headers as UTF-8 and drops what is not", strict=True)
def test_header_bytes_that_are_not_utf8(simulator: Simulator, gateway: Daemon) -> None:
    script = Script(headers=[("X-Latin", "caf\xe9")], body=b"{}")
    exchange = _exchange(
        simulator,
        gateway,
        "POST",
        "/openai/v1/responses",
        script,
        body=b"{}",
        headers=[(b"X-Latin", b"caf\xe9")],
    )
    assert exchange.arrived.values("x-latin") == ["caf\xe9"]
    assert exchange.answer.values("x-latin") == ["caf\xe9"]


def test_headers_of_the_connection_stay_on_it(simulator: Simulator, gateway: Daemon) -> None:
    sent: Headers = [
        (b"Connection", b"keep-alive, X-Private"),
        (b"X-Private", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Authorization", b"Basic Zm9v"),
        (b"TE", b"trailers"),
        (b"Upgrade", b"h2c"),
        (b"X-Kept", b"1"),
    ]
    script = Script(
        headers=[("Connection", "X-Secret"), ("X-Secret", "1"), ("Keep-Alive", "5"), ("X-Ok", "1")],
        body=b"{}",
    )
    exchange = _exchange(
        simulator, gateway, "POST", "/openai/v1/responses", script, body=b"{}", headers=sent
    )
    arrived = {name.lower() for name, _ in exchange.arrived.headers}
    assert b"x-kept" in arrived
    assert not arrived & {b"x-private", b"keep-alive", b"proxy-authorization", b"te", b"upgrade"}
    answered = {name.lower() for name, _ in exchange.answer.headers}
    assert b"x-ok" in answered
    assert not answered & {b"x-secret", b"keep-alive"}


def test_nothing_is_added_to_requests_and_answers(simulator: Simulator, gateway: Daemon) -> None:
    exchange = _exchange(
        simulator, gateway, "POST", "/openai/v1/responses", Script(body=b"{}"), body=b"{}"
    )
    added = {name.lower() for name, _ in exchange.arrived.headers}
    assert added <= {b"host", b"content-length", b"x-mark", b"connection"}
    assert exchange.arrived.values("host") == [f"127.0.0.1:{simulator.port}"]
    answered = {name.lower() for name, _ in exchange.answer.headers}
    assert answered <= {b"content-length", b"connection"}


@pytest.mark.parametrize("path", [INTERCEPTED[0][0], PASSED[0][0]])
def test_long_headers_cross(simulator: Simulator, gateway: Daemon, path: str) -> None:
    long = b"v" * 60_000
    script = Script(headers=[("X-Long", "w" * 60_000)], body=b"{}")
    exchange = _exchange(
        simulator, gateway, "POST", path, script, body=b"{}", headers=[(b"X-Long", long)]
    )
    assert exchange.arrived.values("x-long") == [long.decode()]
    assert exchange.answer.values("x-long") == ["w" * 60_000]


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("path", [INTERCEPTED[1][0], PASSED[1][0]])
def test_answers_without_a_body(
    simulator: Simulator, gateway: Daemon, status: int, path: str
) -> None:
    script = Script(status=status, reason="None", headers=[("ETag", '"a"')], framing="none")
    with Connection(gateway.port) as connection:
        for _ in range(2):
            mark = f"bodiless-{next(_numbers)}-".encode()
            simulator.script(script, match=mark)
            connection.send("POST", path, b"{}", [(b"X-Mark", mark)])
            answer = connection.receive()
            assert (answer.status, answer.reason) == (status, "None")
            assert answer.values("etag") == ['"a"']


def test_interim_answers_and_trailers_do_no_harm(simulator: Simulator, gateway: Daemon) -> None:
    script = Script(
        interim=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        headers=[("Content-Type", "text/event-stream"), ("Trailer", "X-Sum")],
        body=[b"data: 1\n\n", b"data: 2\n\n"],
        framing="chunked",
        trailers=[("X-Sum", "1")],
    )
    exchange = _exchange(simulator, gateway, "POST", "/openai/v1/responses", script, body=b"{}")
    assert exchange.answer.body == b"data: 1\n\ndata: 2\n\n"
    assert exchange.answer.complete


def test_an_old_provider_without_framing(simulator: Simulator, gateway: Daemon) -> None:
    script = Script(version="HTTP/1.0", body=b'{"id": 1}', framing="close")
    exchange = _exchange(simulator, gateway, "POST", "/openai/v1/responses", script, body=b"{}")
    _check_answer(exchange, b'{"id": 1}')


def test_large_bodies_both_ways(simulator: Simulator, gateway: Daemon) -> None:
    filler = "x" * 3_000_000
    asked: dict[str, Any] = {"model": f"sim-size-5000000+big{next(_numbers)}", "messages": filler}
    body = json.dumps(asked).encode()
    direct = ask(simulator.port, "POST", "/v1/messages", body)
    answer = ask(gateway.port, "POST", "/anthropic/v1/messages", body)
    assert simulator.wait_for(asked["model"].encode(), count=2).body == body
    assert answer.body == direct.body
