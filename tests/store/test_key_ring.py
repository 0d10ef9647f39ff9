"""The keys in a daemon's memory: how soon a change is in force, and what a bad store changes."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aigw import clock
from aigw.errors import StoreError
from aigw.store import key_uses
from aigw.store.key_changes import (
    Issued,
    NewKey,
    create_key,
    delete_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from aigw.store.key_ring import (
    CHECK_SECONDS,
    REFUSED_CHECK_SECONDS,
    REFUSED_CHECKS,
    KeyRing,
    Reason,
    Refusal,
)
from aigw.store.key_uses import note_uses, note_uses_regularly, store_uses
from aigw.store.keys import GatewayKey, token
from aigw.store.writer import Writer
from aigw.tasks import spawn
from tests.store.rows import NOON, SECOND, new_store
from tests.store.writing import Locked, until

UNKNOWN = Refusal(Reason.UNKNOWN)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A database that is open elsewhere, as the daemon's writer has it."""
    with new_store(tmp_path / "aigw.db") as store:
        yield store.path


@pytest.fixture
def seconds() -> Clock:
    return Clock()


@pytest.fixture
def ring(path: Path, seconds: Clock) -> Iterator[KeyRing]:
    made = KeyRing(path, allow_open=True, monotonic=seconds)
    made.open()
    with closing(made):
        yield made


def create(path: Path, name: str = "ci", *, expires_at: int | None = None) -> Issued:
    return create_key(path, NewKey(name=name, user=name, expires_at=expires_at), clock.now())


def is_found(ring: KeyRing, issued: Issued) -> bool:
    return isinstance(ring.find(issued.token.reveal()), GatewayKey)


def count_looks(ring: KeyRing) -> list[str]:
    looks: list[str] = []

    def note(sql: str) -> None:
        if "keys_version" in sql:
            looks.append(sql)

    assert ring._connection is not None
    ring._connection.set_trace_callback(note)
    return looks


def test_a_key_is_found_by_its_token(path: Path, ring: KeyRing) -> None:
    issued = create(path)
    assert ring.find(issued.token.reveal()) == issued.key


def test_the_first_key_works_and_ends_open_mode_at_once(path: Path, ring: KeyRing) -> None:
    assert ring.is_open
    assert not ring.has_keys
    issued = create(path)
    assert not ring.is_open
    assert ring.has_keys
    assert is_found(ring, issued)


def test_a_further_key_works_at_once(path: Path, ring: KeyRing) -> None:
    first = create(path)
    assert is_found(ring, first)
    # Whenever the last look was, and however often: each new key is worth one.
    for name in ("second", "third"):
        assert ring.find(token("a" * 10, "B" * 43).reveal()) == UNKNOWN
        assert is_found(ring, create(path, name))


def test_a_revoked_key_fails_when_the_next_look_is_due(
    path: Path, ring: KeyRing, seconds: Clock
) -> None:
    issued = create(path)
    assert is_found(ring, issued)
    key = revoke_key(path, "ci", clock.now())
    seconds.now += CHECK_SECONDS * 1.01
    refused = ring.find(issued.token.reveal())
    assert refused == Refusal(Reason.REVOKED, key.revoked_at, "ci")


def test_a_rotated_key_changes_over(path: Path, ring: KeyRing) -> None:
    before = create(path)
    assert is_found(ring, before)
    after = rotate_key(path, "ci", clock.now())
    # The new secret at once, and with that look the old one is gone.
    assert is_found(ring, after)
    assert ring.find(before.token.reveal()) == UNKNOWN


def test_an_expired_key(path: Path, ring: KeyRing) -> None:
    past = clock.now() - SECOND
    issued = create(path, expires_at=past)
    assert ring.find(issued.token.reveal()) == Refusal(Reason.EXPIRED, past, "ci")


def test_a_key_expires_without_any_change(
    path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = clock.now() + 60 * SECOND
    issued = create(path, expires_at=expires_at)
    monkeypatch.setattr(clock, "now", lambda: expires_at - 1)
    assert is_found(ring, issued)
    monkeypatch.setattr(clock, "now", lambda: expires_at)
    assert not is_found(ring, issued)


def test_only_who_has_the_secret_learns_what_became_of_a_key(path: Path, ring: KeyRing) -> None:
    issued = create(path)
    revoke_key(path, "ci", clock.now())
    assert ring.find(token(issued.key.id, "B" * 43).reveal()) == UNKNOWN
    assert ring.find(token("a" * 10, "B" * 43).reveal()) == UNKNOWN


@pytest.mark.parametrize("text", ["aigw_", "aigw_short_x", "sk-1", "", "aigw_\udce9_\udce9"])
def test_what_is_no_key(ring: KeyRing, text: str) -> None:
    assert ring.find(text) == Refusal(Reason.MALFORMED)


def test_looks_are_rare_when_all_is_well(path: Path, ring: KeyRing, seconds: Clock) -> None:
    issued = create(path)
    assert is_found(ring, issued)
    looks = count_looks(ring)
    for _ in range(100):
        assert is_found(ring, issued)
        assert not ring.is_open
        assert ring.has_keys
    assert looks == []
    seconds.now += CHECK_SECONDS * 1.01
    for _ in range(100):
        assert is_found(ring, issued)
    assert len(looks) == 1


def test_wrong_keys_do_not_cost_a_look_each(path: Path, ring: KeyRing, seconds: Clock) -> None:
    create(path)
    wrong = token("a" * 10, "B" * 43).reveal()
    assert ring.find(wrong) == UNKNOWN
    looks = count_looks(ring)
    for _ in range(1000):
        ring.find(wrong)
        seconds.now += REFUSED_CHECK_SECONDS / 100
    assert 10 <= len(looks) <= 10 + REFUSED_CHECKS + 1


def test_open_mode_does_not_come_back(path: Path, ring: KeyRing, seconds: Clock) -> None:
    create(path)
    assert not ring.is_open
    revoke_key(path, "ci", clock.now())
    delete_key(path, "ci")
    seconds.now += 10
    assert not ring.has_keys
    assert not ring.is_open
    # A key made now works at once all the same.
    assert is_found(ring, create(path, "next"))


def test_a_key_that_came_and_went_between_two_looks_ended_it_too(path: Path, ring: KeyRing) -> None:
    create(path)
    revoke_key(path, "ci", clock.now())
    delete_key(path, "ci")
    assert not ring.is_open


def test_a_new_daemon_without_keys_is_open_again(path: Path, seconds: Clock) -> None:
    create(path)
    revoke_key(path, "ci", clock.now())
    delete_key(path, "ci")
    with closing(KeyRing(path, allow_open=True, monotonic=seconds)) as ring:
        ring.open()
        assert ring.is_open


def test_a_revoked_key_is_a_key(path: Path, seconds: Clock) -> None:
    create(path)
    revoke_key(path, "ci", clock.now())
    with closing(KeyRing(path, allow_open=True, monotonic=seconds)) as ring:
        ring.open()
        assert not ring.is_open


def test_other_listeners_are_never_open(path: Path) -> None:
    with closing(KeyRing(path)) as ring:
        ring.open()
        assert not ring.is_open


def test_a_store_that_cannot_be_read_leaves_nothing_open(tmp_path: Path) -> None:
    with closing(KeyRing(tmp_path / "none.db", allow_open=True)) as ring:
        with pytest.raises(StoreError, match="no database"):
            ring.open()
        assert not ring.is_open
        assert ring.find(token("a" * 10, "B" * 43).reveal()) == UNKNOWN


class Vanished:
    """The database moved away, as a broken disk or a slip would have it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name("aside.db")

    def __enter__(self) -> None:
        self._path.rename(self._aside)

    def __exit__(self, *_: object) -> None:
        self._aside.rename(self._path)


def test_a_failing_store_keeps_the_known_keys_and_is_told_of_once(
    path: Path, ring: KeyRing, seconds: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aigw.keys")
    issued = create(path)
    assert is_found(ring, issued)
    ring.close()
    with Vanished(path):
        for _ in range(5):
            seconds.now += CHECK_SECONDS * 1.01
            assert is_found(ring, issued)
            assert not ring.is_open
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "those known stay in force" in caplog.text
    revoke_key(path, "ci", clock.now())
    seconds.now += CHECK_SECONDS * 1.01
    assert not is_found(ring, issued)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert issued.token.reveal().rpartition("_")[2] not in caplog.text


def test_a_failing_store_leaves_open_mode_as_it_is(path: Path, ring: KeyRing) -> None:
    assert ring.is_open
    ring.close()
    with Vanished(path):
        assert ring.is_open


def test_a_row_by_another_hand_ends_nothing(path: Path, ring: KeyRing, seconds: Clock) -> None:
    issued = create(path)
    assert is_found(ring, issued)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE gateway_keys SET models = 'gpt*'")
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'keys_version'")
    seconds.now += CHECK_SECONDS * 1.01
    assert is_found(ring, issued)


def test_a_writing_daemon_and_a_lock_do_not_matter(path: Path, ring: KeyRing) -> None:
    issued = create(path)
    with Locked(path):
        assert is_found(ring, issued)


def test_printing_shows_no_hash(path: Path, ring: KeyRing) -> None:
    issued = create(path)
    found = ring.find(issued.token.reveal())
    assert str(issued.key.secret_hash) not in f"{found!r} {vars(ring)!r}"


def test_uses_are_taken_once_and_can_be_put_back(path: Path, ring: KeyRing) -> None:
    issued = create(path)
    before = clock.now()
    assert is_found(ring, issued)
    ring.find(token("a" * 10, "B" * 43).reveal())
    uses = ring.take_uses()
    assert list(uses) == [issued.key.id]
    assert uses[issued.key.id] >= before
    assert ring.take_uses() == {}
    ring.put_back_uses({issued.key.id: 1, "gone": 2})
    assert is_found(ring, issued)
    ring.put_back_uses({issued.key.id: 1})
    again = ring.take_uses()
    # The later use wins over one that is put back.
    assert again[issued.key.id] >= before
    assert again["gone"] == 2


def used(path: Path) -> list[int | None]:
    return [key.last_used_at for key in list_keys(path)]


def test_uses_are_stored_and_never_go_back(path: Path) -> None:
    key = create(path).key
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        store_uses(connection, {key.id: NOON + 5, "deleted": NOON})
        store_uses(connection, {key.id: NOON})
    assert used(path) == [NOON + 5]


@pytest.fixture
async def writer(tmp_path: Path) -> Writer:
    made = Writer(tmp_path / "daemon.db")
    made.open(clock.now())
    return made


async def test_uses_reach_the_store_now_and_then_and_at_the_end(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_uses, "EVERY_SECONDS", 0.005)
    issued = create(writer.path)
    with closing(KeyRing(writer.path)) as ring:
        ring.open()
        task = spawn("uses", note_uses_regularly(writer, ring))
        assert is_found(ring, issued)
        await until(lambda: used(writer.path) != [None], "storing the use")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (first,) = used(writer.path)
        assert is_found(ring, issued)
        await note_uses(writer, ring)
        (last,) = used(writer.path)
        assert first is not None
        assert last is not None
        assert last > first
    await writer.close()


async def test_uses_that_cannot_be_stored_are_kept(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    issued = create(writer.path)
    with closing(KeyRing(writer.path)) as ring:
        ring.open()
        assert is_found(ring, issued)
        with Locked(writer.path):
            await note_uses(writer, ring)
        assert "last used" in caplog.text
        assert used(writer.path) == [None]
        await note_uses(writer, ring)
        assert used(writer.path) != [None]
        await writer.close()
        assert is_found(ring, issued)
        await note_uses(writer, ring)
        assert list(ring.take_uses()) == [issued.key.id]
