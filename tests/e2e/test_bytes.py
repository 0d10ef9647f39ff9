"""Byte equality: what one side sends is what the other gets, but for the credential's rules.

Generated exchanges over raw sockets. Framing belongs to each connection: bodies are compared after
chunk framing is taken off, and of the framing headers only `Content-Length` has to survive.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.e2e.exchanges import INTERCEPTED, PASSED, check_answer, check_request, exchange, numbers
from tests.e2e.raw import Headers, ask
from tests.simulator import Script, Simulator
from tests.simulator.encodings import ENCODINGS, compress, decompress

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator.script import Framing

_BOUNDED = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

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
    crossed = exchange(
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
    check_request(crossed, upstream + (f"?{query}" if query else ""), body, headers)
    check_answer(crossed, b"{}")


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
    crossed = exchange(
        simulator,
        gateway,
        method,
        path,
        Script(body=[b"a", b"b"], framing="chunked"),
        body=body,
        headers=headers,
        query=query,
    )
    assert crossed.arrived.method == method
    check_request(crossed, upstream + (f"?{query}" if query else ""), body, headers)
    check_answer(crossed, b"ab")


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
    crossed = exchange(simulator, gateway, "POST", route[0], script, body=b"{}")
    check_answer(crossed, b"".join(script.pieces()))


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
    number = next(numbers)
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
    crossed = exchange(
        simulator, gateway, "POST", "/anthropic/v1/messages", script, body=body, headers=offered
    )
    check_answer(crossed, b"".join(script.pieces()))
    assert decompress(encoding, crossed.answer.body) == plain
    found = gateway.only(json.loads(body)["model"])
    assert found.status == "completed"
    assert len(found.token_usages) == 1
    assert len(found.tool_usages) == (2 if "tools" in features else 0)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", [path for path, _ in INTERCEPTED])
def test_compressed_requests_arrive_compressed_and_are_read(
    simulator: Simulator, gateway: Daemon, encoding: str, path: str
) -> None:
    model = f"sim-text+z{next(numbers)}{encoding}"
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


def test_large_bodies_both_ways(simulator: Simulator, gateway: Daemon) -> None:
    filler = "x" * 3_000_000
    asked: dict[str, Any] = {"model": f"sim-size-5000000+big{next(numbers)}", "messages": filler}
    body = json.dumps(asked).encode()
    direct = ask(simulator.port, "POST", "/v1/messages", body)
    answer = ask(gateway.port, "POST", "/anthropic/v1/messages", body)
    assert simulator.wait_for(asked["model"].encode(), count=2).body == body
    assert answer.body == direct.body
