from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tests.store.rows import DAY, NOON, Store, end, start

if TYPE_CHECKING:
    from tests.cli.reading import Command

SINCE = ("--since", "2025-12-01", "--timezone", "UTC")


def fill(store: Store) -> None:
    for number, (at, model, cost) in enumerate(
        ((NOON, "b", 1_000_000), (NOON, "a", 250_000), (NOON + DAY, "a", 500_000))
    ):
        store.write(start(f"i-{number}", at, model=model), end(f"i-{number}", at, cost_micros=cost))


def test_days_with_their_models_and_a_total(store: Store, command: Command) -> None:
    fill(store)
    lines = command.lines("cost", *SINCE)
    assert lines[0].startswith("Cost since 2025-12-01 00:00 UTC")
    assert lines[1].split()[:4] == ["day", "model", "cost", "requests"]
    assert [text.split()[:2] for text in lines[2:]] == [
        ["2026-01-01", "$1.25"],
        ["a", "$0.25"],
        ["b", "$1.00"],
        ["2026-01-02", "$0.50"],
        ["a", "$0.50"],
        ["total", "$1.75"],
    ]


def test_json_and_csv_are_those_of_usage(store: Store, command: Command) -> None:
    fill(store)
    usage = ("usage", "--by", "day", "--by", "model")
    found = command.json("cost", "--json", *SINCE)
    assert found == command.json(*usage, "--json", *SINCE)
    assert found["total"]["cost_usd"] == "1.750000"
    assert command.lines("cost", "--csv", *SINCE) == command.lines(*usage, "--csv", *SINCE)


def test_by_something_else(store: Store, command: Command) -> None:
    fill(store)
    assert command.json("cost", "--by", "month", "--json", *SINCE)["by"] == ["month", "model"]
    assert command.json("cost", "--by", "model", "--json", *SINCE)["by"] == ["model"]
    rows = list(csv.DictReader(command.lines("cost", "--by", "client", "--csv", *SINCE)))
    assert [row["model"] for row in rows] == ["a", "b"]


def test_wrong_usage(command: Command) -> None:
    assert command.run("cost", "--by", "year") == 2
    assert "hour, day, week, month" in command.err
