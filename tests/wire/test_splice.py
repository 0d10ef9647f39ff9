from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.wire.members import members
from aigw.wire.splice import ask_for_usage

ASKS = {"include_usage": True}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"stream_options":{"include_usage":true}}'),
        (b' \n{ "a": 1 } ', b' \n{"stream_options":{"include_usage":true}, "a": 1 } '),
        (b'{"stream_options":null}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options" : {} ,"a":1}', b'{"stream_options" : {"include_usage":true} ,"a":1}'),
        (b'{"stream_options":{ }}', b'{"stream_options":{"include_usage":true }}'),
        (
            b'{"a":[{"stream_options":5}],"stream_options":{"x":{"include_usage":0}}}',
            b'{"a":[{"stream_options":5}],"stream_options":{"include_usage":true,"x":{"include_usage":0}}}',
        ),
        (
            b'{"stream_options":{"x":"}","include_usage": false }}',
            b'{"stream_options":{"x":"}","include_usage": true }}',
        ),
        (
            b'{"stream_options":{"include_usage":null}}',
            b'{"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream\\u005foptions":{"include\\u005fusage":false}}',
            b'{"stream\\u005foptions":{"include\\u005fusage":true}}',
        ),
        (
            b'{"stream_options":{"include_usage":true},"stream_options":null}',
            b'{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream_options":null,"stream_options":{"include_usage":false}}',
            b'{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream_options":{"include_usage":true,"include_usage":false}}',
            b'{"stream_options":{"include_usage":true,"include_usage":true}}',
        ),
        (
            b'{"m":"\\"stream_options\\":{","n":1}',
            b'{"stream_options":{"include_usage":true},"m":"\\"stream_options\\":{","n":1}',
        ),
    ],
)
def test_edits(body: bytes, expected: bytes) -> None:
    assert ask_for_usage(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":1',
        b'{"a":NaN}',
        b"\xef\xbb\xbf{}",
        b"{} x",
        b'{"stream_options":"x"}',
        b'{"stream_options":[]}',
        b'{"stream_options":5,"stream_options":{}}',
        b'{"stream_options":{"include_usage":"yes"}}',
        b'{"a":' + b"[" * 100_000,
        "{}".encode("utf-16"),
    ],
)
def test_what_is_unsafe_is_left_alone(body: bytes) -> None:
    assert ask_for_usage(body) is None


names = st.sampled_from(["stream_options", "include_usage", "a", 'q"uo\\te', "ü", ""]) | st.text(
    max_size=3
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
options = st.none() | st.fixed_dictionaries(
    {}, optional={"include_usage": st.sampled_from([None, False]), "x": values}
)
layouts = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


@given(
    st.dictionaries(names.filter(lambda n: n != "stream_options"), values, max_size=4),
    st.lists(options, max_size=1),
    layouts,
)
def test_nothing_else_changes(
    fields: dict[str, Any], given_options: list[Any], layout: dict[str, Any]
) -> None:
    before = {**fields, **({"stream_options": given_options[0]} if given_options else {})}
    edited = ask_for_usage(json.dumps(before, **layout).encode())
    assert edited is not None
    kept = given_options[0] or {} if given_options else {}
    assert json.loads(edited) == {**before, "stream_options": {**kept, **ASKS}}


@given(st.dictionaries(names, values, max_size=5), layouts)
def test_members_are_where_they_are(fields: dict[str, Any], layout: dict[str, Any]) -> None:
    data = json.dumps(fields, **layout).encode()
    found = {m.key: json.loads(data[m.value_start : m.value_end]) for m in members(data, 0)}
    assert found == fields
