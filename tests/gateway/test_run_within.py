from __future__ import annotations

import asyncio

import pytest

from gateway.deadline import run_within


async def test_run_within_time_returns_the_result() -> None:
    assert await run_within(5, asyncio.sleep(0, "done")) == "done"


async def test_run_beyond_time_cancels_the_work_and_goes_on() -> None:
    was_cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            was_cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        await run_within(0.01, work())
    assert was_cancelled.is_set()
    await asyncio.sleep(0)  # the task itself is not cancelled


async def test_run_cancelled_by_another_stays_cancelled() -> None:
    task = asyncio.create_task(run_within(5, asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_run_that_fails_raises_its_own_error() -> None:
    async def work() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await run_within(5, work())
