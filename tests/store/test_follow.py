from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from aigw.errors import StoreError
from aigw.records import Record, RecordType, log_object
from aigw.store.filters import Filters
from aigw.store.follow import Follower
from aigw.store.retention import prune_batch
from tests.store.rows import DAY, NOON, Store, new_store, prompt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPTS = Filters(types=frozenset({RecordType.PROMPT_USAGE}))


class Watch:
    """A follower that looks when told, with what it said."""

    def __init__(self, path: Path, filters: Filters = PROMPTS) -> None:
        self.notices: list[str] = []
        self.follower = Follower(path, filters, self.notices.append, lambda _seconds: None)
        self._pieces = self.follower.new()

    def last(self, limit: int = 10) -> list[str]:
        return [text(r) for r in self.follower.last(limit)]

    def look(self) -> list[str]:
        """What two looks bring: the first may only find that the file is another one."""
        return [text(r) for _ in range(2) for records in self._one_look() for r in records]

    def _one_look(self) -> Iterator[list[Record]]:
        while records := next(self._pieces):
            yield records


def text(record: Record) -> str:
    return str(log_object(record)["prompt"])


def test_new_records_once_each(store: Store) -> None:
    store.whole(prompt="before")
    watch = Watch(store.path)
    with closing(watch.follower):
        assert watch.last() == ["before"]
        assert watch.look() == []
        store.whole(prompt="one")
        store.whole(prompt="two")
        assert watch.look() == ["one", "two"]
        assert watch.look() == []


def test_records_committed_while_the_last_are_shown(store: Store) -> None:
    store.whole(prompt="first")
    watch = Watch(store.path)
    with closing(watch.follower):
        showing = watch.follower.last(0)
        assert text(next(showing)) == "first"
        store.whole(prompt="meanwhile")
        assert list(showing) == []
        assert watch.look() == ["meanwhile"]


def test_filters_hold_for_new_records(store: Store) -> None:
    watch = Watch(store.path, Filters(types=PROMPTS.types, text="needle", model="gpt*"))
    with closing(watch.follower):
        watch.last()
        store.whole(prompt="a needle", model="gpt-5")
        store.whole(prompt="a needle elsewhere")
        store.whole(prompt="hay", model="gpt-5")
        assert watch.look() == ["a needle"]
        store.index()
        store.whole(prompt="needle again", model="gpt-5")
        assert watch.look() == ["needle again"]


def test_late_record_of_an_old_interception(store: Store) -> None:
    key = store.start(model="gpt-5")
    watch = Watch(store.path, Filters(types=PROMPTS.types, model="gpt-5"))
    with closing(watch.follower):
        watch.last()
        store.write(prompt(key, "late"))
        assert watch.look() == ["late"]


def test_pruning_disturbs_nothing(store: Store) -> None:
    store.whole(NOON, prompt="old")
    watch = Watch(store.path)
    with closing(watch.follower):
        watch.last()
        prune_batch(store.connection, NOON + DAY)
        assert watch.look() == []
        store.whole(NOON + DAY, prompt="new")
        assert watch.look() == ["new"]


def test_waits_for_the_database(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    watch = Watch(path)
    with closing(watch.follower):
        assert watch.last() == []
        assert watch.look() == []
        assert watch.notices == [f"waiting for a database at {path}"]
        path.touch()
        assert watch.look() == []
        with new_store(path) as store:
            store.whole(prompt="at last")
            assert watch.look() == ["at last"]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not let an open file be replaced")
def test_replaced_database_is_followed_from_its_start(store: Store, tmp_path: Path) -> None:
    for n in range(3):
        store.whole(prompt=str(n))
    watch = Watch(store.path)
    with closing(watch.follower):
        watch.last()
        store.path.rename(tmp_path / "rotated.db")
        for suffix in ("-wal", "-shm"):
            store.path.with_name(store.path.name + suffix).unlink(missing_ok=True)
        assert watch.look() == []
        with new_store(store.path) as other:
            other.whole(prompt="fresh")
            assert watch.look() == ["fresh"]
            assert len(watch.notices) == 1
            assert "was replaced" in watch.notices[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not let an open file be replaced")
def test_copy_put_in_place_is_followed_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    with new_store(path) as store:
        store.whole(prompt="seen")
        watch = Watch(path)
        watch.last()
    with closing(watch.follower):
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes())
        copy.replace(path)
        with new_store(path) as store:
            store.whole(prompt="new")
            assert watch.look() == ["new"]


def test_daemon_restart(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    with new_store(path) as store:
        store.whole(prompt="one")
        watch = Watch(path)
        watch.last()
    with closing(watch.follower):
        assert watch.look() == []
        with new_store(path) as store:
            store.whole(prompt="two")
            assert watch.look() == ["two"]


def test_unreadable_database_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigw.store.follow.PATIENCE_SECONDS", 0.0)
    path = tmp_path / "text.db"
    path.write_bytes(b"no database" * 500)
    watch = Watch(path)
    with pytest.raises(StoreError, match="not a SQLite database"):
        watch.look()
