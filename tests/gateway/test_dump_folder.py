"""Names that cannot lead out of the folder, and work in it that no symlink diverts."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aigw.gateway import dump_folder
from aigw.gateway.dump_folder import (
    NAME_LENGTH,
    Folder,
    Place,
    is_dump,
    is_unfinished,
    place,
    safe_name,
    write_dump,
)

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file modes and links")

MS = 1_767_355_445_006
ALLOWED = re.compile(r"[A-Za-z0-9_+@=][A-Za-z0-9._+@=-]*")


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gpt-5", "gpt-5"),
        ("us.anthropic.claude-sonnet-4-v1:0", "us.anthropic.claude-sonnet-4-v1-0"),
        ("meta/llama 3", "meta-llama-3"),
        ("a@b+c=d_e", "a@b+c=d_e"),
        ("..", "unnamed"),
        (".", "unnamed"),
        ("", "unnamed"),
        ("///", "unnamed"),
        ("../../etc/passwd", "etc-passwd"),
        ("..\\..\\windows", "windows"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("dots...", "dots"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1", "_com1"),
        ("console", "console"),
        ("a\0b\nc\x1b[31m", "a-b-c-31m"),
        ("caf\u00e9\udce9", "caf"),
        ("\u202egpj.exe", "gpj.exe"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text(max_size=500) | st.text(alphabet="./\\-aN", max_size=300))
@example("a" * 10_000)
@example("CON" + "." * 5000)
@example("." * 99 + "nul")
def test_any_text_makes_a_harmless_name(text: str) -> None:
    name = safe_name(text)
    assert ALLOWED.fullmatch(name)
    assert len(name) <= NAME_LENGTH + 1
    assert not name.endswith(".")
    assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


def test_places() -> None:
    assert place("openai", "gpt/5", "0190-ab", "/v1/x", MS) == Place(
        "openai", "gpt-5", f"{MS}-0190-ab", is_unique=True
    )
    assert place("openai", "", None, "/v1/models/x?key=sk-secret", MS) == Place(
        "openai", "passthrough", f"{MS}-v1-models-x", is_unique=False
    )
    assert place("..", "..", "../x", "", MS)[:3] == ("unnamed", "unnamed", f"{MS}-x")
    assert place("p", "", None, "/", MS).stem == f"{MS}-unnamed"


@pytest.mark.parametrize("interception", ["../../x", "0190", None])
@pytest.mark.parametrize("odd", ["../../..", "/abs/path", "a/../../b", "..\\..\\b", "C:\\x", "\0"])
def test_nothing_is_written_outside(tmp_path: Path, odd: str, interception: str | None) -> None:
    root = tmp_path / "a" / "b" / "dumps"
    write_dump(root, place(odd, odd, interception, odd, MS), b"{}")
    [made] = files(tmp_path)
    assert made.startswith("a/b/dumps/")
    assert len(Path(made).parts) == 6
    assert is_dump(Path(made).name)


@posix
def test_modes_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_dump(tmp_path / "new" / "dumps", place("openai", "gpt-5", "id", "", MS), b"{}")
    finally:
        os.umask(before)
    dumps = tmp_path / "new" / "dumps"
    assert [mode(dumps), mode(dumps / "openai"), mode(dumps / "openai" / "gpt-5")] == [0o700] * 3
    assert mode(dumps / "openai" / "gpt-5" / f"{MS}-id.har") == 0o600


def test_no_file_is_written_over(tmp_path: Path) -> None:
    for number in range(20):
        write_dump(tmp_path, place("p", "m", "same", "", MS), b"%d" % number)
        write_dump(tmp_path, place("p", "m", None, "/same", MS), b"%d" % number)
    assert len(files(tmp_path / "p" / "m")) == 20
    assert len(files(tmp_path / "p" / "passthrough")) == 20
    assert (tmp_path / "p" / "m" / f"{MS}-same.har").read_bytes() == b"0"
    assert all(is_dump(Path(name).name) for name in files(tmp_path))


def test_a_passthrough_name_ends_in_four_hex_digits(tmp_path: Path) -> None:
    write_dump(tmp_path, place("p", "", None, "/v1/models", MS), b"{}")
    [name] = files(tmp_path)
    assert re.fullmatch(rf"p/passthrough/{MS}-v1-models-[0-9a-f]{{4}}\.har", name)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dump_folder, "_write_all", full)
    with pytest.raises(OSError, match="No space"):
        write_dump(tmp_path, place("p", "m", "id", "", MS), b"{}")
    assert files(tmp_path) == []


def test_half_a_file_has_another_name() -> None:
    assert is_unfinished(f".{MS}-id.har.part")
    assert not is_dump(f".{MS}-id.har.part")
    assert not is_dump(f"{MS}-id.har.part")


@pytest.mark.parametrize(
    "name", ["notes.har", "1-x.har", f"{MS}.har", f"{MS}-x.txt", f"{MS}-x.har\n"]
)
def test_others_files_are_not_taken_for_dumps(name: str) -> None:
    assert not is_dump(name)
    assert not is_unfinished(name)


@posix
@pytest.mark.parametrize("depth", ["openai", "openai/gpt-5"])
def test_a_symlink_below_the_folder_is_not_followed(tmp_path: Path, depth: str) -> None:
    root, elsewhere = tmp_path / "dumps", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "gpt-5").mkdir()
    link = root / depth
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        write_dump(root, place("openai", "gpt-5", "id", "", MS), b"{}")
    assert files(elsewhere) == []


@posix
def test_the_folder_replaced_by_a_symlink_is_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "dumps", tmp_path / "elsewhere"
    elsewhere.mkdir()
    root.symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        write_dump(root, place("openai", "gpt-5", "id", "", MS), b"{}")
    assert files(elsewhere) == []


@posix
def test_an_open_folder_stays_itself(tmp_path: Path) -> None:
    """Between the opening and the writing the folder is swapped for a symlink."""
    root, elsewhere = tmp_path / "dumps", tmp_path / "elsewhere"
    (root / "p").mkdir(parents=True)
    elsewhere.mkdir()
    with Folder.root(root) as top, top.folder("p") as folder:
        (root / "p").rename(root / "moved")
        (root / "p").symlink_to(elsewhere)
        folder.new_file("x").close()
    assert files(elsewhere) == []
    assert (root / "moved" / "x").exists()


@posix
def test_a_symlink_in_place_of_a_file_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    folder = tmp_path / "dumps" / "p" / "m"
    folder.mkdir(parents=True)
    (folder / f"{MS}-id.har").symlink_to(target)
    (folder / f".{MS}-id.har.part").symlink_to(target)
    write_dump(tmp_path / "dumps", place("p", "m", "id", "", MS), b"{}")
    assert target.read_text() == "precious"


@posix
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "p2").write_text("in the way")
    before = len(os.listdir("/dev/fd"))
    for number in range(5):
        write_dump(tmp_path, place("p", "m", f"{number}", "", MS), b"{}")
        with pytest.raises(OSError, match="directory"):
            write_dump(tmp_path, place("p2", "m", "x", "", MS), b"{}")
    assert len(os.listdir("/dev/fd")) == before


def test_without_descriptors_links_are_looked_for_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Windows gets."""
    monkeypatch.setattr(dump_folder, "_BY_DESCRIPTOR", False)
    write_dump(tmp_path / "dumps", place("p", "m", "id", "", MS), b"{}")
    assert files(tmp_path) == [f"dumps/p/m/{MS}-id.har"]
    with Folder.root(tmp_path / "dumps") as top, top.folder("p") as p, p.folder("m") as folder:
        [entry] = folder.entries()
        assert (entry.name, entry.is_file, entry.size) == (f"{MS}-id.har", True, 2)
        folder.remove(entry.name)
        p.remove_folder("m")
    (tmp_path / "dumps" / "link").symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError):
        write_dump(tmp_path / "dumps", place("link", "m", "id", "", MS), b"{}")
