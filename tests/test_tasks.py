from __future__ import annotations

import asyncio
import gc

import pytest

from aigw import tasks
from aigw.tasks import spawn


async def test_a_task_has_its_name_and_gives_its_result() -> None:
    async def work() -> int:
        return 7

    task = spawn("counting", work())
    assert task.get_name() == "counting"
    assert await task == 7
    await asyncio.sleep(0)
    assert task not in tasks._running


async def test_a_task_without_owner_is_not_collected() -> None:
    done = asyncio.Event()

    async def work() -> None:
        # Nothing but the task itself refers to this future.
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.02, lambda f: f.set_result(None), future)
        await future
        done.set()

    spawn("forgotten", work())
    await asyncio.sleep(0)
    gc.collect()
    async with asyncio.timeout(10):
        await done.wait()


async def test_a_failure_is_logged_with_the_name(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("out of order")

    task = spawn("failing", work())
    await asyncio.wait([task])
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.getMessage() == "task failing failed"
    assert record.exc_info is not None
    assert "out of order" in caplog.text
    assert task not in tasks._running


async def test_a_cancelled_task_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn("waiting", asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert caplog.records == []
    assert task not in tasks._running
