"""Making and ending keys, beside a writing daemon and without one."""

from __future__ import annotations

import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from aigw.errors import StoreError
from aigw.store import changes
from aigw.store.changes import changing
from aigw.store.key_changes import (
    Issued,
    NewKey,
    create_key,
    delete_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from aigw.store.keys import GatewayKey, KeyState, keys_version, parse_token
from aigw.store.lock import DaemonLock
from aigw.store.reader import reading
from aigw.store.schema import MIGRATIONS, SCHEMA_VERSION
from aigw.store.writer import Writer
from tests.store.rows import DAY, NOON, new_store
from tests.store.writing import Locked, read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aigw.db"


def create(path: Path, name: str = "ci", expires_at: int | None = None) -> Issued:
    return create_key(path, NewKey(name=name, user="ann@x.org", expires_at=expires_at), NOON)


def version(path: Path) -> int:
    with reading(path) as connection:
        return keys_version(connection)


def secret_of(issued: Issued) -> str:
    parts = parse_token(issued.token.reveal())
    assert parts is not None
    return parts.secret


def test_everything_is_stored(path: Path) -> None:
    new = NewKey(
        name="ci",
        user="ann@x.org",
        expires_at=NOON + DAY,
        providers=("openai", "mine"),
        models=("gpt-5*",),
        rate_limit=5,
        max_concurrency=2,
        is_admin=True,
    )
    issued = create_key(path, new, NOON)
    assert list_keys(path) == [issued.key]
    assert issued.key == GatewayKey(
        id=issued.key.id,
        name="ci",
        user="ann@x.org",
        secret_hash=issued.key.secret_hash,
        created_at=NOON,
        expires_at=NOON + DAY,
        providers=("openai", "mine"),
        models=("gpt-5*",),
        rate_limit=5,
        max_concurrency=2,
        is_admin=True,
    )
    assert issued.key.has_secret(secret_of(issued))


def test_a_missing_database_is_made_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "aigw.db"
    assert list_keys(path) == []
    assert not path.parent.exists()
    assert create(path).is_first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not create(path, "second").is_first


def test_names_are_unique_among_all_keys(path: Path) -> None:
    first = create(path)
    revoke_key(path, "ci", NOON)
    with pytest.raises(StoreError, match=r"there is a key 'ci' already \(revoked\)"):
        create(path)
    # Nor is a name another key's id: each names one key.
    with pytest.raises(StoreError, match="already"):
        create(path, first.key.id)
    assert len(list_keys(path)) == 1


@pytest.mark.parametrize("by_id", [True, False])
def test_revoking(path: Path, by_id: bool) -> None:
    issued = create(path)
    wanted = issued.key.id if by_id else "ci"
    assert revoke_key(path, wanted, NOON + 5).revoked_at == NOON + 5
    # Once more changes nothing: the first moment is the true one.
    assert revoke_key(path, wanted, NOON + 9).revoked_at == NOON + 5
    assert [key.revoked_at for key in list_keys(path)] == [NOON + 5]


def test_rotating_changes_the_secret_only(path: Path) -> None:
    before = create(path)
    after = rotate_key(path, "ci", NOON + 1)
    assert after.key.id == before.key.id
    assert after.key.name == before.key.name
    assert after.key.created_at == NOON
    assert not after.is_first
    (stored,) = list_keys(path)
    assert stored.has_secret(secret_of(after))
    assert not stored.has_secret(secret_of(before))


def test_rotating_an_expired_key_needs_a_new_end(path: Path) -> None:
    create(path, expires_at=NOON + 5)
    with pytest.raises(StoreError, match=r"has expired.*--expires"):
        rotate_key(path, "ci", NOON + 5)
    assert rotate_key(path, "ci", NOON + 5, NOON + DAY).key.expires_at == NOON + DAY
    assert list_keys(path)[0].state(NOON + 6) is KeyState.ACTIVE


def test_a_revoked_key_is_not_rotated(path: Path) -> None:
    create(path)
    revoke_key(path, "ci", NOON)
    with pytest.raises(StoreError, match="revoked for good"):
        rotate_key(path, "ci", NOON, NOON + DAY)


def test_deleting_only_what_is_revoked(path: Path) -> None:
    create(path)
    create(path, "other")
    with pytest.raises(StoreError, match="revoke it first"):
        delete_key(path, "ci")
    revoke_key(path, "ci", NOON)
    assert delete_key(path, "ci").left == 1
    assert [key.name for key in list_keys(path)] == ["other"]
    assert not create(path).is_first


def test_each_change_raises_the_version_and_a_failed_one_does_not(path: Path) -> None:
    create(path)
    assert version(path) == 1
    for change in (
        lambda: create(path),
        lambda: delete_key(path, "ci"),
        lambda: revoke_key(path, "nobody", NOON),
    ):
        with pytest.raises(StoreError):
            change()
    assert version(path) == 1
    rotate_key(path, "ci", NOON)
    assert version(path) == 2
    revoke_key(path, "ci", NOON)
    assert version(path) == 3
    revoke_key(path, "ci", NOON)
    assert version(path) == 3
    delete_key(path, "ci")
    assert version(path) == 4


@pytest.mark.parametrize("wanted", ["", "nobody", "CI", "c"])
def test_an_unknown_key(path: Path, wanted: str) -> None:
    create(path)
    with pytest.raises(StoreError, match=r"there is no key .*keys list --all"):
        revoke_key(path, wanted, NOON)


async def test_beside_a_running_daemon(path: Path) -> None:
    writer = Writer(path)
    writer.open(NOON)
    try:
        create(path)
        await writer.commit([])
        rows = await writer.call(lambda c: c.execute("SELECT name FROM gateway_keys").fetchall())
        assert rows == [("ci",)]
    finally:
        await writer.close()


def make_older(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(MIGRATIONS[0])
        connection.execute("PRAGMA user_version = 1")


def test_an_older_database_is_brought_up_to_date(path: Path) -> None:
    make_older(path)
    with pytest.raises(StoreError, match="schema version 1"):
        list_keys(path)
    create(path)
    assert read(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_but_not_below_an_older_daemon(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_older(path)
    monkeypatch.setattr(changes, "STARTING_SECONDS", 0.0)
    lock = DaemonLock(path)
    lock.acquire()
    try:
        with pytest.raises(StoreError, match="daemon of an older aigw"):
            create(path)
        assert read(path, "PRAGMA user_version") == [(1,)]
    finally:
        lock.release()


def test_a_newer_database_is_refused(path: Path) -> None:
    create(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for change in (lambda: create(path, "x"), lambda: list_keys(path)):
        with pytest.raises(StoreError, match="newer aigw"):
            change()


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough for a header " * 40)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not an intact SQLite database"):
        create(path)
    assert path.read_bytes() == before


def test_a_locked_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(path)
    monkeypatch.setattr(changes, "BUSY_SECONDS", 0.05)
    with Locked(path), pytest.raises(StoreError, match="locked by another program"):
        create(path, "x")


def test_what_fails_half_way_leaves_nothing(path: Path) -> None:
    create(path)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM gateway_keys")
        raise KeyError

    with pytest.raises(KeyError), changing(path) as connection:
        fail(connection)
    assert len(list_keys(path)) == 1


_RACE = """
import sys
from pathlib import Path
from aigw.store.key_changes import NewKey, create_key
print("ready", flush=True)
sys.stdin.readline()
create_key(Path(sys.argv[1]), NewKey(name=sys.argv[2], user="u"), 1)
"""


def test_many_at_once_on_a_new_database(path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, str(path), f"k{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(6)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    errors = [process.communicate()[1].decode() for process in processes]
    assert errors == [""] * 6
    assert sorted(key.name for key in list_keys(path)) == [f"k{number}" for number in range(6)]
    assert version(path) == 6


def test_the_secret_is_in_no_file(path: Path) -> None:
    # The store stays open, as a daemon's does, so that the write-ahead log is there to look into.
    with new_store(path):
        tokens = [create(path), rotate_key(path, "ci", NOON), create(path, "other")]
        revoke_key(path, "other", NOON)
        files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
        assert "aigw.db-wal" in files
        assert any(tokens[0].key.id.encode() in content for content in files.values())
        for issued in tokens:
            secret = secret_of(issued)
            for content in files.values():
                assert secret.encode() not in content
            for text in (repr(issued), str(issued), repr(list_keys(path))):
                assert secret not in text
                assert not re.search(re.escape(repr(issued.key.secret_hash)), text)
