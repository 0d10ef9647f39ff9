from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.cli.highlight import Highlighter, Piece, shown


def matches(query: str, text: str) -> list[str]:
    return [text for text, is_match in Highlighter(query).pieces(text) if is_match]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("fix", "Fix it, prefix, FIX.", ["Fix", "FIX"]),
        ("pars*", "parser parsing spars", ["parser", "parsing"]),
        ('"the bug"', "the bug, the big bug, The\nBug", ["the bug", "The\nBug"]),
        ("cafe", "Caf\u00e9 and cafe\u0301", ["Caf\u00e9", "cafe\u0301"]),
        ("one two", "two or one; oneself", ["two", "one"]),
        ("\u4f60\u597d", "\u4f60\u597d, \u4e16\u754c", ["\u4f60\u597d"]),
        ("foo", "a\nfoo\x00foo\x02foo\x03\tfoo", ["foo"] * 4),
        ("absent", "nothing here", []),
        ("a", "", []),
    ],
)
def test_what_the_index_matches(query: str, text: str, expected: list[str]) -> None:
    assert matches(query, text) == expected


def test_a_highlighter_serves_many_texts() -> None:
    highlighter = Highlighter("one")
    assert highlighter.spans("one") == [(0, 3)]
    assert highlighter.spans("two") == []
    assert highlighter.spans("no one") == [(3, 6)]


@given(st.text(max_size=60), st.sampled_from(["a", "a*", '"a b"', "1 b"]))
def test_pieces_are_the_text(text: str, query: str) -> None:
    assert "".join(piece.text for piece in Highlighter(query).pieces(text)) == text


def test_nothing_to_search_for() -> None:
    with pytest.raises(ValueError, match="nothing to search for"):
        Highlighter("!!")


def test_shown_is_harmless_and_ends_its_styles() -> None:
    pieces = Highlighter("evil").pieces("\x1b[2J evil \u202e")
    assert shown(pieces) == "\\e[2J \x1b[1mevil\x1b[0m \\u202e"
    assert shown([Piece("a", True), Piece("b", False)], "33") == (
        "\x1b[33;1ma\x1b[0m\x1b[33mb\x1b[0m"
    )


def test_an_excerpt_begins_where_the_match_can_be_seen() -> None:
    text = "x " * 500 + "needle in a haystack"
    found = Highlighter("needle").excerpt(text, 40)
    assert found[0] == Piece("\u2026", False)
    seen = "".join(piece.text for piece in found)
    assert seen.index("needle") < 20
    assert seen.endswith("haystack")
    assert Highlighter("needle").excerpt("a needle", 40)[0].text == "a "


@given(
    st.text(st.sampled_from("ab1_ -.\x00\nAB\u00e4"), max_size=30),
    st.sampled_from(["a", "b*", '"a b"', "a1_b", "1 b", '"-a" 1']),
)
def test_a_quick_look_leaves_out_no_match(text: str, query: str) -> None:
    slow = Highlighter(query)
    slow._beginnings = None
    assert Highlighter(query).spans(text) == slow.spans(text)


def test_most_lines_need_no_index() -> None:
    """It takes half a millisecond for each, and a session has some ten thousand lines."""
    highlighter = Highlighter('needle "xy b"')
    asked: list[str] = []
    highlighter._index.set_trace_callback(asked.append)
    for text in ("hay " * 100, "b c", "", "\x1b[2J"):
        assert highlighter.spans(text) == []
    assert asked == []
    assert highlighter.spans("NEEDLE")
    assert asked
