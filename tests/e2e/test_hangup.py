"""SIGHUP at a daemon with a terminal, without one, and under nohup."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.polling import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulator import Simulator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")

# Becomes the leader of a session of its own, whose terminal is the one on its stdin.
_IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_UNDER_NOHUP = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


class InTerminal(Daemon):
    """A daemon whose controlling terminal the test holds the other end of."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        wrapper = (sys.executable, "-c", _IN_TERMINAL)
        super().__init__(folder, simulator.openai_url, simulator.anthropic_url, wrapper=wrapper)
        self.terminal, self._other = pty.openpty()

    def spawn(self) -> None:
        """Start it on the terminal."""
        with (
            (self.folder / "daemon.out").open("ab") as out,
            (self.folder / "daemon.err").open("ab") as err,
        ):
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self._environment,
                stdin=self._other,
                stdout=out,
                stderr=err,
            )
        os.close(self._other)


def reloads(daemon: Daemon) -> int:
    return daemon.log.count("was read again")


def test_closing_the_terminal_stops_it(tmp_path: Path, simulator: Simulator) -> None:
    daemon = InTerminal(tmp_path, simulator)
    daemon.start()
    try:
        daemon.signal(signal.SIGHUP)
        until(lambda: reloads(daemon) == 1, what="the reload")
        os.close(daemon.terminal)
        assert daemon.wait(20) == 0
    finally:
        daemon.kill()
    assert "stopping" in daemon.log
    assert reloads(daemon) == 1
    assert not daemon.note_path.exists()


def test_without_a_terminal_it_reloads(tmp_path: Path, simulator: Simulator) -> None:
    urls = (simulator.openai_url, simulator.anthropic_url)
    with Daemon(tmp_path, *urls, start_new_session=True) as daemon:
        for count in (1, 2):
            daemon.signal(signal.SIGHUP)
            until(lambda expected=count: reloads(daemon) == expected, what="the reload")


def test_under_nohup_it_is_ignored(tmp_path: Path, simulator: Simulator) -> None:
    urls = (simulator.openai_url, simulator.anthropic_url)
    wrapper = (sys.executable, "-c", _UNDER_NOHUP)
    with Daemon(tmp_path, *urls, wrapper=wrapper, start_new_session=True) as daemon:
        daemon.signal(signal.SIGHUP)
        # A reload that is asked for later ends after any that the signal might have begun.
        assert run_aigw(tmp_path, "reload", "--db", str(daemon.database)).returncode == 0
        assert reloads(daemon) == 1
