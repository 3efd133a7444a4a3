"""PostgreSQL is killed, stopped, restarted, late or restored: nothing is lost, and nothing is allowed in doubt."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from audit.models import AuditEvent
from gateway.audit_log import AuditLog, encode_row
from gateway.errors import AuthenticationError, UnavailableError
from gateway.runtime import Runtime
from tests.factories import Cast, issue_token, make_cast
from tests.gateway.conftest import GITHUB, EventLoop, RunningState, wait_until
from tests.gateway.own_server import OwnServer, change_database
from tests.gateway.test_write_audit_events import make_event


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    # Not one of pytest's folders: PostgreSQL runs as another user where the tests run as root, and may not enter them.
    server = OwnServer(settings.DATA_DIR / f"own-{os.getpid()}")
    yield server
    server.stop()


@pytest.fixture
def database(server: OwnServer, django_db_blocker: Any) -> Iterator[str]:
    """The name of a fresh database on the own server, which Django uses meanwhile."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.create_database(name)
    with django_db_blocker.unblock():
        former = change_database(**server.get_settings(name))
        yield name
        change_database(**former)


@pytest.fixture
def cast(database: str) -> Cast:
    return make_cast()


@pytest.fixture
def state(database: str, event_loop_thread: EventLoop) -> Iterator[RunningState]:
    state = RunningState(event_loop_thread)
    yield state
    state.run(state.runtime.stop())


def can_call(state: RunningState, token: str) -> bool | None:
    """Return None where the gateway is not sure."""
    try:
        state.authenticate(token)
    except AuthenticationError:
        return False
    except UnavailableError:
        return None
    return True


def test_written_events_survive_a_killed_server_and_none_is_reported_falsely(
    server: OwnServer, database: str, event_loop_thread: EventLoop
) -> None:
    written: list[str] = []
    outcomes: Counter[str] = Counter()
    slowest = 0.0

    async def write_for(seconds: float, log: AuditLog) -> None:
        nonlocal slowest
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            event, started = make_event(), time.monotonic()
            try:
                await log.write(encode_row(event))
            except UnavailableError:
                outcomes["refused"] += 1
            else:
                outcomes["written"] += 1
                written.append(event["id"])
            slowest = max(slowest, time.monotonic() - started)

    async def write_with_many(log: AuditLog) -> None:
        await log.start()
        await asyncio.gather(*(write_for(6, log) for _ in range(32)))
        await log.stop()

    log = AuditLog()
    writing = asyncio.run_coroutine_threadsafe(write_with_many(log), event_loop_thread.loop)
    for _ in range(2):
        time.sleep(1)
        server.kill()
        time.sleep(0.3)
        server.start()
    writing.result(60)
    stored = Counter(str(key) for key in AuditEvent.objects.values_list("id", flat=True))
    assert outcomes["written"] > 100
    assert set(written) <= set(stored)
    assert max(stored.values()) == 1
    assert slowest < 5, "a writer was left hanging"


def test_write_to_a_server_that_only_seems_to_live_is_refused_in_time(
    server: OwnServer, database: str, event_loop_thread: EventLoop
) -> None:
    log = AuditLog()
    event_loop_thread.run(log.start())
    event_loop_thread.run(log.write(encode_row(make_event())))
    server.signal_all(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            event_loop_thread.run(log.write(encode_row(make_event())))
        assert time.monotonic() - started < 2
    finally:
        server.signal_all(signal.SIGCONT)
    assert event_loop_thread.run(_write_until_it_works(log))
    event_loop_thread.run(log.stop())


async def _write_until_it_works(log: AuditLog) -> bool:
    for _ in range(50):
        try:
            await log.write(encode_row(make_event()))
        except UnavailableError:
            await asyncio.sleep(0.1)
        else:
            return True
    return False


def test_gateway_that_starts_before_the_database_refuses_until_it_is_there(
    server: OwnServer, cast: Cast, event_loop_thread: EventLoop
) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    server.stop()

    async def start() -> Runtime:
        runtime = Runtime()
        await runtime.start()
        return runtime

    runtime = event_loop_thread.run(start())
    try:
        with pytest.raises(UnavailableError):
            event_loop_thread.run(runtime.check())
        with pytest.raises(UnavailableError):
            event_loop_thread.run(runtime.authenticator.authenticate(token, resource=GITHUB))
        with pytest.raises(UnavailableError):
            event_loop_thread.run(runtime.audit_log.write(encode_row(make_event())))
    finally:
        server.start()
    event_loop_thread.run(runtime.check())
    assert event_loop_thread.run(runtime.authenticator.authenticate(token, resource=GITHUB))
    event_loop_thread.run(runtime.audit_log.write(encode_row(make_event())))
    event_loop_thread.run(runtime.stop())


def test_calls_go_on_while_the_database_restarts_and_changes_are_seen_afterwards(
    server: OwnServer, cast: Cast, state: RunningState
) -> None:
    token, row = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert can_call(state, token)
    server.settle()
    server.kill()
    server.start()
    wait_until(lambda: can_call(state, token) is True, seconds=15)
    type(row).objects.filter(pk=row.pk).update(revoked_at=timezone.now())
    wait_until(lambda: can_call(state, token) is False)


def test_calls_are_refused_while_the_database_is_gone(server: OwnServer, cast: Cast, state: RunningState) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert can_call(state, token)
    server.settle()
    server.kill()
    try:
        time.sleep(2.2)
        assert can_call(state, token) is None
    finally:
        server.start()
    wait_until(lambda: can_call(state, token) is True, seconds=15)


def test_calls_are_refused_while_the_database_only_seems_to_live(
    server: OwnServer, cast: Cast, state: RunningState
) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert can_call(state, token)
    server.signal_all(signal.SIGSTOP)
    try:
        time.sleep(2.2)
        assert can_call(state, token) is None
    finally:
        server.signal_all(signal.SIGCONT)
    wait_until(lambda: can_call(state, token) is True, seconds=15)


def test_change_made_while_nobody_listened_is_seen_before_the_next_call(
    server: OwnServer, cast: Cast, state: RunningState, database: str
) -> None:
    """The listener's connection is gone, and the notification with it; its reconnection compares the versions."""
    token, row = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert can_call(state, token)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kontext gateway listener'"
    server.execute(end)
    type(row).objects.filter(pk=row.pk).update(revoked_at=timezone.now())
    wait_until(lambda: can_call(state, token) is False)


def test_change_whose_notification_is_lost_is_seen_within_a_second(
    server: OwnServer, cast: Cast, state: RunningState, database: str
) -> None:
    token, row = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert can_call(state, token)
    server.execute(
        "SET session_replication_role = replica",  # no trigger fires, so nothing is told
        f"UPDATE orgs_issuedtoken SET revoked_at = now() WHERE jti = '{row.jti}'",
        f"UPDATE orgs_snapshotversion SET version = version + 1 WHERE organization_id = '{cast.acme.pk}'",
        database=database,
    )
    wait_until(lambda: can_call(state, token) is False)


def test_database_restored_to_an_earlier_state_is_read_anew(
    server: OwnServer, cast: Cast, state: RunningState, database: str
) -> None:
    token, row = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert can_call(state, token)
    server.execute(
        "SET session_replication_role = replica",
        f"UPDATE orgs_issuedtoken SET revoked_at = now() WHERE jti = '{row.jti}'",
        f"UPDATE orgs_snapshotversion SET version = 1 WHERE organization_id = '{cast.acme.pk}'",
        database=database,
    )
    server.settle()
    server.kill()
    server.start()
    wait_until(lambda: can_call(state, token) is False, seconds=15)
    type(row).objects.filter(pk=row.pk).update(revoked_at=None)
    wait_until(lambda: can_call(state, token) is True)
