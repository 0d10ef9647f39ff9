from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from aigw.records import Status
from tests.store.rows import DAY, NOON, Store

if TYPE_CHECKING:
    from tests.cli.reading import Command

SINCE = ("--since", "2025-12-01", "--timezone", "UTC")


def test_json(store: Store, command: Command) -> None:
    store.whole()
    store.whole(NOON + DAY, status=Status.FAILED, model="gpt-5")
    found = command.json("usage", "--by", "day", "--by", "model", "--json", *SINCE)
    assert found["by"] == ["day", "model"]
    assert [(g["day"], g["model"], g["errors"]) for g in found["groups"]] == [
        ("2026-01-01", "claude-opus-4-5", 0),
        ("2026-01-02", "gpt-5", 1),
    ]
    assert found["total"] == {
        "requests": 2,
        "input_tokens": 20,
        "cache_read_input_tokens": 60,
        "cache_write_input_tokens": 80,
        "output_tokens": 40,
        "reasoning_tokens": 10,
        "errors": 1,
        "aborted": 0,
    }


def test_csv(store: Store, command: Command) -> None:
    store.whole(model="=cmd()")
    rows = list(csv.DictReader(command.lines("usage", "--by", "model", "--csv", *SINCE)))
    assert rows[0]["model"] == "'=cmd()"
    assert rows[0]["requests"] == "1"
    assert rows[0]["output_tokens"] == "20"


def test_table_with_subtotals(store: Store, command: Command) -> None:
    for model in ("a", "b", "[bold]\x1b[2J"):
        store.whole(model=model)
    lines = command.lines("usage", "--by", "day", "--by", "model", *SINCE)
    assert lines[0].startswith("Usage since 2025-12-01 00:00 UTC")
    assert [text.split()[:2] for text in lines[-5:]] == [
        ["2026-01-01", "3"],
        ["[bold]\\e[2J", "1"],
        ["a", "1"],
        ["b", "1"],
        ["total", "3"],
    ]


def test_default_is_thirty_days_by_day(store: Store, command: Command) -> None:
    store.whole(NOON)
    found = command.json("usage", "--json")
    assert found["by"] == ["day"]
    assert found["groups"] == []
    assert found["total"]["requests"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--by", "year"), "hour, day, week, month, provider"),
        (("--timezone", "Mars/Base"), "Mars/Base"),
        (("--timezone", "../../etc/passwd"), "not known"),
        (("--json", "--csv"), "exclude each other"),
        (("--until", "soon"), "--until"),
    ],
)
def test_wrong_usage(command: Command, words: tuple[str, ...], message: str) -> None:
    assert command.run("usage", *words) == 2
    assert message in command.err
