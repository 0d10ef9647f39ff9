"""Names with `*` in them."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "axxbxxc", True),
        ("a*b*c", "axxcxxb", False),
        ("ab*ba", "aba", False),
        ("a*a*a", "aa", False),
        ("**", "x", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("a?", "ab", False),
        ("*a*", "\n a\n", True),
        ("abc", "ABC", True),
        ("GPT-*", "gpt-5", True),
        ("a*c", "ac", True),
    ],
)
def test_patterns(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


@given(st.text("abA*", max_size=8), st.text("abA", max_size=12))
def test_patterns_are_the_shells(pattern: str, text: str) -> None:
    assert matches(pattern, text) == fnmatch.fnmatchcase(text.lower(), pattern.lower())


@pytest.mark.parametrize("pattern", ["*a" * 50 + "*b", "*a*a*a*a*a*a*a*b*"])
def test_a_hostile_name_ends(pattern: str) -> None:
    """A regular expression would look for as good as ever; the suite's own limit would tell."""
    assert not matches(pattern, "a" * 1_000_000)
