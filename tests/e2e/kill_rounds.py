"""`kill -9` under load: nothing that a client saw end may be missing from the store.

    python -m tests.e2e.kill_rounds --rounds 200

A round: the daemon starts on the store that the last kill left behind, clients ask without pause
(three APIs, streaming and blocking, with and without tools and thinking), the daemon is killed at a
random moment. Then every answer of which a client saw the end (a terminal event, or the last byte
of a body) must be in the store with its start, end, prompt, usage, tool calls and thoughts, and
SQLite must find the file whole.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tests.e2e.asking import APIS, Api
from tests.e2e.daemon import Daemon
from tests.e2e.sdk import check_recorded
from tests.e2e.store import Interception, last_number, read_interceptions
from tests.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterable

CLIENTS = 12
LONGEST = 0.8
"""The kill comes within this many seconds after the first answer of a round."""

_FEATURES = ["text", "words-40", "tools-2", "think+tools-3", "think+words-9", "words-12+slow-2"]


@dataclass
class Asked:
    """One request and whether its client saw the answer end."""

    api: Api
    model: str
    prompt: str
    stream: bool
    seen_end: bool = False


@dataclass
class Tally:
    """What all rounds came to."""

    rounds: int = 0
    asked: int = 0
    ended: int = 0
    broken_off: int = 0
    problems: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line."""
        return (
            f"kill -9: {self.rounds} rounds, {self.asked} requests, {self.ended} answers seen to "
            f"their end, {self.broken_off} broken off, {len(self.problems)} problems"
        )


class Round:
    """Load on one daemon until it is killed."""

    def __init__(self, number: int, daemon: Daemon, chance: random.Random) -> None:
        self._number = number
        self._daemon = daemon
        self._chance = chance
        self._answered = asyncio.Event()
        self.asked: list[Asked] = []

    async def run(self) -> list[Asked]:
        """Ask, kill, and give back all that was asked."""
        timeout = aiohttp.ClientTimeout(total=30)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            clients = [
                asyncio.get_running_loop().create_task(self._client(session, number))
                for number in range(CLIENTS)
            ]
            await asyncio.wait_for(self._answered.wait(), 30)
            await asyncio.sleep(self._chance.uniform(0, LONGEST))
            self._daemon.process.kill()
            await asyncio.gather(*clients)
        self._daemon.wait()
        return self.asked

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        turn = 0
        while True:
            turn += 1
            asked = self._next(f"r{self._number}c{number}t{turn}")
            self.asked.append(asked)
            try:
                await self._ask(session, asked)
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                return
            self._answered.set()

    def _next(self, mark: str) -> Asked:
        features = self._chance.choice(_FEATURES)
        api = self._chance.choice(APIS)
        stream = self._chance.random() < 0.6
        return Asked(api, f"sim-{features}+{mark}k", f"prompt {mark} " * 20, stream)

    async def _ask(self, session: aiohttp.ClientSession, asked: Asked) -> None:
        body = asked.api.body(asked.model, stream=asked.stream, prompt=asked.prompt)
        url = f"{self._daemon.address}{asked.api.path}"
        async with session.post(url, data=body) as answer:
            if answer.status != 200:
                raise aiohttp.ClientError(f"status {answer.status}")
            seen = b""
            length = answer.content_length
            async for chunk in answer.content.iter_any():
                seen += chunk
                # Seen is seen, even if the connection breaks right after.
                if asked.stream:
                    asked.seen_end = asked.seen_end or asked.api.terminal in seen
                elif len(seen) == length:
                    asked.seen_end = True
            asked.seen_end = True


def verify(database: Path, asked_in_round: Iterable[Asked], after: int, tally: Tally) -> None:
    """Hold what clients saw in a round against the store. `after`: the last number before it."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            tally.problems.append(f"integrity: {verdict}")
        if connection.execute("PRAGMA foreign_key_check").fetchall():
            tally.problems.append("broken foreign keys")
    recorded = {found.start["model"]: found for found in read_interceptions(database, after)}
    for asked in asked_in_round:
        tally.asked += 1
        if not asked.seen_end:
            tally.broken_off += 1
            continue
        tally.ended += 1
        if problem := _problem(asked, recorded.get(asked.model)):
            tally.problems.append(problem)


def _problem(asked: Asked, found: Interception | None) -> str | None:
    if found is None:
        return f"{asked.model}: no record at all"
    conversation = json.loads(asked.api.body("", prompt=asked.prompt))[asked.api.field]
    try:
        check_recorded(
            found, conversation, asked.api.name, prompt=asked.prompt, streaming=asked.stream
        )
    except (AssertionError, ValueError) as error:
        return f"{asked.model}: {str(error).splitlines()[0] if str(error) else error!r}"
    return None


def run_rounds(
    folder: Path, simulator: Simulator, rounds: int, seed: int, *, say: bool = False
) -> Tally:
    """Run rounds one after the other on one store; all is verified after every one."""
    tally = Tally()
    chance = random.Random(seed)
    daemon = Daemon(folder, simulator.openai_url, simulator.anthropic_url)
    ended: set[str] = set()
    for number in range(rounds):
        daemon.start()
        before = last_number(daemon.database)
        asked = asyncio.run(Round(number, daemon, chance).run())
        verify(daemon.database, asked, before, tally)
        ended |= {each.model for each in asked if each.seen_end}
        tally.rounds += 1
        simulator.forget()
        if say and (number + 1) % 10 == 0:
            print(tally.summary(), file=sys.stderr, flush=True)
    daemon.start()
    if daemon.stop() != 0:
        tally.problems.append("the last daemon did not stop in order")
    _verify_all(daemon.database, ended, tally)
    return tally


def _verify_all(database: Path, ended: set[str], tally: Tally) -> None:
    """A later kill may not undo what an earlier round had: look at everything once more."""
    uri = f"{database.as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute("SELECT model, status FROM interceptions").fetchall()
    completed = {model for model, status in rows if status == "completed"}
    if lost := ended - completed:
        tally.problems.append(f"{len(lost)} answers of earlier rounds are gone")
    if running := [model for model, status in rows if status is None]:
        tally.problems.append(f"{len(running)} interceptions were never closed")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.kill_rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Simulator() as simulator:
        tally = run_rounds(Path(folder), simulator, options.rounds, options.seed, say=True)
    for problem in tally.problems:
        print(problem)
    print(f"{tally.summary()} (seed {options.seed})")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
