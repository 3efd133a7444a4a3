"""When a copy is read again, what is read, and who waits for it. Without a database: the reader is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from gateway.errors import UnavailableError
from gateway.snapshot import copy as module
from gateway.snapshot.copy import EVERYTHING, Copy


class Database:
    """Has a version, and notes what was read. `gate` holds readers back."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.reads: list[set[str]] = []
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, value: str | None, tables: Collection[str], heard: int) -> tuple[str, int]:
        self.reads.append(set(tables))
        version = self.version if EVERYTHING in tables else heard
        await self.gate.wait()
        if self.fails:
            raise OSError("the database is gone")
        return f"as of {version}", version


@pytest.fixture
def database() -> Database:
    return Database()


async def make_copy(database: Database, **options: Collection[str]) -> Copy[str]:
    copy = Copy(database.read, **options)
    await copy.get()
    return copy


async def test_copy_is_read_at_the_first_use_and_once(database: Database) -> None:
    copy = Copy(database.read)
    assert copy.find() is None
    assert await asyncio.gather(*(copy.get() for _ in range(5))) == ["as of 1"] * 5
    assert copy.find() == "as of 1"
    assert database.reads == [{EVERYTHING}]


async def test_announced_change_reads_its_table_alone(database: Database) -> None:
    copy = await make_copy(database)
    copy.announce(2, "policy_rule")
    assert copy.find() is None
    assert await copy.get() == "as of 2"
    assert database.reads[1:] == [{"policy_rule"}]


async def test_changes_announced_together_are_read_together(database: Database) -> None:
    copy = await make_copy(database)
    for version, table in enumerate(("a", "b", "a"), start=2):
        copy.announce(version, table)
    assert await copy.get() == "as of 4"
    assert database.reads[1:] == [{"a", "b"}]


async def test_skipped_version_reads_everything(database: Database) -> None:
    copy = await make_copy(database)
    database.version = 3
    copy.announce(3, "policy_rule")
    assert await copy.get() == "as of 3"
    assert EVERYTHING in database.reads[-1]


async def test_change_that_is_of_no_concern_reads_nothing(database: Database) -> None:
    copy = await make_copy(database, concerns={"policy_rule"})
    copy.announce(2, "connections_credential")
    assert copy.find() == "as of 1"
    copy.announce(3, "policy_rule")
    assert await copy.get() == "as of 3"
    assert database.reads[1:] == [{"policy_rule"}]


@pytest.mark.parametrize("version", [0, 1])
async def test_old_announcement_changes_nothing(database: Database, version: int) -> None:
    copy = await make_copy(database)
    copy.announce(version, "policy_rule")
    assert copy.find() == "as of 1"


async def test_change_announced_while_reading_is_read_before_anyone_gets_the_value(database: Database) -> None:
    copy = await make_copy(database)
    database.gate.clear()
    copy.announce(2, "a")
    early = asyncio.ensure_future(copy.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    copy.announce(3, "b")
    late = asyncio.ensure_future(copy.get())
    await asyncio.sleep(0)
    database.gate.set()
    assert await late == "as of 3"
    assert await early in ("as of 2", "as of 3"), "who asked before the second change may miss it"


async def test_changes_that_never_stop_keep_nobody_waiting(database: Database) -> None:
    copy = await make_copy(database)

    async def change() -> None:
        for version in range(2, 1000):
            copy.announce(version, "policy_rule")
            await asyncio.sleep(0)

    changing = asyncio.ensure_future(change())
    for _ in range(20):
        await asyncio.sleep(0)
        assert await asyncio.wait_for(copy.get(), 1)
    assert not changing.done(), "the changes ended before it could be seen"
    changing.cancel()


async def test_newer_version_in_the_database_reads_everything(database: Database) -> None:
    copy = await make_copy(database)
    database.version = 2
    copy.compare(2, is_new_connection=False)
    assert await copy.get() == "as of 2"
    assert database.reads[-1] == {EVERYTHING}


async def test_older_version_is_an_answer_that_was_overtaken(database: Database) -> None:
    copy = await make_copy(database)
    copy.announce(2, "policy_rule")
    await copy.get()
    copy.compare(1, is_new_connection=False)
    assert copy.find() == "as of 2"


async def test_older_version_after_a_new_connection_is_another_database(database: Database) -> None:
    database.version = 9
    copy = await make_copy(database)
    copy.announce(10, "a")
    database.version = 4
    copy.compare(4, is_new_connection=True)
    assert await copy.get() == "as of 4"
    copy.announce(5, "policy_rule")
    assert await copy.get() == "as of 5"


async def test_failing_read_refuses_until_it_works_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
    copy = await make_copy(database)
    database.fails = True
    copy.announce(2, "policy_rule")
    with pytest.raises(UnavailableError):
        await copy.get()
    assert copy.find() is None
    database.fails = False
    monkeypatch.setattr(module, "WAIT_SECONDS", 5)
    assert await copy.get() == "as of 2"


async def test_waiter_that_is_cancelled_leaves_the_others_waiting(database: Database) -> None:
    copy = await make_copy(database)
    database.gate.clear()
    copy.announce(2, "policy_rule")
    impatient, patient = asyncio.ensure_future(copy.get()), asyncio.ensure_future(copy.get())
    await asyncio.sleep(0.01)
    impatient.cancel()
    await asyncio.sleep(0.01)
    database.gate.set()
    assert await patient == "as of 2"
