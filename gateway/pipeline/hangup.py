"""A caller that hangs up ends its call: the integration is not kept working for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.http import Exchange
from gateway.timers import get_timers

# A watcher for every call would cost more than most calls; those that end sooner than this never get one.
_WATCH_AFTER_SECONDS = 0.05


async def run_until_hangup(exchange: Exchange, work: Coroutine[Any, Any, None]) -> bool:
    """Run `work` to its end and return True, or cancel it when the client closes its connection and return False."""
    watch = _Watch(exchange)
    try:
        await work
    except asyncio.CancelledError:
        if not watch.has_fired:
            raise
        watch.running.uncancel()
        return False
    finally:
        watch.stop()
    return True


class _Watch:
    __slots__ = ("_exchange", "_task", "_timer", "has_fired", "running")

    def __init__(self, exchange: Exchange) -> None:
        running = asyncio.current_task()
        assert running is not None
        self.running = running
        self.has_fired = False
        self._exchange = exchange
        self._task: asyncio.Task[None] | None = None
        self._timer = get_timers(running.get_loop()).call_later(_WATCH_AFTER_SECONDS, self._start)

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = self.running.get_loop().create_task(self._watch())

    async def _watch(self) -> None:
        await self._exchange.disconnected()
        self.has_fired = True
        self.running.cancel()
