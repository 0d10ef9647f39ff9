"""The one edit of a body: asking for a chat stream's usage, and keeping it from the client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.exchanges import numbers
from tests.e2e.raw import ask
from tests.simulator import Script, Simulator
from tests.simulator.encodings import ENCODINGS, compress

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator.script import Framing


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
    model = f"sim-words-3+edit{next(numbers)}e".encode()
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
    model = f"sim-words-9+fit{next(numbers)}f"
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
    model = f"sim-words-3+same{next(numbers)}e".encode()
    sent = body.replace(b'"M"', b'"' + model + b'"')
    direct = ask(simulator.port, "POST", "/v1/chat/completions", sent)
    answer = ask(gateway.port, "POST", "/openai/v1/chat/completions", sent)
    assert simulator.wait_for(model, count=2).body == sent
    assert (answer.status, answer.body) == (direct.status, direct.body)
