"""Where Django's synchronous code runs in the gateway: on a few threads, never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gateway.errors import UnavailableError

P = ParamSpec("P")
R = TypeVar("R")


class Threads:
    """A pool whose threads each keep a database connection, renewed when it has broken."""

    def __init__(self, name: str, size: int) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=f"gateway-{name}")
        self._connections: set[BaseDatabaseWrapper] = set()

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: self._call(function, *args, **kwargs)
        )

    async def run_or_refuse(
        self, seconds: float, refusal: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Do the same for a call that waits. Raises UnavailableError, which says `refusal`, where no answer comes."""
        try:
            async with asyncio.timeout(seconds):
                return await self.run(function, *args, **kwargs)
        except (DatabaseError, TimeoutError):
            raise UnavailableError(refusal) from None

    async def stop(self) -> None:
        """Start nothing more, wait a moment for what runs, and close the connections."""
        await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(self._stop))], timeout=2)

    def _call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        self._remember_connection()
        close_old_connections()
        try:
            return function(*args, **kwargs)
        except BaseException:
            # Whatever state it is in: the next call starts with a fresh one.
            connections.close_all()
            raise

    def _remember_connection(self) -> None:
        connection = connections["default"]
        if connection not in self._connections:
            connection.inc_thread_sharing()  # so that `stop` may close it
            self._connections.add(connection)

    def _stop(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()
