"""Hear of every change in the database, and know when nothing was heard for too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.channel import Channel, ChannelError
from gateway.errors import UnavailableError
from gateway.snapshot.copy import Copy

logger = logging.getLogger(__name__)

# The versions are asked for this often: it shows that the connection lives, and would show a lost notification.
HEARTBEAT_SECONDS = 0.5
SILENCE_SECONDS = 2.0
# Silence may last until the caller's patience ends; a database that restarts is back long before.
CONFIRM_SECONDS = 2.0
_ANSWER_SECONDS = 1.0
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = 0.1
_UNUSED_SECONDS = 900.0

_VERSIONS = "SELECT organization_id, version FROM orgs_snapshotversion WHERE organization_id = ANY ($1::uuid[])"


class Listener:
    """One connection of this process: LISTEN on it, and the versions of all that is followed twice a second."""

    def __init__(self) -> None:
        self._followed: list[dict[str, Any]] = []
        self._heard_at = float("-inf")
        self._kick = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._is_well: bool | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for copies in self._followed:
            for copy in copies.values():
                copy.close()

    def follow(self, copies: Mapping[str, Copy[Any]]) -> None:
        """Keep these copies current: a dictionary by organization, to which its owner adds and this class removes."""
        self._followed.append(copies)  # type: ignore[arg-type]

    @property
    def is_heard(self) -> bool:
        """Tell whether what the copies say about themselves can be believed now."""
        return self._loop.time() - self._heard_at < SILENCE_SECONDS

    def get_time(self) -> float:
        return self._loop.time()

    async def confirm(self) -> None:
        """Return once the versions were compared after this call began. Raises UnavailableError if they can't be."""
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        self._kick.set()
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await waiter
        except TimeoutError:
            raise UnavailableError("the gateway can't tell whether what it knows still holds") from None

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (ChannelError, TimeoutError) as error:
                self._report(f"the gateway does not hear of changes in the database: {error or 'no answer'}")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            channel = await Channel.open("listener", on_notification=self._receive, on_lost=self._kick.set)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await channel.prepare("versions", _VERSIONS)
                await channel.query("LISTEN kontext_snapshot")
            await self._compare(channel, is_new_connection=True)
            self._report(None)
            while True:
                await self._pause()
                await self._compare(channel, is_new_connection=False)
        finally:
            channel.close()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._kick.wait()
        except TimeoutError:
            self._drop_unused()

    async def _compare(self, channel: Channel, *, is_new_connection: bool) -> None:
        """Ask for the versions, and give the answer to whoever asked before the question was sent."""
        self._kick.clear()
        asked = len(self._waiting)
        organizations = {organization for copies in self._followed for organization in copies}
        async with asyncio.timeout(_ANSWER_SECONDS):
            rows = await channel.execute("versions", [f"{{{','.join(organizations)}}}".encode()])
        versions = {bytes(key or b"").decode(): int(version or 0) for key, version in rows}
        for organization, copy in self._get_copies():
            # What was followed only after the question was sent is read from the database anyway.
            if organization in organizations:
                copy.compare(versions.get(organization, 0), is_new_connection=is_new_connection)
        self._heard_at = self._loop.time()
        answered, self._waiting = self._waiting[:asked], self._waiting[asked:]
        for waiter in answered:
            if not waiter.done():
                waiter.set_result(None)

    def _report(self, problem: str | None) -> None:
        """Log what changed, not each attempt."""
        if problem is not None and self._is_well is not False:
            logger.warning("%s", problem)
        elif problem is None and self._is_well is not True:
            logger.info("the gateway hears of changes in the database")
        self._is_well = problem is None

    def _receive(self, payload: bytes) -> None:
        organization, _, rest = payload.decode().partition(":")
        version, _, table = rest.partition(":")
        self._heard_at = self._loop.time()
        for copies in self._followed:
            if organization in copies:
                copies[organization].announce(int(version), table)

    def _get_copies(self) -> Iterator[tuple[str, Copy[Any]]]:
        for copies in self._followed:
            yield from copies.items()

    def _drop_unused(self) -> None:
        """Forget organizations that nobody asked for in a while: they are read again when needed."""
        long_ago = self._loop.time() - _UNUSED_SECONDS
        for copies in self._followed:
            unused = [key for key, copy in copies.items() if copy.used_at < long_ago]
            for organization in unused:
                copies.pop(organization).close()
