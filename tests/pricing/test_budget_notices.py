"""Thresholds: told once, over restarts too, to a webhook and a command that may do what they like."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aigw import clock
from aigw.pricing import budget_delivery
from aigw.pricing.budget import Scope, Who
from aigw.pricing.budget_delivery import post, run_command, variables
from aigw.pricing.budget_gate import BudgetGate
from aigw.pricing.budget_notices import MESSAGE, BudgetNotices, Notice, payload_of
from aigw.pricing.budget_settings import BudgetSettings
from aigw.pricing.budget_table import set_budget
from aigw.pricing.budget_watch import BudgetWatch
from aigw.secrets import Secret
from aigw.store.database import open_for_writing
from aigw.store.writer import Writer
from aigw.tasks import spawn
from tests.pricing.tariff import budget

ADA = Who("ada", "Codex")


@dataclass
class Hook:
    """A webhook that answers with the statuses given, the last one for ever."""

    statuses: list[int]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.bodies.append(json.loads(await request.read()))
        status = self.statuses[0] if len(self.statuses) == 1 else self.statuses.pop(0)
        return web.Response(status=status, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[Hook]:
    made = Hook(list(statuses))
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/services/canary-token"
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass
class Watching:
    gate: BudgetGate
    notices: BudgetNotices
    watch: BudgetWatch
    passed: list[tuple[str, int]]

    async def spend(self, micros: int, who: Who = ADA) -> None:
        """Somebody spends; all that follows from it has happened when this returns."""
        self.gate.ledger.spend(who, clock.now(), micros, 1)
        self.notices.look(who)
        await self.notices.finish()


@asynccontextmanager
async def watching(path: Path, **settings: Any) -> AsyncIterator[Watching]:
    writer = Writer(path)
    writer.open(clock.now())
    gate = BudgetGate()
    passed: list[tuple[str, int]] = []
    notices = BudgetNotices(
        gate, writer, BudgetSettings(**settings), lambda *what: passed.append(what)
    )
    watch = BudgetWatch(path, gate, writer, notices.read)
    watch.open()
    await notices.read()
    tasks = [spawn("notices", notices.run()), spawn("deliveries", notices.run_deliveries())]
    try:
        yield Watching(gate, notices, watch, passed)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        watch.close()
        await writer.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    database = tmp_path / "aigw.db"
    open_for_writing(database, "normal").close()
    return database


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_delivery, "WEBHOOK_PAUSES", (0.0, 0.0))


async def test_each_threshold_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = set_budget(path, budget(amount=1000))
    async with hook(204) as receiver:
        async with watching(path, webhook=Secret(receiver.url)) as one:
            await one.spend(849)
            assert receiver.bodies == []
            await one.spend(1)
            await one.spend(1)
            assert [body["threshold"] for body in receiver.bodies] == [85]
            # Each holder has a pot of its own.
            await one.spend(900, Who("bob", "Codex"))
            assert [body["holder"] for body in receiver.bodies] == ["ada", "bob"]
            await one.spend(500)
            await one.spend(500)
            assert [body["threshold"] for body in receiver.bodies] == [85, 85, 100]
            assert one.passed == [("everyone", 85), ("everyone", 85), ("everyone", 100)]
        # Over a restart: what was told is not told again.
        async with watching(path, webhook=Secret(receiver.url)) as two:
            await two.spend(2000)
            await two.spend(2000, Who("bob", "Codex"))
            assert [body["threshold"] for body in receiver.bodies[3:]] == [100]
            # A changed amount is a new matter.
            set_budget(path, budget(amount=10_000))
            await two.watch.look()
            await two.spend(8000)
            assert [body["threshold"] for body in receiver.bodies[4:]] == [85, 100]
    lines = [record for record in caplog.records if record.getMessage() == MESSAGE]
    assert len(lines) == len(receiver.bodies) == 6
    fields = vars(lines[0])["fields"]
    assert fields["budget_id"] == made.id
    assert (fields["level"], fields["spent"], fields["amount"]) == ("warning", 850, 1000)
    assert fields["text"] == "US$0.00085 of US$0.001 spent"


async def test_nobody_is_told_of_budgets_that_do_not_apply(path: Path) -> None:
    set_budget(path, budget(amount=1000))
    set_budget(path, budget(Scope.USER, "ada", 10**9))
    set_budget(path, budget(Scope.USER, "eve", 0))
    async with watching(path) as one:
        await one.spend(5000)
        await one.spend(5000, Who("eve", "x"))
        assert one.passed == []


async def test_two_daemons_do_not_tell_the_same(path: Path) -> None:
    set_budget(path, budget(amount=1000))
    async with watching(path) as one, watching(path) as two:
        await one.spend(1000)
        await two.spend(1000)
        assert one.passed == [("everyone", 85), ("everyone", 100)]
        assert two.passed == []


@pytest.mark.parametrize(
    ("statuses", "tries", "taken"),
    [
        ([200], 1, True),
        ([500, 503, 200], 3, True),
        ([429, 200], 2, True),
        ([500], 3, False),
        ([404], 1, False),
        # Redirects are not followed: nobody else gets what the webhook was meant to.
        ([307], 1, False),
    ],
)
async def test_a_webhook_is_tried_again_within_bounds(
    statuses: list[int], tries: int, taken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with hook(*statuses) as receiver:
        assert await post(Secret(receiver.url), b"{}") is taken
        assert len(receiver.bodies) == tries
    assert "canary-token" not in caplog.text
    assert ("failed" in caplog.text) is not taken


async def test_a_webhook_that_is_not_there_disturbs_nobody(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_budget(path, budget(amount=1000))
    webhook = Secret("http://127.0.0.1:9/canary-token")
    async with watching(path, webhook=webhook, command=("/nonexistent/program",)) as one:
        await one.spend(1000)
        assert one.passed == [("everyone", 85), ("everyone", 100)]
    assert "webhook at 127.0.0.1:9 failed" in caplog.text
    assert "/nonexistent/program cannot be run" in caplog.text
    assert "canary-token" not in caplog.text


async def test_a_command_gets_json_and_variables_and_no_secrets(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODER_AIBRIDGE_OPENAI_KEY", "canary-key")
    set_budget(path, budget(Scope.USER, "*", 1000))
    out = tmp_path / "out.json"
    code = (
        "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ)],"
        f" open({str(out)!r}, 'w'))"
    )
    who = Who("$(touch owned); ada", "x")
    async with watching(path, thresholds=(50,), command=(sys.executable, "-c", code)) as one:
        await one.spend(700, who)
    payload, environment = json.loads(out.read_text())
    assert payload["holder"] == environment["AIGW_BUDGET_HOLDER"] == "$(touch owned); ada"
    assert payload["threshold"] == int(environment["AIGW_BUDGET_THRESHOLD"]) == 50
    assert "canary-key" not in json.dumps(environment)
    assert not [name for name in environment if name.startswith("CODER_")]
    assert not os.path.exists("owned")  # noqa: ASYNC240


async def test_a_command_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budget_delivery, "COMMAND_SECONDS", 1.0)
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    assert not await run_command([sys.executable, "-c", code], b"{}", {})
    assert "was killed after 1 seconds" in caplog.text
    child = int(note.read_text())
    async with asyncio.timeout(5):
        while _runs(child):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_a_command_that_fails_or_does_not_read_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    command = [sys.executable, "-c", "import sys; sys.exit(3)"]
    assert not await run_command(command, b"x" * 1_000_000, {})
    assert "failed with exit code 3" in caplog.text


def test_variables_are_texts() -> None:
    made = budget(amount=1000)
    from aigw.pricing.budget_period import Span
    from aigw.pricing.ledger import Pot

    payload = payload_of(Notice(Pot(made, "ada", 900, 0, Span(0, 86_400_000_000)), 85))
    assert variables(payload)["AIGW_BUDGET_SPENT"] == "900"
    assert payload["resets_at"] == "1970-01-02T00:00:00.000000Z"
