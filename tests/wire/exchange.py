"""The text format of recorded exchanges, shared by the tests of the wire readers.

Free text, then sections that a line `-- name` begins: `api`, `request`, `request facts`,
`answer STATUS [CONTENT-TYPE]`, `answer facts`. Facts are JSON without the fields at their default.

The lines of an answer of AWS's event stream are its frames: `chunk JSON`, `event NAME JSON`,
`exception NAME JSON`, `error CODE MESSAGE`, `broken` (a wrong checksum), and `cut` (half a frame).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aigw.wire.apis import Api, response_reader
from tests.simulator import eventstream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aigw.wire.facts import ResponseFact


class Exchange(NamedTuple):
    name: str
    api: Api
    request: bytes
    request_facts: dict[str, Any]
    status: int
    content_type: str
    answer: bytes
    answer_facts: dict[str, Any]


def load(path: Path) -> Exchange:
    parts = ("\n" + path.read_text(encoding="utf-8")).split("\n-- ")[1:]
    sections = {name: rest for name, _, rest in (part.partition("\n") for part in parts)}
    api = next(name for name in sections if name.startswith("api "))
    answer = next(name for name in sections if name.startswith("answer ") and "facts" not in name)
    status, _, content_type = answer.removeprefix("answer ").partition(" ")
    text = sections[answer]
    framed = content_type == eventstream.CONTENT_TYPE
    return Exchange(
        path.stem,
        Api(api.removeprefix("api ")),
        sections["request"].encode(),
        json.loads(sections["request facts"]),
        int(status),
        content_type,
        b"".join(map(frame, text.splitlines())) if framed else (text + "\n").encode(),
        json.loads(sections["answer facts"]),
    )


def frame(line: str) -> bytes:
    """The frame that a line of an exchange stands for."""
    kind, _, rest = line.partition(" ")
    if kind == "chunk":
        return eventstream.chunk(rest.encode())
    if kind == "broken":
        return eventstream.frame("chunk", b"{}")[:-1] + b"?"
    if kind == "cut":
        return eventstream.frame("chunk", b"{}")[:20]
    name, _, payload = rest.partition(" ")
    if kind == "error":
        headers = {":message-type": kind, ":error-code": name, ":error-message": payload}
        return eventstream.message(headers, b"")
    return eventstream.frame(name, payload.encode(), message_type=kind)


EXCHANGES = [load(path) for path in sorted((Path(__file__).parent / "exchanges").iterdir())]


def stated(value: msgspec.Struct) -> dict[str, Any]:
    """A struct as JSON, without the fields at their default."""
    fields = msgspec.structs.fields(type(value))
    found = {field.name: getattr(value, field.name) for field in fields}
    plain = {
        field.name: [stated(item) for item in found[field.name]]
        if isinstance(found[field.name], list)
        else found[field.name]
        for field in fields
        if found[field.name] not in (field.default, [], {}, None)
    }
    return dict(json.loads(msgspec.json.encode(plain)))


def read_answer(
    api: Api, pieces: Iterable[bytes], status: int = 200, content_type: str = "text/event-stream"
) -> dict[str, Any]:
    """All that a reader says of an answer, as the `answer facts` of an exchange."""
    reader = response_reader(api, status, content_type)
    facts: list[ResponseFact] = []
    for piece in pieces:
        facts += reader.feed(piece)
    ended = reader.ended
    facts += reader.finish()
    assert reader.finish() == []
    outcome = reader.outcome()
    return {
        "response_id": reader.response_id,
        "ended": ended,
        "outcome": None if outcome is None else stated(outcome),
        "facts": [{type(fact).__name__: stated(fact)} for fact in facts],
    }


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces, cut at these places (some may be empty)."""
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]
