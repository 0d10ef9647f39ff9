"""Editing the members of a JSON object: the right members change, and no other byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.wire.object_edit import edit_object, set_model

NAMES = st.sampled_from(["model", "stream", "metadata", "é", 'a"b', "tools", "x,y", "{"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", " :\r\n ")])


def text_of(value: dict[str, Any], spacing: tuple[str, str], *, ascii_only: bool) -> bytes:
    return json.dumps(value, separators=spacing, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )


@given(OBJECTS, OBJECTS, st.frozensets(NAMES), SPACING, st.booleans())
def test_an_edit_is_the_edit_of_the_dictionary(
    given_object: dict[str, Any],
    changes: dict[str, Any],
    deleted: frozenset[str],
    spacing: tuple[str, str],
    ascii_only: bool,
) -> None:
    body = text_of(given_object, spacing, ascii_only=ascii_only)
    raw = {name: json.dumps(value).encode() for name, value in changes.items()}
    edited = edit_object(body, set=raw, delete=deleted)
    expected = {name: value for name, value in given_object.items() if name not in deleted}
    assert edited is not None
    assert json.loads(edited) == expected | changes


@given(OBJECTS, SPACING)
def test_an_edit_that_changes_nothing_keeps_every_byte(
    value: dict[str, Any], spacing: tuple[str, str]
) -> None:
    body = b" \n" + text_of(value, spacing, ascii_only=True) + b"\t"
    same = {name: json.dumps(item, separators=spacing).encode() for name, item in value.items()}
    assert edit_object(body) == body
    assert edit_object(body, delete=frozenset({"absent"})) == body
    assert edit_object(body, set=same) == body


@pytest.mark.parametrize(
    ("body", "values", "deleted", "expected"),
    [
        (b"{}", {"a": b"1"}, "", b'{"a":1}'),
        (b" { } ", {"a": b"1"}, "", b' {"a":1 } '),
        (b'{ "b" : 2 }', {"a": b"1"}, "", b'{"a":1, "b" : 2 }'),
        (b'{"a":1,"b":2 , "c":3}', {}, "b", b'{"a":1 , "c":3}'),
        (b'{"a":1,"b":2}', {}, "ab", b"{}"),
        (b'{ "a":1,"b":2 }', {}, "b", b'{ "a":1 }'),
        (b'{"a":1,"b":2,"a":3}', {}, "a", b'{"b":2}'),
        (b'{"a":1,"b":2,"a":3}', {"a": b"9"}, "", b'{"a":9,"b":2,"a":9}'),
        (b'{"a":1,"b":1e400,"c":1.0e0}', {"a": b"2"}, "", b'{"a":2,"b":1e400,"c":1.0e0}'),
        (
            b'{"a":1,"n":123456789012345678901234567890}',
            {},
            "a",
            b'{"n":123456789012345678901234567890}',
        ),
        (rb'{"\u0061":1,"b":"\ud83d"}', {}, "a", rb'{"b":"\ud83d"}'),
        (b'{"a":1}', {"a": b"2"}, "a", b'{"a":2}'),
        (b'{"x":{"a":1},"y":["a",{"a":2}],"a":3}', {}, "a", b'{"x":{"a":1},"y":["a",{"a":2}]}'),
    ],
)
def test_the_bytes_of_an_edit(
    body: bytes, values: dict[str, bytes], deleted: str, expected: bytes
) -> None:
    assert edit_object(body, set=values, delete=frozenset(deleted)) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"{}"', b"{", b'{"a":1', b'{"a":1}}', b'{"a":}', b"{'a':1}", b"\xff{}"],
)
def test_what_is_no_object_is_not_edited(body: bytes) -> None:
    assert edit_object(body, set={"a": b"1"}) is None
    assert set_model(body, "m") is None


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), SPACING)
def test_members_that_are_there_more_than_once(
    pairs: list[tuple[str, Any]], spacing: tuple[str, str]
) -> None:
    comma, colon = spacing
    texts = [json.dumps(name) + colon + json.dumps(value) for name, value in pairs]
    body = ("{" + comma.join(texts) + "}").encode()
    edited = edit_object(body, set={"model": b'"m"'}, delete={"stream"})
    assert edited is not None
    seen = json.loads(edited, object_pairs_hook=list)
    read = json.loads(body, object_pairs_hook=list)
    expected = [(n, "m" if n == "model" else value) for n, value in read if n != "stream"]
    assert seen in (expected, [("model", "m"), *expected])


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":12,"a":1}',
        b'{"a":1,"a":12}',
        b'{"a":[1,{"a":2}],"a":[1]}',
        b'{"a":"x","a":"x"}',
        b'{"a":1 ,"b":2,"\\u0061":1}',
    ],
)
def test_the_longer_of_two_is_not_cut(body: bytes) -> None:
    edited = edit_object(body, set={"a": b"7"})
    assert edited is not None
    found = json.loads(edited, object_pairs_hook=list)
    assert found == [(name, 7 if name == "a" else 2) for name, _ in found]


def test_hostile_nesting_is_refused_and_not_followed() -> None:
    assert edit_object(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", delete={"a"}) is None


def test_a_model_is_set_whatever_its_name() -> None:
    body = b'{"model": "claude-sonnet-4-5", "max_tokens": 5}'
    assert set_model(body, "sonnet") == b'{"model": "sonnet", "max_tokens": 5}'
    assert json.loads(set_model(body, 'a"\\\ud800') or b"")["model"] == 'a"\\\ud800'
    assert set_model(b'{"messages":[]}', "m") == b'{"model":"m","messages":[]}'
