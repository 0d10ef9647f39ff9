from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.cli.highlight import Highlighter
from aigw.cli.pen import Part, Pen, cells, fitted
from aigw.cli.session_words import arguments, count, span
from aigw.cli.text import short_number

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
PLAIN = Pen(80, colour=False)


@given(TEXTS, st.integers(0, 60), st.sampled_from([None, "a", "1*"]))
def test_a_gist_fits_and_acts_on_nothing(text: str, width: int, query: str | None) -> None:
    highlighter = None if query is None else Highlighter(query)
    gist = Pen(80, colour=False, highlighter=highlighter).gist(text, width)
    assert cells(gist) <= width
    # Joiners are harmless, and not printable by Python's word.
    assert all(c.isprintable() or c in "\u200c\u200d" for c in gist)


@pytest.mark.parametrize(
    ("text", "width", "gist"),
    [
        ("short", 10, "short"),
        ("exactly ten", 11, "exactly ten"),
        ("one word too many", 10, "one word \u2026"),
        ("a\n\tb   c", 10, "a b c"),
        ("\u6f22\u5b57\u6f22", 5, "\u6f22\u5b57\u2026"),
        ("\x1b[0m", 4, "\\e[\u2026"),
        ("\x1b\x1b", 2, "\u2026"),
        ("x", 0, ""),
        ("", 5, ""),
    ],
)
def test_gist(text: str, width: int, gist: str) -> None:
    assert PLAIN.gist(text, width) == gist


@pytest.mark.parametrize("query", [None, "zzz"])
def test_what_takes_no_columns_is_cut_too_and_says_so(query: str | None) -> None:
    pen = Pen(80, colour=False, highlighter=None if query is None else Highlighter(query))
    gist = pen.gist("a" + "\u0301" * 500_000, 20)
    assert gist.endswith("\u2026")
    assert len(gist) < 1000


def test_a_match_far_behind_is_seen_between_ellipses() -> None:
    pen = Pen(80, colour=False, highlighter=Highlighter("needle"))
    gist = pen.gist("x " * 500 + "needle" + " y" * 500, 30)
    assert gist.startswith("\u2026")
    assert gist.endswith("\u2026")
    assert "needle" in gist


@given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=8), st.integers(40, 100))
def test_a_flow_keeps_to_the_width_and_loses_nothing_short(texts: list[str], width: int) -> None:
    pen = Pen(width, colour=False)
    lines = pen.flow([Part(text) for text in texts], "? ", "    ")
    assert max(map(cells, lines)) <= width
    for text in texts:
        assert any(pen.gist(text, width - 4) in line for line in lines)


@given(TEXTS, st.integers(0, 40))
def test_fitted_is_the_longest_beginning(text: str, width: int) -> None:
    found = fitted(text, width)
    assert text.startswith(found)


def test_words() -> None:
    assert [short_number(n) for n in (0, 999, 1000, 12_345, 999_999, 1_500_000)] == [
        "0",
        "999",
        "1k",
        "12.3k",
        "1M",
        "1.5M",
    ]
    assert [span(s) for s in (0, 0.0126, 4.2, 90, 3_700, 90_000)] == [
        "0 ms",
        "13 ms",
        "4.2 s",
        "1 m 30 s",
        "1 h 1 m",
        "1 d 1 h",
    ]
    assert [count(1, "byte"), count(2_000, "byte")] == ["1 byte", "2,000 bytes"]
    assert arguments('{"a": "b", "c": [1, null]}') == "a: b, c: [1, null]"
    assert arguments('"await exec(\\"ls\\")\\n"') == 'await exec("ls")\n'
    assert arguments('{"a": ' + "1" * 5000 + "}") == '{"a": ' + "1" * 5000 + "}"
