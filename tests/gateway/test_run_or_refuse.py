"""What a call waits for on the threads: the database's answer, or a refusal in time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from django.db import DatabaseError

from gateway.errors import UnavailableError
from gateway.threads import Threads


@pytest_asyncio.fixture
async def threads() -> AsyncIterator[Threads]:
    threads = Threads("test", 1)
    yield threads
    await threads.stop()


def _fail() -> None:
    raise DatabaseError("secret details of the server")


@pytest.mark.django_db
async def test_run_or_refuse_returns_what_the_function_does(threads: Threads) -> None:
    assert await threads.run_or_refuse(5, "not now", int, "42", base=16) == 0x42


@pytest.mark.django_db
async def test_run_or_refuse_without_database_refuses_and_tells_nothing_of_it(threads: Threads) -> None:
    with pytest.raises(UnavailableError, match=r"^not now$") as raised:
        await threads.run_or_refuse(5, "not now", _fail)
    assert raised.value.__suppress_context__


@pytest.mark.django_db
async def test_run_or_refuse_beyond_time_refuses(threads: Threads) -> None:
    with pytest.raises(UnavailableError, match=r"^not now$"):
        await threads.run_or_refuse(0.01, "not now", time.sleep, 0.2)


@pytest.mark.django_db
async def test_run_or_refuse_of_another_error_raises_it(threads: Threads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.run_or_refuse(5, "not now", lambda: 1 // 0)
