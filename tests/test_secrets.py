from __future__ import annotations

import copy
import os
import sys
from typing import TYPE_CHECKING

import pytest

from aigw import secrets
from aigw.secrets import Secret, describe_reference, is_reference, mask, read_secret

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "sk-canary-0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("", ""),
        ("a", "..."),
        ("abcd", "..."),
        ("abcde", "a...e"),
        ("abcdefghi", "a...i"),
        ("abcdefghij", "ab...ij"),
        ("a" * 19, "aa...aa"),
        ("abcdefghijklmnopqrst", "abcd...qrst"),
    ],
)
def test_mask(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_a_secret_shows_its_mask_only() -> None:
    secret = Secret(CANARY)
    for text in (str(secret), repr(secret), f"{secret}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert CANARY not in text
        assert "sk-c...cdef" in text
    assert secret.reveal() == CANARY
    assert secret == Secret(CANARY)
    assert hash(secret) == hash(Secret(CANARY))
    assert secret != CANARY
    assert secret
    assert not Secret()
    assert copy.deepcopy(secret) == secret


def read(text: str, folder: Path, **environ: str) -> Secret:
    return read_secret(text, {"PATH": os.environ.get("PATH", ""), **environ}, folder)


def python(code: str) -> str:
    return f'cmd:"{sys.executable}" -c "{code}"'


def test_references(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"\n{CANARY}  \r\nsecond line\n")
    assert read(CANARY, tmp_path).reveal() == CANARY
    assert read(f"  {CANARY}\n", tmp_path).reveal() == CANARY
    assert read("", tmp_path).reveal() == ""
    assert read("env:KEY", tmp_path, KEY=f" {CANARY} ").reveal() == CANARY
    assert read("file:key", tmp_path).reveal() == CANARY
    assert read(f"file:{tmp_path / 'key'}", tmp_path).reveal() == CANARY
    assert read(python(f"print('{CANARY}')"), tmp_path).reveal() == CANARY


def test_where_a_secret_came_from_is_kept(tmp_path: Path) -> None:
    assert read("env:KEY", tmp_path, KEY=CANARY).reference == "env:KEY"
    assert read(CANARY, tmp_path).reference == ""
    assert describe_reference(f"cmd:print {CANARY}") == "cmd:print ..."
    assert describe_reference("cmd:print-key") == "cmd:print-key"
    assert is_reference(" env:X")
    assert not is_reference("sk-env:X")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("env:MISSING", "MISSING is not set"),
        ("env:EMPTY", "EMPTY is empty"),
        ("env:", "needs a variable's name"),
        ("env:BLANK", "BLANK is empty"),
        ("env:SPACED", "SPACED has characters"),
        ("file:missing", "cannot read .*missing: No such file"),
        ("file:.", "cannot read"),
        ("file:empty", "empty is empty"),
        ("file:binary", "not text in UTF-8"),
        ("file:large", "too large"),
        ("cmd:", "needs a command"),
        ("cmd:'open quote", "cannot be split"),
        ("cmd:no-such-program-aigw x", "cannot run no-such-program-aigw"),
        (f"{CANARY} {CANARY}", "the value has characters"),
        (f"{CANARY}\u00e9", "the value has characters"),
    ],
)
def test_what_cannot_be_a_key(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    with pytest.raises(ValueError, match=reason) as caught:
        read(text, tmp_path, EMPTY="", BLANK=" ", SPACED=f"{CANARY} x")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (f"import sys; print('{CANARY}'); sys.exit('{CANARY}')", "failed with exit code 1"),
        ("print()", "is empty"),
        (f"print('{CANARY} x')", "has characters"),
    ],
)
def test_a_failing_command_gives_nothing_away(code: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read(python(code), tmp_path)
    assert CANARY not in str(caught.value)
    assert "sys.exit" not in str(caught.value)


def test_a_hanging_command_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(ValueError, match=r"did not finish within 0\.2 s"):
        read(python("import time; time.sleep(60)"), tmp_path)


def test_commands_run_without_a_shell(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot run|failed|has characters"):
        read("cmd:true; touch made", tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_secret("file:pipe", {}, tmp_path)
