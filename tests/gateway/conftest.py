"""The cast with committed rows, since the gateway reads on connections of its own, and its state on a running loop.

The event loop runs in a thread beside the test, as the gateway runs beside web: in the loop itself, Django would give
each test a database connection of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.core.cache import cache

from gateway.facts import Principal, Snapshot
from gateway.runtime import Runtime
from orgs.oauth.keys import forget_signing_key
from orgs.vault import forget_keys
from tests.factories import Cast, make_cast

T = TypeVar("T")
GITHUB = f"{settings.GATEWAY_URL}/mcp/github"


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    """Keys of another test's database must not be used."""
    forget_signing_key()
    forget_keys()
    cache.clear()
    yield
    forget_signing_key()


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


class EventLoop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], *, seconds: float = 10) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def event_loop_thread() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()


class RunningState:
    """A Runtime on its loop, for tests that are not."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.runtime = loop.run(self._start())

    async def _start(self) -> Runtime:
        runtime = Runtime()
        await runtime.start()
        await runtime.check()
        return runtime

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(coroutine)

    def authenticate(self, token: str | None, resource: str = GITHUB) -> Principal:
        return self.run(self.runtime.authenticator.authenticate(token, resource=resource))[0]

    def get_snapshot(self, organization: Any) -> Snapshot:
        snapshot = self.run(self.runtime.snapshots.get(str(organization.pk)))
        assert snapshot is not None
        return snapshot


@pytest.fixture
def state(transactional_db: None, event_loop_thread: EventLoop) -> Iterator[RunningState]:
    state = RunningState(event_loop_thread)
    yield state
    state.run(state.runtime.stop())


def wait_until(condition: Callable[[], bool], *, seconds: float = 1.0) -> float:
    """Return after how many seconds the condition came true. It must within `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come true in time"
        time.sleep(0.005)
    return time.monotonic() - started
