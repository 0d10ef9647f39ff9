"""Starts the servers under test as child processes on their core, and ends them by their ids."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.machine import pinned
from benchmarks.payloads import CENTRAL_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

START_LIMIT: Final = 20.0
"""Seconds until a server must be ready."""

STOP_LIMIT: Final = 30.0
"""Seconds that a server may take to stop after being asked: it may have work to flush."""

ROOT: Final = Path(__file__).resolve().parent.parent


class ServerError(Exception):
    """A server did not start; the message holds the end of what it wrote."""


@dataclass(slots=True)
class Server:
    """A running server."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    database: Path | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def stop(self) -> int:
        """Ask it to stop, end it if it does not, and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


async def start_floor(upstream: str, folder: Path, core: int | None) -> Server:
    """The bare pass-through of `floor.py`."""
    output = folder / "floor.out"
    process = _spawn(["-m", "benchmarks.floor", f"http://{upstream}"], output, core)

    def address() -> str | None:
        line, end, _ = output.read_text().partition("\n")
        return line if end and line.startswith("http://") else None

    return Server("floor", await _ready(process, output, address), process)


async def start_gateway(upstream: str, folder: Path, core: int | None) -> Server:
    """The gateway with recording on, a new database in `folder`, and central keys."""
    database = folder / "bench.db"
    config = folder / "config.toml"
    config.write_text("")
    arguments = [
        *("-m", "aigw", "serve", "--aibridge-enabled", "--config", str(config)),
        *("--db", str(database), "--http-address", "127.0.0.1:0"),
        *("--aibridge-openai-base-url", f"http://{upstream}/v1"),
        *("--aibridge-anthropic-base-url", f"http://{upstream}"),
        *("--aibridge-openai-key", CENTRAL_KEY, "--aibridge-anthropic-key", CENTRAL_KEY),
    ]
    output = folder / "gateway.out"
    process = _spawn(arguments, output, core)
    runtime = database.with_name(database.name + ".daemon.json")

    def address() -> str | None:
        try:
            return str(json.loads(runtime.read_text())["address"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    return Server("aigw", await _ready(process, output, address), process, database)


def clean_environment() -> dict[str, str]:
    """The environment without what would change a measurement: other settings, keys, proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("CODER_", "AIGW_", "AIBRIDGE_", "OPENAI_", "ANTHROPIC_"))
        and not name.upper().endswith("_PROXY")
    }
    return {**kept, "NO_PROXY": "*"}


def _spawn(arguments: list[str], output: Path, core: int | None) -> subprocess.Popen[bytes]:
    with output.open("wb") as sink, pinned(core):
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )


async def _ready(
    process: subprocess.Popen[bytes], output: Path, address: Callable[[], str | None]
) -> str:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        found = address()
        if found is not None:
            return found
        await asyncio.sleep(0.02)
    process.kill()
    process.wait()
    raise ServerError(f"{output.stem} did not start:\n{_tail(output)}")


def _tail(output: Path) -> str:
    return output.read_text(errors="replace")[-2000:]
