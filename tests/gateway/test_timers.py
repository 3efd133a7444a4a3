from __future__ import annotations

import asyncio

from gateway.timers import TICK_SECONDS, Timers, get_timers


async def test_timers_fire_once_due_and_no_others() -> None:
    timers, fired = Timers(asyncio.get_running_loop()), list[str]()
    timers.call_later(0.01, lambda: fired.append("soon"))
    later = timers.call_later(30, lambda: fired.append("later"))
    await asyncio.sleep(3 * TICK_SECONDS)
    assert fired == ["soon"]
    assert not later.has_fired


async def test_timer_cancelled_by_one_that_fires_with_it_stays_silent() -> None:
    timers, fired = Timers(asyncio.get_running_loop()), list[int]()
    both = [timers.call_later(0.01, lambda number=number: fire(number)) for number in range(2)]  # type: ignore[misc]

    def fire(number: int) -> None:
        fired.append(number)
        both[1 - number].cancel()

    await asyncio.sleep(3 * TICK_SECONDS)
    assert len(fired) == 1


async def test_timers_that_stopped_ticking_start_again() -> None:
    timers, fired = Timers(asyncio.get_running_loop()), asyncio.Event()
    timers.call_later(30, fired.clear).cancel()
    await asyncio.sleep(3 * TICK_SECONDS)
    timers.call_later(0.01, fired.set)
    await asyncio.wait_for(fired.wait(), 5)


def test_each_loop_has_timers_of_its_own() -> None:
    async def find() -> Timers:
        assert get_timers(asyncio.get_running_loop()) is get_timers(asyncio.get_running_loop())
        return get_timers(asyncio.get_running_loop())

    assert asyncio.run(find()) is not asyncio.run(find())
