from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from aigw.actor_names import ACTOR_NAMES
from aigw.option import Option
from aigw.option_values import (
    READERS,
    RESERVED_HEADERS,
    Address,
    format_size,
    read_address,
    read_bool,
    read_duration,
    read_header,
    read_int,
    read_list,
    read_output,
    read_path,
    read_regex,
    read_size,
    read_string,
    read_url,
    shown,
    text_of,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "word", ["1", "t", "T", "true", "TRUE", "True", "yes", "on", " true ", True, 1]
)
def test_true(word: object) -> None:
    assert read_bool(word) is True


@pytest.mark.parametrize("word", ["0", "f", "F", "false", "FALSE", "no", "Off", False, 0])
def test_false(word: object) -> None:
    assert read_bool(word) is False


@pytest.mark.parametrize("word", ["", "maybe", "2", 2, None, 1.0, ["true"]])
def test_not_a_switch(word: object) -> None:
    with pytest.raises(ValueError, match="use true or false"):
        read_bool(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1024", 1024),
        (1024, 1024),
        ("10MB", 10_000_000),
        ("64MiB", 64 * 1024**2),
        ("64 mib", 64 * 1024**2),
        ("1.5KiB", 1536),
        ("2GB", 2_000_000_000),
        ("7b", 7),
    ],
)
def test_size(text: object, expected: int) -> None:
    assert read_size(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "-1", -1, "10 parsecs", "10M", "1e3", None, True])
def test_not_a_size(text: object) -> None:
    with pytest.raises(ValueError, match="64MiB"):
        read_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(64 * 1024**2, "64MiB"), (10_000_000, "10000000"), (0, "0")]
)
def test_size_is_shown(size: int, text: str) -> None:
    assert format_size(size) == text
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4001", "127.0.0.1", 4001),
        ("[::1]:4001", "::1", 4001),
        (":4001", "", 4001),
        ("localhost:0", "localhost", 0),
        ("gateway.example.com:65535", "gateway.example.com", 65535),
    ],
)
def test_address(text: str, host: str, port: int) -> None:
    address = read_address(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4001",
        "localhost",
        "::1:4001",
        "[::1]",
        "[::z]:1",
        "a b:1",
        "host:65536",
        "host:-1",
        "host:http",
        "http://localhost:1",
        4001,
        None,
        "-x:1",
    ],
)
def test_not_an_address(text: object) -> None:
    with pytest.raises(ValueError, match="use HOST:PORT"):
        read_address(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert Address(host, 1).is_loopback is expected


@pytest.mark.parametrize(
    "text",
    [
        "https://api.openai.com/v1/",
        "http://localhost:8080",
        "http://[::1]:8080/x",
        "https://h/a%20b",
    ],
)
def test_url(text: str) -> None:
    assert read_url(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "https://"),
        ("api.openai.com/v1", "is not a base URL"),
        ("ftp://host/", "is not a base URL"),
        ("https:///v1", "is not a base URL"),
        ("https://host:99999/", "this is not a URL"),
        ("https://host:0/", "is not a base URL"),
        ("https://host/?a=b", "query"),
        ("https://host/?", "query"),
        ("https://host/#top", "fragment"),
        ("https://ho st/", "a space"),
        ("https://user:hunter2@host/", "no user or password"),
        (5, "is not a base URL"),
    ],
)
def test_not_a_url(text: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_url(text)
    assert "hunter2" not in str(caught.value)


def test_a_query_with_a_key_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="followed by a query") as caught:
        read_url("https://host/?key=hunter2")
    assert "hunter2" not in str(caught.value)


def test_durations_are_never_negative() -> None:
    assert read_duration("0") == timedelta(0)
    assert read_duration(0) == timedelta(0)
    with pytest.raises(ValueError, match="is negative"):
        read_duration("-1h")
    with pytest.raises(ValueError, match="has no unit"):
        read_duration(60)
    with pytest.raises(ValueError, match="write it as text"):
        read_duration(1.5)


def test_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert read_path("~/a.db") == tmp_path / "a.db"
    assert read_output("/dev/stderr") == "/dev/stderr"
    assert read_output("") == ""
    assert read_output("~/a.log") == str(tmp_path / "a.log")
    for wrong in ("", "  ", "a\0b", 5):
        with pytest.raises(ValueError, match=r"is not a path|is not text"):
            read_path(wrong)


def test_texts_numbers_lists_and_patterns() -> None:
    assert read_string("") == ""
    assert read_int(" -5 ") == -5
    assert read_list("a, b,,c") == ("a", "b", "c")
    assert read_list(["a"]) == ("a",)
    assert read_regex(".*") == ".*"
    for reader, wrong in (
        (read_string, 5),
        (read_int, "5.0"),
        (read_int, True),
        (read_list, [5]),
        (read_regex, "("),
    ):
        with pytest.raises(ValueError, match="is not"):
            reader(wrong)


@pytest.mark.parametrize("text", ["", "X-User", "x_user", "X-Forwarded", "A!#$%&'*+.^_`|~0-9"])
def test_header(text: str) -> None:
    assert read_header(text) == text
    assert read_header(f" {text} ") == text


@pytest.mark.parametrize("name", ACTOR_NAMES)
def test_the_known_actor_headers_may_be_named(name: str) -> None:
    assert read_header(name) == name
    assert read_header(name.lower()) == name.lower()


@pytest.mark.parametrize(
    "text",
    ["X User", "X-User:", "X\r\nY", "X-\u00dcser", "X(1)", "a,b", "a/b", '"a"', "X\0", 5, None],
)
def test_not_a_header(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not the name of a header|is not text"):
        read_header(text)


@pytest.mark.parametrize(
    "text",
    [
        *sorted(RESERVED_HEADERS),
        "proxy-authorization",
        "x-forwarded-for",
        "x-amz-date",
        "x-coder-ai-governance-token",
        "coder-anything",
        "sec-fetch-site",
        "x-ai-bridge-actor",
        "x-ai-bridge-actor-email",
        "x-ai-bridge-actor-metadata-team",
        "x_ai_bridge_actor_id",
    ],
)
def test_a_header_that_has_a_meaning_already(text: str) -> None:
    for spelling in (text, text.upper(), text.title()):
        with pytest.raises(ValueError, match="is reserved: choose another header"):
            read_header(spelling)


@pytest.mark.parametrize(
    ("value", "expected"), [("1", 1), (100, 100), ("0", None), (101, None), ("-1", None)]
)
def test_a_number_between_two_ends(value: object, expected: int | None) -> None:
    option = Option(
        name="n", kind="int", group="", help="", flag="--n", variable="N", key="n", between=(1, 100)
    )
    if expected is None:
        with pytest.raises(ValueError, match=r"^must be between 1 and 100$"):
            option.read(value)
    else:
        assert option.read(value) == expected


def test_zero_may_be_an_end() -> None:
    option = Option(
        name="n", kind="int", group="", help="", flag="--n", variable="N", key="n", between=(0, 5)
    )
    assert option.read("0") == 0


def test_every_kind_refuses_a_table_with_a_value_error() -> None:
    for reader in READERS.values():
        with pytest.raises(ValueError, match=r".+"):
            reader({"a": {}})


def test_messages_are_short() -> None:
    assert len(shown("x" * 10_000)) < 100
    assert shown([1] * 10_000) == "a list"
    assert shown({}) == "a table"
    assert text_of(None) == ""
    assert text_of(("a", "b")) == "a,b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a=b, c = d=e ,", {"a": "b", "c": "d=e"}),
        ("a=", {"a": ""}),
        ("", {}),
        ({"b": "1", "a": "2"}, {"b": "1", "a": "2"}),
    ],
)
def test_mappings(value: object, expected: dict[str, str]) -> None:
    typed = READERS["mapping"](value)
    assert typed == expected
    assert list(typed) == list(expected)
    assert READERS["mapping"](text_of(typed)) == typed


@pytest.mark.parametrize("value", ["sk-secret", "=sk-secret", "a=1,a=2", ["a"], 5, {"a": 5}])
def test_what_is_no_mapping(value: object) -> None:
    with pytest.raises(ValueError, match=r"pairs|twice|table|not text") as caught:
        READERS["mapping"](value)
    assert "sk-secret" not in str(caught.value)
