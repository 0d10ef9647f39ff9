"""Asking the daemon: whom, with what, and what goes wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from aigw.cli import daemon_client
from aigw.cli.daemon_client import ask
from aigw.errors import DaemonError, NotRunningError
from aigw.store.lock import DaemonLock, Runtime
from tests.certificates import new_pair
from tests.cli.running import TOKEN, daemon

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path / "aigw.db"


def test_path_method_and_token(database: Path) -> None:
    with daemon(database, b'{"a": 1}') as answering:
        assert ask(database, "/x?y=1") == {"a": 1}
        assert ask(database, "/z", "POST") == {"a": 1}
    assert answering.requests == [("GET", "/x?y=1"), ("POST", "/z")]
    assert answering.tokens == [TOKEN, TOKEN]


def test_the_certificate_of_the_note_is_trusted(database: Path, tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    with daemon(database, b"{}", tls=pair) as answering:
        assert ask(database, "/") == {}
    assert answering.tokens == [TOKEN]


def test_so_is_one_that_has_expired(database: Path, tmp_path: Path) -> None:
    day = timedelta(days=1)
    pair = new_pair(tmp_path, starts=-3 * day, ends=-day)
    with daemon(database, b"{}", tls=pair):
        assert ask(database, "/") == {}


@pytest.mark.parametrize("same_name", [True, False])
def test_no_other_certificate_is(database: Path, tmp_path: Path, same_name: bool) -> None:
    pair = new_pair(tmp_path)
    (tmp_path / "other").mkdir()
    noted = new_pair(tmp_path / "other", "tls" if same_name else "another")
    with (
        daemon(database, b"{}", tls=pair, certificate=noted.pem) as answering,
        pytest.raises(DaemonError, match=r"does not answer: .*certificate"),
    ):
        ask(database, "/")
    # The token was not given away.
    assert answering.tokens == []


def test_a_redirect_is_not_followed(database: Path) -> None:
    with (
        daemon(database, b"", status=302, location="http://127.0.0.1:9/") as answering,
        pytest.raises(DaemonError, match="refuses: status 302"),
    ):
        ask(database, "/")
    assert len(answering.requests) == 1


def test_a_refusal_says_why(database: Path) -> None:
    with (
        daemon(database, b'{"message": "not you"}', status=403),
        pytest.raises(DaemonError, match=r"the daemon at http://127.0.0.1:\d+ refuses: not you"),
    ):
        ask(database, "/")


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"\xff", b'{"a": ' * 1000])
def test_odd_answers_are_empty(database: Path, body: bytes) -> None:
    with daemon(database, body):
        assert ask(database, "/") == {}


def test_none_runs(database: Path) -> None:
    with pytest.raises(NotRunningError, match="aigw serve --aibridge-enabled") as error:
        ask(database, "/")
    assert error.value.exit_code == 3


def test_one_is_starting(database: Path) -> None:
    lock = DaemonLock(database)
    lock.acquire()
    with pytest.raises(NotRunningError, match="starting or stopping"):
        ask(database, "/")
    lock.release()


def test_one_that_hangs(database: Path) -> None:
    lock = DaemonLock(database)
    lock.acquire()
    lock.publish(Runtime(pid=1, address="http://127.0.0.1:9", started_at=1, version="1"))
    with pytest.raises(DaemonError, match=r"http://127.0.0.1:9 does not answer"):
        ask(database, "/")
    lock.release()


def test_a_very_long_answer_is_cut(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_client, "LONGEST_ANSWER", 4)
    with daemon(database, b'{"a": 1}'):
        assert ask(database, "/") == {}
