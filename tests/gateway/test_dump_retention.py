"""Which dumps go, and that nothing else ever does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aigw.gateway.dump_retention import UNFINISHED_SECONDS, prune

NOW = 2_000_000_000.0
MS = 1_767_355_445_006

posix = pytest.mark.skipif(os.name == "nt", reason="symlinks")


def make(root: Path, name: str, *, size: int = 100, age: float = 0.0) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age, NOW - age))
    return path


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_old_ones_go(tmp_path: Path) -> None:
    make(tmp_path, f"p/m/{MS}-old.har", age=101)
    make(tmp_path, f"p/m/{MS}-new.har", age=99)
    make(tmp_path, f"p/other/{MS}-old.har", age=101)
    kept = prune(tmp_path, NOW, 100, 10_000)
    assert names(tmp_path) == {f"p/m/{MS}-new.har"}
    assert kept == (100, NOW - 99)


def test_without_an_age_they_stay(tmp_path: Path) -> None:
    make(tmp_path, f"p/m/{MS}-old.har", age=10**9)
    prune(tmp_path, NOW, 0, 10_000)
    assert len(names(tmp_path)) == 1


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path) -> None:
    for number in range(12):
        make(tmp_path, f"p{number % 3}/m/{MS}-{number}.har", age=number)
    kept = prune(tmp_path, NOW, 0, 1000)
    assert names(tmp_path) == {f"p{number % 3}/m/{MS}-{number}.har" for number in range(9)}
    assert kept == (900, NOW - 8)


def test_what_fits_stays(tmp_path: Path) -> None:
    for number in range(10):
        make(tmp_path, f"p/m/{MS}-{number}.har")
    assert prune(tmp_path, NOW, 0, 1000).size == 1000
    assert len(names(tmp_path)) == 10


def test_one_that_is_too_large_alone_goes(tmp_path: Path) -> None:
    make(tmp_path, f"p/m/{MS}-huge.har", size=5000)
    assert prune(tmp_path, NOW, 0, 1000) == (0, None)
    assert names(tmp_path) == set()


def test_both_bounds_hold_together(tmp_path: Path) -> None:
    make(tmp_path, f"p/m/{MS}-a.har", age=101, size=5000)
    make(tmp_path, f"p/m/{MS}-b.har", age=50, size=600)
    make(tmp_path, f"p/m/{MS}-c.har", age=10, size=600)
    prune(tmp_path, NOW, 100, 1000)
    assert names(tmp_path) == {f"p/m/{MS}-c.har"}


def test_empty_folders_go_with_their_last_dump(tmp_path: Path) -> None:
    make(tmp_path, f"p/m/{MS}-old.har", age=101)
    make(tmp_path, f"q/m/{MS}-old.har", age=101)
    make(tmp_path, f"q/n/{MS}-new.har")
    prune(tmp_path, NOW, 100, 10_000)
    assert not (tmp_path / "p").exists()
    assert not (tmp_path / "q" / "m").exists()
    assert (tmp_path / "q" / "n").exists()


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    others = {
        str(make(tmp_path, name, age=10**8, size=5000).relative_to(tmp_path))
        for name in [
            "notes.txt",
            f"{MS}-at-the-top.har",
            f"p/{MS}-one-up.har",
            f"p/m/deeper/{MS}-x.har",
            "p/m/mine.har",
            f"p/m/{MS}-x.txt",
            "p/m/.hidden",
        ]
    }
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    make(tmp_path, f"p/m/{MS}-x.har", age=10**8)
    prune(tmp_path, NOW, 100, 100)
    assert names(tmp_path) == others
    assert (tmp_path / "empty" / "inner").exists()


def test_half_files_of_a_killed_daemon_go(tmp_path: Path) -> None:
    make(tmp_path, f"p/m/.{MS}-killed.har.part", age=UNFINISHED_SECONDS + 1)
    make(tmp_path, f"q/m/.{MS}-being-written.har.part", age=10)
    prune(tmp_path, NOW, 0, 10_000)
    assert names(tmp_path) == {f"q/m/.{MS}-being-written.har.part"}


@posix
def test_symlinks_are_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "dumps", tmp_path / "elsewhere"
    precious = make(elsewhere, f"m/{MS}-x.har", age=10**8)
    make(elsewhere, f"{MS}-x.har", age=10**8)
    make(root, f"p/m/{MS}-y.har")
    (root / "link").symlink_to(elsewhere)
    (root / "p" / "link").symlink_to(elsewhere)
    (root / "p" / "m" / f"{MS}-link.har").symlink_to(precious)
    os.utime(root / "p" / "m" / f"{MS}-link.har", (1, 1), follow_symlinks=False)
    assert prune(root, NOW, 100, 1000).size == 100
    assert len(names(elsewhere)) == 2
    assert (root / "link").is_symlink()
    assert (root / "p" / "m" / f"{MS}-link.har").is_symlink()


@posix
def test_a_folder_that_became_a_symlink_is_refused(tmp_path: Path) -> None:
    precious = make(tmp_path / "elsewhere", f"p/m/{MS}-x.har", age=10**8)
    (tmp_path / "dumps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        prune(tmp_path / "dumps", NOW, 100, 1000)
    assert precious.exists()


def test_an_empty_folder_is_fine(tmp_path: Path) -> None:
    assert prune(tmp_path / "new", NOW, 100, 1000) == (0, None)
