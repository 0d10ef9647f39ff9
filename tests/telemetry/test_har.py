"""HAR documents: their format, what they hold of bodies, and that no credential is in them."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError

from aigw.telemetry import har_body
from aigw.telemetry.har import NO_ANSWER, About, Attempt, document
from aigw.telemetry.har_body import Body
from aigw.wire.content_coding import decoder
from tests.simulator.eventstream import CONTENT_TYPE, chunk
from tests.telemetry.har import entries_of

NOON = 1_767_355_445_006_789
KEY = "sk-canary-5f1e9d7b33a04c55"
ABOUT = About("openai", "gpt-5", "0190-id")


def body(data: bytes, *, size: int | None = None) -> Body:
    return Body([data], len(data) if size is None else size, is_cut=size is not None)


def attempt(
    *,
    url: str = "https://api.openai.com/v1/chat/completions",
    headers: list[tuple[str, str]] | None = None,
    sent: bytes = b'{"model":"gpt-5"}',
    answer: Body | None = None,
    answer_headers: list[tuple[str, str]] | None = None,
    **other: Any,
) -> Attempt:
    fields = {"status": 200, "reason": "OK", "wait": 12.3456, "receive": 1.5} | other
    return Attempt(
        NOON,
        "POST",
        url,
        headers or [("Content-Type", "application/json"), ("Authorization", f"Bearer {KEY}")],
        body(sent) if sent else Body(),
        response_headers=answer_headers or [("Content-Type", "application/json")],
        response_body=answer or body(b'{"id":"x"}'),
        **fields,
    )


def write(*attempts: Attempt, about: About = ABOUT) -> list[dict[str, Any]]:
    return entries_of(document(attempts, about, decoder))


def text_of(content: dict[str, Any]) -> bytes:
    text: str = content["text"]
    if content.get("encoding", content.get("_encoding")) == "base64":
        return base64.b64decode(text, validate=True)
    return text.encode()


def test_an_exchange() -> None:
    [entry] = write(attempt(url="https://api.openai.com/v1/chat?beta=true&x=a%20b&empty="))
    assert entry == {
        "startedDateTime": "2026-01-02T12:04:05.006Z",
        "time": 13.846,
        "request": {
            "method": "POST",
            "url": "https://api.openai.com/v1/chat?beta=true&x=a%20b&empty=",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [
                {"name": "Content-Type", "value": "application/json"},
                {"name": "Authorization", "value": "Bearer sk-c...4c55"},
            ],
            "queryString": [
                {"name": "beta", "value": "true"},
                {"name": "x", "value": "a b"},
                {"name": "empty", "value": ""},
            ],
            "headersSize": -1,
            "bodySize": 17,
            "postData": {"mimeType": "application/json", "text": '{"model":"gpt-5"}'},
        },
        "response": {
            "status": 200,
            "statusText": "OK",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "content": {"size": 10, "mimeType": "application/json", "text": '{"id":"x"}'},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": 10,
        },
        "cache": {},
        "timings": {"send": 0, "wait": 12.346, "receive": 1.5},
        "_resourceType": "fetch",
        "_provider": "openai",
        "_model": "gpt-5",
        "_attempt": 1,
        "_interception_id": "0190-id",
        "comment": "openai, attempt 1 of 1",
    }


def test_attempts_are_kept_apart_and_in_order() -> None:
    limited = attempt(status=429, reason="Too Many Requests", answer=body(b'{"error":"slow"}'))
    broken = attempt(status=0, reason="", error="api.openai.com cannot be reached", answer=Body())
    broken.response_headers = []
    entries = write(limited, broken, attempt())
    assert [entry["_attempt"] for entry in entries] == [1, 2, 3]
    assert [entry["response"]["status"] for entry in entries] == [429, 0, 200]
    assert [entry["comment"] for entry in entries][1] == "openai, attempt 2 of 3"
    assert entries[0]["response"]["content"]["text"] == '{"error":"slow"}'


def test_a_transport_error() -> None:
    [entry] = write(attempt(status=0, reason="", error="no route to host", answer=Body()))
    assert entry["response"]["status"] == 0
    assert entry["response"]["_error"] == "no route to host"
    assert entry["response"]["content"]["size"] == 0
    assert entry["response"]["bodySize"] == -1


def test_no_answer_says_so() -> None:
    [entry] = write(attempt(status=0, answer=Body()))
    assert entry["response"]["_error"] == NO_ANSWER


def test_an_answer_that_broke_off_keeps_what_came() -> None:
    [entry] = write(attempt(error="the provider closed the connection"))
    assert entry["response"]["status"] == 200
    assert entry["response"]["content"]["text"] == '{"id":"x"}'
    assert entry["response"]["_error"] == "the provider closed the connection"


def test_what_was_passed_through_has_no_interception() -> None:
    [entry] = write(attempt(sent=b""), about=About("openai", "", None))
    assert "_interception_id" not in entry
    assert "postData" not in entry["request"]


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)],
)
def test_compressed_bodies_are_shown_as_text(coding: str, compress: Any) -> None:
    plain = b'{"text":"' + b"many words " * 100 + b'"}'
    packed = compress(plain)
    headers = [("Content-Type", "application/json"), ("Content-Encoding", coding)]
    [entry] = write(
        attempt(headers=headers, sent=packed, answer_headers=headers, answer=body(packed))
    )
    content = entry["response"]["content"]
    assert text_of(content) == plain
    assert content["size"] == len(plain)
    assert content["compression"] == len(plain) - len(packed)
    assert entry["response"]["bodySize"] == len(packed)
    assert text_of(entry["request"]["postData"]) == plain
    assert entry["request"]["bodySize"] == len(packed)


def test_an_unknown_coding_is_left_as_it_is() -> None:
    headers = [("Content-Type", "text/plain"), ("Content-Encoding", "pied-piper")]
    [entry] = write(attempt(answer_headers=headers, answer=body(b"\x01\x02")))
    content = entry["response"]["content"]
    assert content["encoding"] == "base64"
    assert text_of(content) == b"\x01\x02"
    assert "still compressed" in content["comment"]
    assert "pied-piper" in content["comment"]


def test_a_corrupt_body_is_left_as_it_is() -> None:
    [entry] = write(
        attempt(answer_headers=[("Content-Encoding", "gzip")], answer=body(b"not gzip at all"))
    )
    assert text_of(entry["response"]["content"]) == b"not gzip at all"
    assert "corrupt" in entry["response"]["content"]["comment"]


def test_a_compressed_body_that_broke_off_shows_what_came() -> None:
    packed = gzip.compress(bytes(range(32, 127)) * 50)[:-20]
    [entry] = write(attempt(answer_headers=[("Content-Encoding", "gzip")], answer=body(packed)))
    content = entry["response"]["content"]
    assert content["text"].startswith(" !\"#$%&'()*+,-./0123")
    assert "cut off" in content["comment"]


def test_a_bomb_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(har_body, "TEXT_LIMIT", 1000)
    packed = gzip.compress(b"a" * 10_000_000)
    [entry] = write(attempt(answer_headers=[("Content-Encoding", "gzip")], answer=body(packed)))
    content = entry["response"]["content"]
    assert content["text"] == "a" * 1000
    assert "truncated" in content["comment"]


def test_an_event_stream_of_aws_is_base64() -> None:
    frame = chunk(b"{}")
    [entry] = write(attempt(answer_headers=[("Content-Type", CONTENT_TYPE)], answer=body(frame)))
    assert entry["response"]["content"]["encoding"] == "base64"
    assert entry["response"]["content"]["mimeType"] == CONTENT_TYPE
    assert text_of(entry["response"]["content"]) == frame


def test_binary_bodies_are_base64_both_ways() -> None:
    data = bytes(range(256))
    [entry] = write(attempt(sent=data, answer=body(data)))
    assert text_of(entry["response"]["content"]) == data
    assert text_of(entry["request"]["postData"]) == data
    assert "base64" in entry["request"]["postData"]["comment"]


def test_a_cut_body_says_so_and_is_cut_between_characters() -> None:
    data = "é".encode() * 10
    [entry] = write(attempt(answer=body(data[:9], size=5000)))
    content = entry["response"]["content"]
    assert content["text"] == "é" * 4
    assert content["size"] == 5000
    assert content["comment"] == "truncated: the first 9 of 5000 bytes are kept"
    assert entry["response"]["bodySize"] == 5000


def test_a_long_text_is_the_same_text() -> None:
    plain = 'He said "\u00e9\U0001f600" \\ \n\t\x01\u2028' * 60_000
    [entry] = write(attempt(sent=plain.encode(), answer=body(plain.encode())))
    assert entry["request"]["postData"]["text"] == plain
    assert entry["response"]["content"]["text"] == plain


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "br", "zstd", "x"]), st.booleans())
def test_any_body_makes_a_document(data: bytes, coding: str, is_cut: bool) -> None:
    answer = Body([data[:100], data[100:]], len(data), is_cut=is_cut)
    headers = [("Content-Type", "text/plain"), ("Content-Encoding", coding)]
    [entry] = write(attempt(answer=answer, answer_headers=headers))
    if data and not coding and not is_cut:
        assert text_of(entry["response"]["content"]) == data


def test_text_that_is_not_unicode_makes_a_document() -> None:
    odd = "caf\udce9 \ud800"
    [entry] = write(
        attempt(
            headers=[("X-Odd", odd), ("X-Api-Key", odd)], url="https://h/a?b=\udce9", reason=odd
        ),
        about=About("openai", odd, "id"),
    )
    assert entry["request"]["headers"][0]["value"] == "caf? ?"


# Credentials


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", f"Bearer {KEY}", "Bearer sk-c...4c55"),
        ("authorization", f"bearer   {KEY}", "bearer sk-c...4c55"),
        ("Authorization", KEY, "sk-c...4c55"),
        ("Authorization", f"Odd {KEY}", "Odd ...4c55"),
        ("Authorization", "Basic dXNlcjpwYXNzd29yZC1sb25n", "Basic ..."),
        ("Proxy-Authorization", f"Bearer {KEY}", "Bearer sk-c...4c55"),
        ("X-Api-Key", KEY, "sk-c...4c55"),
        ("x-API-key", f" {KEY} ", "sk-c...4c55"),
        ("Api-Key", KEY, "sk-c...4c55"),
        ("X-Goog-Api-Key", KEY, "sk-c...4c55"),
        ("X-Auth-Token", KEY, "sk-c...4c55"),
        ("Cookie", f"a=b; session={KEY}", "a=b;...4c55"),
        ("X-Amz-Security-Token", KEY, "sk-c...4c55"),
        ("X-Coder-AI-Governance-Token", KEY, "sk-c...4c55"),
        ("Coder-Session-Token", KEY, "sk-c...4c55"),
        ("CF-Access-Client-Secret", KEY, "sk-c...4c55"),
        ("Ocp-Apim-Subscription-Key", KEY, "sk-c...4c55"),
        ("x_api_key", KEY, "sk-c...4c55"),
        ("X-Whatever", f"aigw_0123456789_{KEY}", "aigw...4c55"),
        ("X-Api-Key", "abc", "..."),
    ],
)
def test_request_headers_are_masked(name: str, value: str, shown: str) -> None:
    made = document([attempt(headers=[(name, value)])], ABOUT, decoder)
    assert KEY not in made.decode()
    [entry] = entries_of(made)
    assert entry["request"]["headers"] == [{"name": name, "value": shown}]


def test_an_aws_signature_is_masked() -> None:
    value = (
        "AWS4-HMAC-SHA256 Credential=AKIACANARYCANARY1234/20260102/us-east-1/bedrock/aws4_request,"
        " SignedHeaders=host;x-amz-date, Signature=" + "0123456789abcdef" * 4
    )
    [entry] = write(attempt(headers=[("Authorization", value)]))
    assert entry["request"]["headers"][0]["value"] == (
        "AWS4-HMAC-SHA256 Credential=AKIA...1234/20260102/us-east-1/bedrock/aws4_request,"
        " SignedHeaders=host;x-amz-date, Signature=0123...cdef"
    )


@pytest.mark.parametrize("name", ["Set-Cookie", "WWW-Authenticate", "Proxy-Authenticate", "X-Aigw"])
def test_answer_headers_are_masked(name: str) -> None:
    secret = "session=canary-of-an-answer" if name != "X-Aigw" else "aigw_0123_canary-of-an-answer"
    made = document([attempt(answer_headers=[(name, secret), (name, secret)])], ABOUT, decoder)
    assert "canary-of" not in made.decode()
    [entry] = entries_of(made)
    assert len(entry["response"]["headers"]) == 2


@pytest.mark.parametrize(
    "name", ["key", "api_key", "api-key", "access_token", "token", "KEY", "api%5Fkey", "sig"]
)
def test_query_parameters_are_masked(name: str) -> None:
    url = f"https://host/v1?a=1&{name}={KEY}&b=%2F"
    moved = [("Location", url)]
    made = document([attempt(url=url, answer_headers=moved, status=302)], ABOUT, decoder)
    assert KEY not in made.decode()
    [entry] = entries_of(made)
    assert entry["request"]["url"] == f"https://host/v1?a=1&{name}=sk-c...4c55&b=%2F"
    assert entry["request"]["queryString"][1]["value"] == "sk-c...4c55"
    assert entry["response"]["redirectURL"] == entry["request"]["url"]


def test_a_password_in_the_url_is_masked() -> None:
    made = document([attempt(url="https://me:canary-password@host/v1")], ABOUT, decoder)
    assert "canary" not in made.decode()
    assert entries_of(made)[0]["request"]["url"] == "https://...@host/v1"


@pytest.mark.parametrize("key", [KEY, 'quo"te\\canary-key', "per/cent+canary=key", "a" * 500])
def test_a_credential_is_replaced_wherever_it_recurs(key: str) -> None:
    prompt = json.dumps({"prompt": f"my key is {key}, and {key}"}).encode()
    made = document(
        [
            attempt(
                headers=[("Authorization", f"Bearer {key}"), ("X-Copy", f"<{key}>")],
                url=f"https://h/{key.replace('/', '%2F').replace('+', '%2B').replace('=', '%3D')}",
                sent=prompt,
                answer=body(f"invalid key {key}".encode()),
                answer_headers=[("X-Echo", key)],
                reason=f"No {key}",
                error=f"refused {key}",
            ),
            # Compressed, and of an attempt with another key.
            attempt(
                headers=[("Content-Encoding", "gzip")],
                sent=gzip.compress(prompt),
                answer=body(b"\0" + key.encode()),
            ),
        ],
        About("openai", key, "id"),
        decoder,
    )
    text = made.decode()
    first, second = entries_of(made)
    assert key not in text
    assert json.dumps(key)[1:-1] not in text
    assert key not in json.loads(first["request"]["postData"]["text"])["prompt"]
    assert key not in json.loads(second["request"]["postData"]["text"])["prompt"]
    assert key.encode() not in text_of(second["response"]["content"])
    for value in (first["response"]["content"]["text"], first["response"]["_error"]):
        assert key not in value
    assert "my key is" in first["request"]["postData"]["text"]


def test_a_cut_body_does_not_end_in_half_a_credential() -> None:
    for length in range(2, len(KEY)):
        [entry] = write(attempt(answer=body(b"the key " + KEY[:length].encode(), size=10_000)))
        assert entry["response"]["content"]["text"] == "the key "


def test_a_placeholder_for_a_key_does_not_garble_bodies() -> None:
    [entry] = write(
        attempt(headers=[("Authorization", "Bearer none")], sent=b"none of it, nonetheless")
    )
    assert entry["request"]["postData"]["text"] == "none of it, nonetheless"
    assert entry["request"]["headers"][0]["value"] == "Bearer ..."


def test_an_attempt_prints_no_credential() -> None:
    assert KEY not in repr(attempt(url=f"https://host/?key={KEY}"))


def test_the_schema_refuses_what_is_no_har() -> None:
    good = json.loads(document([attempt()], ABOUT, decoder))
    entries_of(json.dumps(good).encode())
    for path in (
        ["request", "cookies"],
        ["response", "redirectURL"],
        ["timings", "wait"],
        ["cache"],
    ):
        broken = json.loads(json.dumps(good))
        inner = broken["log"]["entries"][0]
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]
        with pytest.raises(ValidationError):
            entries_of(json.dumps(broken).encode())


def test_headers_that_the_operator_has_set_are_masked() -> None:
    secret = "corp-canary-0123456789"
    headers = [("X-Corp", secret), ("Accept", "application/json"), ("X-Client", "shown")]
    answer = body(f'{{"error":"no such {secret}"}}'.encode())
    about = About("openai", "gpt-5", "id", frozenset({"x-corp", "ACCEPT"}))
    [entry] = write(attempt(headers=headers, answer=answer), about=about)
    shown = {each["name"]: each["value"] for each in entry["request"]["headers"]}
    assert shown == {"X-Corp": "corp...6789", "Accept": "application/json", "X-Client": "shown"}
    assert secret not in json.dumps(entry)
    assert "corp...6789" in entry["response"]["content"]["text"]
