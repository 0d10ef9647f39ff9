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
from benchmarks.payloads import CENTRAL_KEY, CLIENT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parent.parent

START_LIMIT: Final = 20.0
"""Seconds until a server must be ready."""

STOP_LIMIT: Final = 30.0
"""Seconds that a server may take to stop after being asked: it may have work to flush."""

KEY_LIMIT: Final = 30.0
"""Seconds that making a gateway key may take."""


class ServerError(Exception):
    """A server did not start; the message holds the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a gateway is started.

    Attributes:
        root: the checkout whose `aigw` it is.
        options: for `aigw serve`, beside those that every gateway here has.
        config: the configuration file's content; `{upstream}` in it is the provider's address.
        with_key: whether its clients need a gateway key, and send one.
    """

    root: Path = ROOT
    options: tuple[str, ...] = ()
    config: str = ""
    with_key: bool = False


PLAIN: Final = Setup()


@dataclass(slots=True)
class Server:
    """A running server."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    database: Path | None = None
    key: str = CLIENT_KEY
    """What its clients send."""

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
    process = _spawn(["-m", "benchmarks.floor", f"http://{upstream}"], ROOT, output, core)

    def address() -> str | None:
        line, end, _ = output.read_text().partition("\n")
        return line if end and line.startswith("http://") else None

    return Server("floor", await _ready(process, output, address), process)


async def start_gateway(
    upstream: str, folder: Path, core: int | None, setup: Setup = PLAIN
) -> Server:
    """The gateway with recording on, a new database in `folder`, and central keys."""
    database = folder / "bench.db"
    config = folder / "config.toml"
    config.write_text(setup.config.replace("{upstream}", f"http://{upstream}"))
    key = await asyncio.to_thread(_make_key, database) if setup.with_key else CLIENT_KEY
    arguments = [
        *("-m", "aigw", "serve", "--aibridge-enabled", "--config", str(config)),
        *("--db", str(database), "--http-address", "127.0.0.1:0"),
        *("--aibridge-openai-base-url", f"http://{upstream}/v1"),
        *("--aibridge-anthropic-base-url", f"http://{upstream}"),
        *("--aibridge-openai-key", CENTRAL_KEY, "--aibridge-anthropic-key", CENTRAL_KEY),
        *setup.options,
    ]
    output = folder / "gateway.out"
    process = _spawn(arguments, setup.root, output, core)
    runtime = database.with_name(database.name + ".daemon.json")

    def address() -> str | None:
        try:
            return str(json.loads(runtime.read_text())["address"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    return Server("aigw", await _ready(process, output, address), process, database, key)


def _make_key(database: Path) -> str:
    """A gateway key in a new database."""
    done = subprocess.run(
        [sys.executable, "-m", "aigw", "keys", "create", "bench", "--db", str(database)],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=KEY_LIMIT,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"no gateway key could be made:\n{done.stderr}")
    return done.stdout.strip()


def clean_environment() -> dict[str, str]:
    """The environment without what would change a measurement: other settings, keys, proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_SETTINGS) and not name.upper().endswith("_PROXY")
    }
    return {**kept, "NO_PROXY": "*"}


_SETTINGS = ("CODER_", "AIGW_", "AIBRIDGE_", "OPENAI_", "ANTHROPIC_", "AWS_")


def _spawn(
    arguments: list[str], root: Path, output: Path, core: int | None
) -> subprocess.Popen[bytes]:
    with output.open("wb") as sink, pinned(core):
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=root,
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
