from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from aigw.records import Status
from aigw.store.rollup import roll_up
from aigw.store.usage import Sums, period_label, total, usage
from tests.store.rows import DAY, HOUR, NOON, Store, end, start

if TYPE_CHECKING:
    import sqlite3


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)


def requests(reader: sqlite3.Connection, by: list[str], zone: str) -> dict[tuple[str, ...], int]:
    found = usage(reader, by, None, None, ZoneInfo(zone))
    return {key: sums.requests for key, sums in found.items()}


def test_sums(store: Store, reader: sqlite3.Connection) -> None:
    store.whole()
    store.whole(status=Status.FAILED)
    store.whole(status=Status.ABORTED)
    store.start()
    assert usage(reader, [], None, None, UTC) == {
        (): Sums(4, 30, 90, 120, 60, 15, errors=1, aborted=1)
    }


def test_empty_store_and_empty_span(store: Store, reader: sqlite3.Connection) -> None:
    assert usage(reader, ["day"], None, None, UTC) == {}
    store.whole()
    assert usage(reader, [], NOON + 1, None, UTC) == {}


def test_since_is_inclusive_and_until_exclusive(store: Store, reader: sqlite3.Connection) -> None:
    for at in (NOON - 1, NOON, NOON + HOUR):
        store.whole(at)
    assert usage(reader, [], NOON, NOON + HOUR, UTC)[()].requests == 1


@pytest.mark.parametrize("name", ["provider", "model", "client", "initiator", "session"])
def test_names(store: Store, reader: sqlite3.Connection, name: str) -> None:
    field = {
        "provider": "provider_name",
        "initiator": "initiator_id",
        "session": "client_session_id",
    }.get(name, name)
    store.whole(NOON, **{field: "one"})
    store.whole(NOON + DAY, **{field: "two"})
    store.whole(NOON + 2 * DAY, **{field: "one"})
    assert requests(reader, [name], "UTC") == {("one",): 2, ("two",): 1}


def test_a_thread_without_a_session_counts_by_its_id(
    store: Store, reader: sqlite3.Connection
) -> None:
    key = store.whole(client_session_id=None)
    store.whole(client_session_id=None, correlating_tool_call_id="call_1", at=NOON + 1)
    assert requests(reader, ["session"], "UTC") == {(key,): 2}


def test_two_nest_in_the_order_asked(store: Store, reader: sqlite3.Connection) -> None:
    store.whole(NOON, model="b")
    store.whole(NOON + 1, model="a")
    store.whole(NOON + DAY, model="a")
    assert list(requests(reader, ["model", "day"], "UTC")) == [
        ("a", "2026-01-01"),
        ("a", "2026-01-02"),
        ("b", "2026-01-01"),
    ]
    assert ("2026-01-02", "a") in requests(reader, ["day", "model"], "UTC")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", {"2026-01-01": 2}),
        ("Asia/Kolkata", {"2026-01-01": 1, "2026-01-02": 1}),
        ("Asia/Kathmandu", {"2026-01-01": 1, "2026-01-02": 1}),
        ("Pacific/Kiritimati", {"2026-01-02": 2}),
    ],
)
def test_days_of_odd_zones(
    store: Store, reader: sqlite3.Connection, zone: str, expected: dict[str, int]
) -> None:
    store.whole(micros("2026-01-01T18:14:59+00:00"))
    store.whole(micros("2026-01-01T18:30:00+00:00"))
    assert requests(reader, ["day"], zone) == {(day,): n for day, n in expected.items()}


def test_hours_of_a_zone_and_its_clock_change(store: Store, reader: sqlite3.Connection) -> None:
    # Berlin sets its clocks back at 01:00 UTC: there are two hours named 02:00.
    for text in ("2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"):
        store.whole(micros(text))
    assert requests(reader, ["hour"], "Europe/Berlin") == {
        ("2026-10-25T02:00+02:00",): 1,
        ("2026-10-25T02:00+01:00",): 1,
    }


def test_days_of_23_and_25_hours(store: Store, reader: sqlite3.Connection) -> None:
    for day in ("2026-03-28", "2026-10-24"):
        for hour in range(72):
            store.whole(micros(f"{day}T00:00:00+00:00") + hour * HOUR)
    found = requests(reader, ["day"], "Europe/Berlin")
    assert found[("2026-03-29",)] == 23
    assert found[("2026-10-25",)] == 25


def test_midnight_that_does_not_exist(store: Store, reader: sqlite3.Connection) -> None:
    # Cairo's clocks jump from 00:00 to 01:00.
    for hour in range(48):
        store.whole(micros("2026-04-23T00:00:00+00:00") + hour * HOUR)
    found = requests(reader, ["day"], "Africa/Cairo")
    assert sum(found.values()) == 48
    assert found[("2026-04-24",)] == 23


def test_weeks_and_months(store: Store, reader: sqlite3.Connection) -> None:
    for text in ("2026-01-31T12:00:00+00:00", "2026-02-01T12:00:00+00:00"):
        store.whole(micros(text))
    assert requests(reader, ["week"], "UTC") == {("2026-01-26",): 2}
    assert requests(reader, ["month"], "UTC") == {("2026-01",): 1, ("2026-02",): 1}


def test_local_hours_have_an_offset() -> None:
    label = period_label("hour", datetime(2026, 1, 1, 12, 30))  # noqa: DTZ001 (local on purpose)
    assert label.startswith("2026-01-01T12:00")
    assert len(label) == len("2026-01-01T12:00+00:00")


def test_any_slicing_counts_everything_once(store: Store, reader: sqlite3.Connection) -> None:
    step = timedelta(minutes=47) // timedelta(microseconds=1)
    for n in range(200):
        store.whole(NOON + n * step)
    for zone in ("Australia/Lord_Howe", "America/St_Johns", "UTC"):
        for by in (["hour"], ["day"], ["week", "month"], []):
            assert (
                total(list(usage(reader, by, None, None, ZoneInfo(zone)).values())).requests == 200
            )


def test_money_is_told_apart(store: Store, reader: sqlite3.Connection) -> None:
    for number, (plan, figures) in enumerate(
        (
            (None, {"cost_micros": 5}),
            ("claude", {"cost_micros": 7}),
            (None, {"unpriced": 2}),
            (None, {"cost_micros": 1, "estimated": 1}),
        )
    ):
        store.write(start(f"i-{number}", plan=plan), end(f"i-{number}", NOON, **figures))
    for _ in range(2):
        found = usage(reader, [], None, None, UTC)[()]
        assert (found.cost_micros, found.plan_micros) == (6, 7)
        assert (found.unpriced, found.estimated) == (2, 1)
        assert requests(reader, ["plan"], "UTC") == {("",): 3, ("claude",): 1}
        assert not roll_up(store.connection)


def test_keys_have_their_names(store: Store, reader: sqlite3.Connection) -> None:
    store.connection.execute(
        "INSERT INTO gateway_keys VALUES ('k1', 'laptop', 'me', '', 0, 0, 0, 0, '', '', 0, 0, 0)"
    )
    for key in ("k1", "gone", None):
        store.whole(api_key_id=key)
    assert requests(reader, ["key"], "UTC") == {("",): 1, ("gone",): 1, ("laptop",): 1}
