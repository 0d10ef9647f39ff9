from __future__ import annotations

import asyncio

import pytest

from aigw.gateway.idle import Deadline, IdleWatch

LONG = 20.0


async def test_a_provider_that_stalls_is_noticed() -> None:
    stalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    with IdleWatch(0.03, stalled.set) as watch:
        began = watch.since = loop.time()
        async with asyncio.timeout(LONG):
            await stalled.wait()
        assert loop.time() - began >= 0.03
        assert watch.expired


async def test_a_slow_client_is_no_stalled_provider() -> None:
    stalled = asyncio.Event()
    with IdleWatch(0.02, stalled.set) as watch:
        watch.since = None
        await asyncio.sleep(0.1)
        assert not watch.expired
        # The time in which nobody was reading does not count.
        loop = asyncio.get_running_loop()
        began = watch.since = loop.time()
        async with asyncio.timeout(LONG):
            await stalled.wait()
        assert loop.time() - began >= 0.02


async def test_every_byte_begins_the_time_anew() -> None:
    loop = asyncio.get_running_loop()
    with IdleWatch(1000, lambda: None) as watch:
        watch.since = loop.time() - 999
        watch._check()
        assert not watch.expired
        # Looked at again when the time may be over, not before.
        assert watch._timer is not None
        assert 0 < watch._timer.when() - loop.time() < 2
        watch.since = loop.time() - 1001
        watch._check()
        assert watch.expired


async def test_nothing_happens_after_the_end() -> None:
    stalled = asyncio.Event()
    with IdleWatch(0.01, stalled.set) as watch:
        watch.since = asyncio.get_running_loop().time()
    await asyncio.sleep(0.05)
    assert not stalled.is_set()
    assert not watch.expired


async def test_zero_is_no_limit() -> None:
    with IdleWatch(0, lambda: None) as watch:
        watch.since = asyncio.get_running_loop().time() - 1000
        await asyncio.sleep(0.02)
        assert not watch.expired


async def test_a_deadline_ends_what_is_awaited() -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.sleep(LONG)
    assert not task.cancelling()


async def test_a_deadline_that_is_kept_leaves_nothing_behind() -> None:
    deadline = Deadline(LONG)
    with deadline:
        await asyncio.sleep(0)
    assert deadline._timer is not None
    assert deadline._timer.cancelled()


async def test_no_deadline() -> None:
    with Deadline(0):
        await asyncio.sleep(0.01)


async def test_a_deadline_passes_errors_on() -> None:
    with pytest.raises(ValueError, match="mine"), Deadline(LONG):
        raise ValueError("mine")


async def test_a_cancellation_by_others_is_none_of_the_deadlines() -> None:
    async def wait(seconds: float, begun: asyncio.Event) -> None:
        with Deadline(seconds):
            begun.set()
            await asyncio.sleep(LONG)

    begun = asyncio.Event()
    task = asyncio.create_task(wait(LONG, begun))  # noqa: TID251
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_the_deadlines_own_is_not_lost() -> None:
    async def wait() -> None:
        deadline = Deadline(LONG)
        with deadline:
            deadline._end()
            me = asyncio.current_task()
            assert me is not None
            me.cancel()
            await asyncio.sleep(LONG)

    task = asyncio.create_task(wait())  # noqa: TID251
    with pytest.raises(asyncio.CancelledError):
        await task
