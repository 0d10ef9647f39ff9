from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from aigw.records import Status
from tests.store.rows import DAY, NOON, Store, end, start

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
        "cost_micros": 0,
        "plan_micros": 0,
        "unpriced": 0,
        "estimated": 0,
        "plan_estimated": 0,
        "cost_usd": "0.000000",
        "plan_usd": "0.000000",
    }


@pytest.mark.parametrize("models", [(), ("one",), ('"a\\', "\u00e9\n\x1b")])
def test_json_is_written_group_by_group_as_one_document(
    store: Store, command: Command, models: tuple[str, ...]
) -> None:
    for model in models:
        store.whole(model=model)
    text = "\n".join(command.lines("usage", "--by", "model", "--by", "session", "--json", *SINCE))
    whole = json.loads(text)
    assert text == json.dumps(whole, indent=2, ensure_ascii=False)
    assert sorted(group["model"] for group in whole["groups"]) == sorted(models)
    assert list(whole) == ["since", "until", "by", "groups", "total"]


def spend(store: Store, key: str, at: int = NOON, **fields: Any) -> None:
    """An interception with what it cost."""
    names = ("model", "plan", "client_session_id", "api_key_id")
    first = {name: fields.pop(name) for name in names if name in fields}
    store.write(start(key, at, **first), end(key, at, **fields))


def test_json_has_money_exactly(store: Store, command: Command) -> None:
    spend(store, "a", cost_micros=12_345_678)
    spend(store, "b", cost_micros=5, plan="claude", estimated=1)
    spend(store, "c", unpriced=1)
    (group,) = command.json("usage", "--json", *SINCE)["groups"]
    assert (group["cost_micros"], group["cost_usd"]) == (12_345_678, "12.345678")
    assert (group["plan_micros"], group["plan_usd"]) == (5, "0.000005")
    assert (group["unpriced"], group["estimated"]) == (1, 1)
    (row,) = csv.DictReader(command.lines("usage", "--csv", *SINCE))
    assert (row["cost_micros"], row["cost_usd"]) == ("12345678", "12.345678")


def test_only_what_is_paid_is_cost(store: Store, command: Command) -> None:
    spend(store, "a", cost_micros=1_500_000)
    lines = command.lines("usage", *SINCE)
    assert lines[1].split()[-1] == "cost"
    assert lines[-1].split()[-1] == "$1.50"
    spend(store, "b", cost_micros=2_000, plan="claude", estimated=1)
    spend(store, "c", unpriced=2)
    lines = command.lines("usage", *SINCE)
    assert lines[1].split()[-3:] == ["cost", "plan", "unpriced"]
    assert lines[3].split()[-3:] == ["$1.50", "~<$0.01", "2"]
    assert lines[4:] == [
        "plan: covered by a plan, list price <$0.01, not part of the cost",
        "2 responses have no price: aigw prices list",
        "~ estimated: 1 response that the provider did not count to the end",
    ]


def test_what_nobody_knows_a_price_for_is_not_free(store: Store, command: Command) -> None:
    spend(store, "a", model="own", unpriced=1)
    spend(store, "b", model="free")
    lines = command.lines("usage", "--by", "model", *SINCE)
    assert lines[2].split()[-2:] == ["$0.00", "-"]
    assert lines[3].split()[-2:] == ["-", "1"]


def test_by_key_and_plan(store: Store, command: Command) -> None:
    spend(store, "a", plan="claude", api_key_id="k1")
    spend(store, "b")
    for name, value in (("plan", "claude"), ("key", "k1")):
        groups = command.json("usage", "--by", name, "--json", *SINCE)["groups"]
        assert [group[name] for group in groups] == ["", value]


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 24])
@pytest.mark.parametrize("name", ["usage", "cost"])
def test_tables_fit_the_terminal(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch, name: str, width: int
) -> None:
    for number, model in enumerate(("short", "an-extraordinarily-long-name-of-a-model")):
        spend(
            store, f"i-{number}", model=model, cost_micros=10**10, input_tokens=10**12, unpriced=1
        )
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    lines = command.lines(name, "--by", "model", *SINCE)
    table = [text for text in lines[1:] if not re.match(r"\d+ responses|too narrow", text)]
    assert len(table) == 4
    assert max(map(len, table)) <= width
    assert all("$" in text for text in table[1:])
    assert ("too narrow" in lines[-1]) == (width <= 100)


def test_csv(store: Store, command: Command) -> None:
    store.whole(model="=cmd()")
    rows = list(csv.DictReader(command.lines("usage", "--by", "model", "--csv", *SINCE)))
    assert rows[0]["model"] == "'=cmd()"
    assert rows[0]["requests"] == "1"
    assert rows[0]["output_tokens"] == "20"


def test_a_table_of_wide_names_is_aligned(store: Store, command: Command) -> None:
    for model in ("\u6a21\u578b", "a", "long-name"):
        store.whole(model=model)
    lines = command.lines("usage", "--by", "model", *SINCE)[1:]
    assert {cell_len(line) for line in lines} == {len(lines[0])}


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
