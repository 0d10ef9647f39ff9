from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aigw.api.query import BadQuery, moment, parse_query, search_terms
from aigw.store.interceptions import PageQuery

AN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, PageQuery()),
        ({"limit": "5", "offset": "7"}, PageQuery(limit=5, offset=7)),
        ({"after_id": AN_ID.upper()}, PageQuery(after_id=AN_ID)),
        ({"after_id": AN_ID, "offset": "0"}, PageQuery(after_id=AN_ID)),
        ({"q": "  model:GPT-5  "}, PageQuery(model="gpt-5")),
        ({"q": 'client:"Claude Code"'}, PageQuery(client="claude code")),
        ({"q": 'session_id:"a:b" provider_name:x'}, PageQuery(session_id="a:b", provider_name="x")),
        ({"q": "initiator:me"}, PageQuery()),
        ({"q": "bob"}, PageQuery(initiator="bob")),
        ({"q": 'started_after:"1970-01-01T00:00:01Z"'}, PageQuery(started_after=1_000_000)),
    ],
)
def test_understood(params: dict[str, str], expected: PageQuery) -> None:
    assert parse_query(params) == expected


def invalid(detail: str, field: str = "q") -> dict[str, Any]:
    return {
        "message": "Invalid workspace search query.",
        "validations": [{"field": field, "detail": detail}],
    }


@pytest.mark.parametrize(
    ("params", "body"),
    [
        (
            {"after_id": AN_ID, "offset": "1"},
            {
                "message": "Query parameters have invalid values.",
                "detail": "Cannot use both after_id and offset pagination in the same request.",
            },
        ),
        *(
            (
                {"limit": text},
                {
                    "message": "Invalid pagination limit value.",
                    "detail": "Pagination limit must be in range (0, 1000]",
                },
            )
            for text in ("0", "-1", "1001")
        ),
        ({"q": ":a"}, invalid("Query element \":a\" cannot start or end with ':'")),
        ({"q": "A:"}, invalid("Query element \"a:\" cannot start or end with ':'")),
        ({"q": "a:b:c"}, invalid("Query element \"a:b:c\" can only contain 1 ':'")),
        ({"q": "colour:red"}, invalid('"colour" is not a valid query param', "colour")),
        (
            {"q": "model:a model:b"},
            invalid('Query param "model" provided more than once, found 2 times', "model"),
        ),
        (
            {"q": 'started_after:"2026-01-02T00:00:00Z" started_before:"2026-01-01T00:00:00Z"'},
            invalid('"started_before" must be after "started_after" if set', "started_before"),
        ),
    ],
)
def test_refused_in_coders_words(params: dict[str, str], body: dict[str, Any]) -> None:
    with pytest.raises(BadQuery) as caught:
        parse_query(params)
    assert caught.value.body == body


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("limit", "many"),
        ("limit", "1_0"),
        ("limit", "9" * 5000),
        ("offset", "-1"),
        ("offset", "9223372036854775808"),
        ("after_id", "x"),
    ],
)
def test_values_of_the_wrong_kind(name: str, text: str) -> None:
    with pytest.raises(BadQuery) as caught:
        parse_query({name: text})
    assert caught.value.body["message"] == "Query parameters have invalid values."
    assert caught.value.body["validations"][0]["field"] == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1970-01-01T01:00:00.5+01:00", 500_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    "text", ["2026-01-01", "2026-13-01T00:00:00Z", "now", "1970-01-01T00:00:00"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(BadQuery, match="Invalid workspace"):
        parse_query({"q": f'started_after:"{text}"'})


@example('"')
@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(BadQuery):
        assert parse_query({"q": text}).limit == 100


def test_an_unclosed_quote_runs_to_the_end() -> None:
    assert search_terms('client:"a b model:c') == {"client": ["a b model:c"]}
