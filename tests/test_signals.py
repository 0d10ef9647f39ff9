"""What SIGHUP means: a new configuration, a closed terminal, or nothing."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from aigw import signals
from aigw.signals import Hangup, Terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")


class Named(Terminal):
    """A file in the part of a terminal, whose loss is given as an error number."""

    def __init__(self, path: Path) -> None:
        self.error: int | None = None
        super().__init__(str(path))

    def _error(self) -> int | None:
        return super()._error() if getattr(self, "error", None) is None else self.error


@pytest.fixture
def terminal(tmp_path: Path) -> Named:
    path = tmp_path / "tty"
    path.write_text("")
    return Named(path)


@pytest.mark.parametrize("number", [errno.ENXIO, errno.ENOTTY, errno.EIO])
def test_a_terminal_that_has_gone(terminal: Named, number: int) -> None:
    assert not terminal.is_gone
    terminal.error = number
    assert terminal.is_gone


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ENOENT])
def test_other_troubles_are_not_the_end(terminal: Named, number: int) -> None:
    terminal.error = number
    assert not terminal.is_gone


def test_without_a_terminal_at_start_none_can_go(tmp_path: Path) -> None:
    terminal = Named(tmp_path / "none")
    terminal.error = errno.ENXIO
    assert not terminal.is_gone


async def test_reload_while_the_terminal_is_there(terminal: Named) -> None:
    stopping, reloads = asyncio.Event(), []
    hangup = Hangup(terminal, stopping, lambda: reloads.append(1))
    hangup()
    hangup()
    assert reloads == [1, 1]
    assert not stopping.is_set()


async def test_stop_when_it_has_gone(terminal: Named) -> None:
    stopping, reloads = asyncio.Event(), []
    hangup = Hangup(terminal, stopping, lambda: reloads.append(1))
    terminal.error = errno.ENXIO
    hangup()
    # The shell and the kernel both send one: the second is no impatience.
    hangup()
    assert stopping.is_set()
    assert reloads == []


async def test_stop_when_it_goes_a_moment_later(
    terminal: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "TERMINAL_GRACE_SECONDS", 0.05)
    stopping = asyncio.Event()
    Hangup(terminal, stopping, lambda: None)()
    terminal.error = errno.EIO
    await asyncio.wait_for(stopping.wait(), 10)
