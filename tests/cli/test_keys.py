"""`aigw keys`: what is printed where, and that a key is printed once."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aigw import clock
from aigw.cli.complete_line import candidates
from aigw.cli.main import main
from aigw.store.key_changes import list_keys
from aigw.store.key_ring import KeyRing
from aigw.store.keys import GatewayKey
from aigw.store.lock import DaemonLock, Runtime
from tests.cli.reading import Command
from tests.home import use_home
from tests.store.rows import DAY, SECOND

ROOT = Path(__file__).parents[2]
TOKEN = re.compile(r"aigw_[a-z2-7]{10}_[A-Za-z0-9]{43}")


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """A command on a database that does not exist yet."""
    use_home(monkeypatch, tmp_path / "home")
    return Command(tmp_path / "data" / "aigw.db", capsys)


def create(command: Command, *words: str) -> str:
    """Make a key; its token."""
    assert command.run("keys", "create", *words) == 0, command.err
    assert TOKEN.fullmatch(command.out.removesuffix("\n")), command.out
    return command.out.strip()


def stored(command: Command, name: str) -> GatewayKey:
    return next(key for key in list_keys(command.database) if key.name == name)


def rows(command: Command, *words: str) -> list[list[str]]:
    assert command.run("keys", "list", *words) == 0
    return [re.split(r"  +", line) for line in command.out.splitlines()]


def test_the_key_stands_alone_on_stdout(command: Command) -> None:
    token = create(command, "me")
    for word in ("'me'", "not shown again", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY",
                 "ANTHROPIC_BASE_URL=http://127.0.0.1:4001/", "X-Coder-AI-Governance-Token"):  # fmt: skip
        assert word in command.err
    assert token.rpartition("_")[2] not in command.err


def test_the_first_key_ends_open_mode_and_says_so(command: Command) -> None:
    create(command, "me")
    assert "first key" in command.err
    assert "401" in command.err
    create(command, "second")
    assert "first key" not in command.err


def test_a_shell_keeps_it_in_a_variable(tmp_path: Path) -> None:
    script = f'KEY=$("{sys.executable}" -m aigw keys create me) && printf "<%s>" "$KEY"'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=ROOT,
        env={**os.environ, "AIGW_DB": str(tmp_path / "aigw.db"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert TOKEN.fullmatch(done.stdout[1:-1])


def test_the_user_is_the_name_unless_said(command: Command) -> None:
    create(command, "ci")
    create(command, "laptop", "--user", "ann@x.org")
    assert stored(command, "ci").user == "ci"
    assert stored(command, "laptop").user == "ann@x.org"
    assert "of ann@x.org" in command.err


def test_every_restriction_is_kept(command: Command) -> None:
    before = clock.now()
    create(
        command, "ci", "--expires", "90d", "--provider", "openai", "--provider", "my-own",
        "--provider", "openai", "--model", "gpt-5*", "--model", "o3", "--rate-limit", "5",
        "--max-concurrency", "2", "--admin",
    )  # fmt: skip
    key = stored(command, "ci")
    assert key.expires_at is not None
    assert 0 <= key.expires_at - before - 90 * DAY < 60 * SECOND
    assert key.providers == ("openai", "my-own")
    assert key.models == ("gpt-5*", "o3")
    assert (key.rate_limit, key.max_concurrency, key.is_admin) == (5, 2, True)
    assert "until" in command.err


def test_the_address_is_the_running_daemons(command: Command) -> None:
    create(command, "first")
    lock = DaemonLock(command.database)
    lock.acquire()
    lock.publish(Runtime(pid=1, address="https://gw.example:8443", started_at=1, version="1"))
    try:
        create(command, "me")
    finally:
        lock.release()
    assert "OPENAI_BASE_URL=https://gw.example:8443/api/v2/aibridge/openai/v1" in command.err


def test_or_the_one_it_would_have(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_HTTP_ADDRESS", "0.0.0.0:9000")
    create(command, "me")
    # No client can use the address that stands for all of them.
    assert "http://127.0.0.1:9000/" in command.err
    monkeypatch.setenv("CODER_HTTP_ADDRESS", "nonsense")
    create(command, "too")


def test_json(command: Command) -> None:
    made = command_json(command, "create", "ci", "--expires", "1d", "--model", "gpt-5*")
    assert list(made) == [
        "token", "id", "name", "user", "state", "created_at", "expires_at", "last_used_at",
        "revoked_at", "providers", "models", "rate_limit", "max_concurrency", "admin",
    ]  # fmt: skip
    assert TOKEN.fullmatch(made.pop("token"))
    assert made["created_at"].endswith("Z")
    assert command.json("keys", "list", "--json") == [made]
    rotated = command_json(command, "rotate", "ci")
    assert TOKEN.fullmatch(rotated.pop("token"))
    assert rotated == made


def command_json(command: Command, *words: str) -> Any:
    assert command.run("keys", *words, "--json") == 0
    return json.loads(command.out)


def test_list_is_a_table(command: Command) -> None:
    create(command, "ci", "--user", "ann", "--provider", "openai", "--model", "gpt-5*",
           "--rate-limit", "5", "--max-concurrency", "2", "--admin", "--expires", "3d")  # fmt: skip
    create(command, "m\u00fcller")
    head, first, second = rows(command)
    assert command.err == ""
    assert head == ["name", "user", "id", "created", "expires", "last used", "may", "state"]
    today = time.strftime("%Y-%m-%d")
    soon = time.strftime("%Y-%m-%d", time.localtime(time.time() + 3 * 86_400))
    assert first == [
        "ci", "ann", stored(command, "ci").id, today, soon, "never",
        "openai, gpt-5*, 5/s, 2 at a time, admin", "active",
    ]  # fmt: skip
    assert second[1:3] == ["m\u00fcller", stored(command, "m\u00fcller").id]
    assert second[4:] == ["never", "never", "everything", "active"]


def test_list_without_keys_or_database(command: Command) -> None:
    assert command.run("keys", "list") == 0
    assert command.out == ""
    assert "no gateway keys" in command.err
    assert command.json("keys", "list", "--json") == []
    assert not command.database.parent.exists()


def test_revoked_keys_are_shown_on_demand(command: Command) -> None:
    create(command, "old")
    create(command, "new")
    assert command.run("keys", "revoke", "old") == 0
    assert command.out == ""
    assert "'old'" in command.err
    assert [row[0] for row in rows(command)[1:]] == ["new"]
    assert "1 revoked" in command.err
    assert [(row[0], row[-1]) for row in rows(command, "--all")[1:]] == [
        ("old", "revoked"),
        ("new", "active"),
    ]
    assert command.err == ""
    assert len(command.json("keys", "list", "--json", "--all")) == 2


def test_a_key_is_named_by_name_or_id(command: Command) -> None:
    create(command, "ci")
    assert command.run("keys", "revoke", stored(command, "ci").id) == 0
    assert command.run("keys", "revoke", "ci") == 0
    assert "already" in command.err
    assert command.run("keys", "delete", "ci") == 0
    assert "No key is left" in command.err
    assert list_keys(command.database) == []


def test_a_key_that_leaked_is_revoked_by_itself(command: Command) -> None:
    token = create(command, "ci")
    assert command.run("keys", "revoke", token) == 0
    assert stored(command, "ci").revoked_at is not None
    assert command.run("keys", "revoke", token[:-1]) == 1
    assert "there is no key of this id" in command.err


def test_rotate(command: Command) -> None:
    before = create(command, "ci", "--user", "ann")
    assert command.run("keys", "rotate", "ci", "--expires", "1d") == 0
    after = command.out.strip()
    assert TOKEN.fullmatch(after)
    assert after != before
    assert after.rpartition("_")[0] == before.rpartition("_")[0]
    assert "not shown again" in command.err
    assert "first key" not in command.err
    assert stored(command, "ci").expires_at is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("revoke", "nobody"), "there is no key 'nobody'"),
        (("rotate", "nobody"), "there is no key 'nobody'"),
        (("delete", "nobody"), "there is no key 'nobody'"),
        (("delete", "ci"), "revoke it first"),
        (("create", "ci"), "there is a key 'ci' already"),
    ],
)
def test_what_fails_is_exit_code_1(command: Command, words: tuple[str, ...], message: str) -> None:
    create(command, "ci")
    assert command.run("keys", *words) == 1
    assert command.out == ""
    assert message in command.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", ""), "1 to 64 visible characters"),
        (("create", "x" * 65), "1 to 64 visible characters"),
        (("create", " x"), "no space at either end"),
        (("create", "a\nb"), "visible characters"),
        (("create", "a\u202eb"), "visible characters"),
        (("create", "aigw_x"), "begins with aigw_"),
        (("create", "a", "--user", ""), "--user"),
        (("create", "a", "--user", "x" * 129), "1 to 128"),
        (("create", "a", "--expires", "soon"), "--expires: 'soon' is not a duration"),
        (("create", "a", "--expires", "0"), "more than nothing"),
        (("create", "a", "--expires=-1d"), "more than nothing"),
        (("create", "a", "--provider", "Open AI"), "lower-case letters"),
        (("create", "a", "--model", ""), "--model"),
        (("create", "a", "--rate-limit", "0"), "--rate-limit must be from 1 to 1,000,000"),
        (("create", "a", "--rate-limit", "1000001"), "--rate-limit must be from 1"),
        (("create", "a", "--rate-limit", "many"), "--rate-limit"),
        (("create", "a", "--max-concurrency=-1"), "--max-concurrency must be from 1"),
        (("create",), "Missing argument"),
        (("rotate", "a", "--expires", "x"), "--expires"),
    ],
)
def test_wrong_usage_is_exit_code_2(command: Command, words: tuple[str, ...], message: str) -> None:
    assert command.run("keys", *words) == 2
    assert command.out == ""
    assert message in command.err
    assert not command.database.exists()


def test_a_key_works_at_once_where_a_daemon_runs_and_ends_at_once(command: Command) -> None:
    first = create(command, "first")
    with closing(KeyRing(command.database)) as ring:
        ring.open()
        token = create(command, "second")
        assert isinstance(ring.find(token), GatewayKey)
        assert isinstance(ring.find(first), GatewayKey)
        assert command.run("keys", "revoke", "second") == 0
        deadline = time.monotonic() + 1
        while isinstance(ring.find(token), GatewayKey):
            assert time.monotonic() < deadline, "still accepted after a second"
            time.sleep(0.01)


def test_no_output_but_the_first_shows_the_secret(
    command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = create(command, "ci")
    made = command_json(command, "create", "other")["token"]
    said = command.err
    for words in (
        ("list",), ("list", "--all"), ("list", "--json", "--all"), ("create", "ci"),
        ("revoke", "other"), ("revoke", "other"), ("rotate", "other"), ("delete", "other"),
        ("delete", made), ("create", token), ("revoke", token), ("revoke", token + "x"),
    ):  # fmt: skip
        command.run("keys", *words)
        said += command.out + command.err
    for secret in (token.rpartition("_")[2], made.rpartition("_")[2]):
        assert secret not in said
        assert secret not in caplog.text
        for file in command.database.parent.iterdir():
            assert secret.encode() not in file.read_bytes(), file


def test_names_are_completed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    create(command, "ci")
    create(command, "laptop")
    monkeypatch.setenv("AIGW_DB", str(command.database))
    for name in ("revoke", "rotate", "delete"):
        assert [c.value for c in candidates(["keys", name], "")] == ["ci", "laptop"]
    assert [c.value for c in candidates(["keys"], "r")] == ["revoke", "rotate"]


def test_a_provider_that_is_not_configured_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_home(monkeypatch, tmp_path)
    database = str(tmp_path / "aigw.db")
    assert main(["keys", "create", "eve", "--provider", "nosuch", "--db", database]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("aigw_")
    assert "no such provider" in captured.err
