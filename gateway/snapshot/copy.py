"""A copy of something in the database, with what is known about how current it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar

from gateway.errors import UnavailableError

T = TypeVar("T")
logger = logging.getLogger(__name__)

EVERYTHING = "*"
# Longer than reading ever takes on a machine that works. Nothing is decided by what is not current meanwhile.
WAIT_SECONDS = 5.0
_RETRY_SECONDS = (0.1, 0.2, 0.5)

# Reads the value anew, given the present one, the tables that changed since, and the last change announced. Returns
# the value and the version up to which it holds.
Reader = Callable[[T | None, Collection[str], int], Awaitable[tuple[T, int]]]


class Copy(Generic[T]):
    """A value that is replaced as a whole, and read again when the database says that it changed.

    Whoever asks gets a value that holds all changes announced by then: a new rule or consent counts for the very next
    call. Changes are announced in their order, each with its version and table. `concerns` are the tables that matter
    here; None means all of them.
    """

    def __init__(self, read: Reader[T], *, concerns: Collection[str] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._read = read
        self._concerns = concerns
        self._value: T | None = None
        self._version = -1
        self._heard = 0
        # Tables to be read again, each with its last announced change.
        self._pending: dict[str, int] = {EVERYTHING: 0}
        self._task: asyncio.Task[None] | None = None
        self._installed = asyncio.Event()
        self.used_at = self._loop.time()

    def find(self) -> T | None:
        """Return the value if it is current."""
        self.used_at = self._loop.time()
        return None if self._pending else self._value

    async def get(self) -> T:
        """Return the value once it is current. Raises UnavailableError when that takes too long."""
        value = self.find()
        return value if value is not None else await self.get_next()

    async def get_next(self) -> T:
        """Return the value as it is when it has next been read. Raises UnavailableError."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._wait_for(self._heard)
        except TimeoutError:
            raise UnavailableError("the gateway can't read what it must know for this call") from None

    def announce(self, version: int, table: str) -> None:
        """Take note of one change. A skipped version means that an announcement was lost: all is read anew."""
        if version <= self._heard:
            return
        is_next = version == self._heard + 1
        self._heard = version
        if not is_next:
            self.mark(EVERYTHING)
        elif self._concerns is None or table in self._concerns:
            self.mark(table)

    def compare(self, version: int, *, is_new_connection: bool) -> None:
        """Take note of the version that the database has now.

        An older version than the last announced one was read just before it; after a new connection it means that
        this is another database (a restored one, a replica that took over), where nothing we know need hold.
        """
        if version == self._heard or (version < self._heard and not is_new_connection):
            return
        self._heard = version
        self._pending.clear()
        self.mark(EVERYTHING)

    def mark(self, table: str) -> None:
        """Have this read again."""
        self._pending[table] = self._heard
        self._ensure_reading()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _wait_for(self, version: int) -> T:
        # Not until nothing is pending: where changes never stop, that moment would not come.
        while True:
            self._ensure_reading()
            await self._installed.wait()
            if self._version >= version and self._value is not None:
                return self._value

    def _ensure_reading(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._read_until_current())

    async def _read_until_current(self) -> None:
        failures = 0
        try:
            while self._pending:
                try:
                    await self._read_once()
                    failures = 0
                except Exception as error:
                    # Whatever it was, the copy stays marked and out of use.
                    if not failures:
                        logger.warning("the gateway can't read what changed: %s", type(error).__name__, exc_info=True)
                    await asyncio.sleep(_RETRY_SECONDS[min(failures, 2)])
                    failures += 1
        finally:
            self._task = None

    async def _read_once(self) -> None:
        heard, pending = self._heard, frozenset(self._pending)
        self._value, self._version = await self._read(self._value, pending, heard)
        self._heard = max(self._heard, self._version)
        self._pending = {table: at for table, at in self._pending.items() if at > self._version}
        self._installed.set()
        self._installed.clear()
