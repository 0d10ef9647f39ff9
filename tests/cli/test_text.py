from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.cli.text import size_text, visible, visible_lines


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain \u00e9 \u4e2d \U0001f600", "plain \u00e9 \u4e2d \U0001f600"),
        ("\x1b[2J\x1b]0;title\x07", "\\e[2J\\e]0;title\\x07"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),
        ("\u2028\u200b\ufeff", "\\u2028\\u200b\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("a\u00a0b", "a b"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_nothing_reaches_the_terminal_that_it_would_act_on(hostile: str, shown: str) -> None:
    assert visible(hostile) == shown


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    assert visible(text).replace("\u200c", "").replace("\u200d", "").isprintable()


def test_lines_are_kept_apart() -> None:
    assert visible_lines("a\r\n\tb\x1bc") == ["a", "    b\\ec"]


def test_sizes() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 5 << 20)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "5.0 MiB",
    ]
