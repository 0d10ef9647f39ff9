"""HAR 1.2 documents: an exchange with a provider as browsers' developer tools import it.

One entry an attempt, in the order they were made. Names that begin with `_` are ours, as the format
allows. Source: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from aigw import __version__
from aigw.records import rfc3339
from aigw.telemetry.har_body import Body, MakeDecoder, show
from aigw.telemetry.har_masks import Masking

_Headers: TypeAlias = list[tuple[str, str]]

_UNKNOWN = -1
_UNKNOWN_TYPE = "x-unknown"
"""What Chrome writes for an answer without a type."""

_ENCODED_AT_ONCE = 256 * 1024
"""Characters made JSON in one go, a millisecond in which no other Python code runs: documents are
made beside a loop that relays."""

_HTTP_VERSION = "HTTP/1.1"
NO_ANSWER = "no answer: the exchange ended before one came"


@dataclass(slots=True)
class Attempt:
    """One request to the provider and what came of it. Its repr would show credentials: it has none.

    Attributes:
        started_at: microseconds since the epoch.
        wait, receive: milliseconds until the answer's head, and from there to its end.
        status: 0 while there is no answer.
        error: why the answer did not come, or not to its end.
    """

    started_at: int
    method: str
    url: str
    headers: _Headers = field(repr=False)
    body: Body = field(default_factory=Body, repr=False)
    status: int = 0
    reason: str = ""
    response_headers: _Headers = field(default_factory=list, repr=False)
    response_body: Body = field(default_factory=Body, repr=False)
    wait: float = 0.0
    receive: float = 0.0
    error: str = ""

    def __repr__(self) -> str:
        return f"Attempt({self.method}, {self.status})"


@dataclass(frozen=True, slots=True)
class About:
    """What an exchange belongs to. A request that was only passed through has no interception.

    `own_headers` are the names of the headers that the operator has set for the provider.
    """

    provider: str
    model: str
    interception_id: str | None
    own_headers: frozenset[str] = frozenset()


def document(attempts: Sequence[Attempt], about: About, make_decoder: MakeDecoder) -> bytes:
    """The HAR document as UTF-8 JSON, credentials masked."""
    masking = Masking(about.own_headers)
    for attempt in attempts:
        masking.learn(attempt.url, attempt.headers)
    entries = [
        _entry(attempt, about, f"{number} of {len(attempts)}", number, masking, make_decoder)
        for number, attempt in enumerate(attempts, 1)
    ]
    log = {
        "version": "1.2",
        "creator": {"name": "aigw", "version": __version__},
        "entries": entries,
        "comment": "Credentials are masked. Prompts and answers are not.",
    }
    return msgspec.json.encode({"log": log})


def _entry(
    attempt: Attempt,
    about: About,
    position: str,
    number: int,
    masking: Masking,
    make_decoder: MakeDecoder,
) -> dict[str, Any]:
    entry = {
        "startedDateTime": rfc3339(attempt.started_at)[: -len("000Z")] + "Z",
        "time": round(attempt.wait + attempt.receive, 3),
        "request": _request(attempt, masking, make_decoder),
        "response": _response(attempt, masking, make_decoder),
        "cache": {},
        "timings": {
            "send": 0,
            "wait": round(attempt.wait, 3),
            "receive": round(attempt.receive, 3),
        },
        # Chrome sorts what it imports into its filters by this.
        "_resourceType": "fetch",
        "_provider": _clean(about.provider),
        "_model": _clean(masking.text(about.model)),
        "_attempt": number,
        "comment": f"{_clean(about.provider)}, attempt {position}",
    }
    if about.interception_id is not None:
        entry["_interception_id"] = _clean(about.interception_id)
    return entry


def _request(attempt: Attempt, masking: Masking, make_decoder: MakeDecoder) -> dict[str, Any]:
    url = _clean(masking.url(attempt.url))
    request = {
        "method": _clean(attempt.method),
        "url": url,
        "httpVersion": _HTTP_VERSION,
        "cookies": [],
        "headers": _pairs(masking.request_headers(attempt.headers)),
        "queryString": _pairs(_query(url)),
        "headersSize": _UNKNOWN,
        "bodySize": attempt.body.size,
    }
    if attempt.body.size:
        request["postData"] = _post_data(attempt, masking, make_decoder)
    return request


def _post_data(attempt: Attempt, masking: Masking, make_decoder: MakeDecoder) -> dict[str, Any]:
    content_type = _value(attempt.headers, "content-type")
    encoding = _value(attempt.headers, "content-encoding")
    shown = show(attempt.body, content_type, encoding, masking, make_decoder)
    data: dict[str, Any] = {"mimeType": _clean(content_type), "text": _json(shown.text)}
    notes = [shown.comment] if shown.comment else []
    if shown.is_base64:
        # HAR 1.2 has a field for it in answers only; this is the one that HAR 1.3 proposes.
        data["_encoding"] = "base64"
        notes.append("text is base64")
    if notes:
        data["comment"] = "; ".join(notes)
    return data


def _response(attempt: Attempt, masking: Masking, make_decoder: MakeDecoder) -> dict[str, Any]:
    answered = attempt.status != 0
    headers = masking.response_headers(attempt.response_headers)
    response = {
        "status": attempt.status,
        "statusText": _clean(masking.text(attempt.reason)),
        "httpVersion": _HTTP_VERSION if answered else "",
        "cookies": [],
        "headers": _pairs(headers),
        "content": _content(attempt, masking, make_decoder),
        "redirectURL": _clean(_value(headers, "location")),
        "headersSize": _UNKNOWN,
        "bodySize": attempt.response_body.size if answered else _UNKNOWN,
    }
    error = attempt.error or ("" if answered else NO_ANSWER)
    if error:
        # Where Chrome puts its own errors.
        response["_error"] = _clean(masking.text(error))
    return response


def _content(attempt: Attempt, masking: Masking, make_decoder: MakeDecoder) -> dict[str, Any]:
    body = attempt.response_body
    content_type = _value(attempt.response_headers, "content-type")
    content: dict[str, Any] = {"size": body.size, "mimeType": _clean(content_type) or _UNKNOWN_TYPE}
    if not body.size:
        return content
    encoding = _value(attempt.response_headers, "content-encoding")
    shown = show(body, content_type, encoding, masking, make_decoder)
    content["text"] = _json(shown.text)
    if shown.is_base64:
        content["encoding"] = "base64"
    if shown.size is not None:
        content["size"] = shown.size
        if encoding:
            content["compression"] = shown.size - body.size
    if shown.comment:
        content["comment"] = shown.comment
    return content


def _json(text: str) -> str | msgspec.Raw:
    """A text for the encoder; a long one is encoded already."""
    if len(text) <= _ENCODED_AT_ONCE:
        return text
    starts = range(0, len(text), _ENCODED_AT_ONCE)
    pieces = (msgspec.json.encode(text[at : at + _ENCODED_AT_ONCE])[1:-1] for at in starts)
    return msgspec.Raw(b'"' + b"".join(pieces) + b'"')


def _query(url: str) -> _Headers:
    query = url.partition("?")[2]
    return parse_qsl(query, keep_blank_values=True, errors="replace")


def _pairs(pairs: _Headers) -> list[dict[str, str]]:
    return [{"name": _clean(name), "value": _clean(value)} for name, value in pairs]


def _value(headers: _Headers, name: str) -> str:
    return next((value for found, value in headers if found.lower() == name), "")


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: bytes that are not came in as lone surrogates."""
    return text.encode("utf-8", "replace").decode()
