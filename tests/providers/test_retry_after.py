from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aigw.providers.retry_after import retry_after

NOW = 1_760_000_000.0  # Thu, 09 Oct 2025 08:53:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"Retry-After": "Thu, 09 Oct 2025 08:54:20 GMT"}, 60.0),
        ({"Retry-After": "Thu, 09 Oct 2025 08:50:00 GMT"}, 0.0),
        # The provider's clock is an hour behind ours; the wait is a minute all the same.
        (
            {
                "Retry-After": "Thu, 09 Oct 2025 07:54:20 GMT",
                "Date": "Thu, 09 Oct 2025 07:53:20 GMT",
            },
            60.0,
        ),
        ({"Retry-After": "Thu, 09 Oct 2025 08:54:20 GMT", "Date": "today"}, 60.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e999"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "tomorrow"}, None),
        ({"Retry-After": "Thu, 99 Oct 99999 08:54:20 GMT"}, None),
        ({"Retry-After": ""}, None),
    ],
)
def test_what_headers_say(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(CIMultiDict(headers), NOW) == seconds


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_header_breaks_it(value: str, date: str) -> None:
    found = retry_after(CIMultiDict({"Retry-After": value, "Date": date}), NOW)
    assert found is None or found >= 0
