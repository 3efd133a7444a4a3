"""What is counted by the hour is what a direct count finds, whatever came in between."""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection

from audit.keys import make_key
from audit.models import ApplicationHour, AuditEvent, CapabilityHour, RollupPosition
from audit.partitions import add_months, begin_month, make_partitions
from audit.services import roll_up as rolling
from audit.services.record import NOBODY, Actor, Call, Subject, record_event
from audit.services.retain import drop_month, find_due
from audit.services.roll_up import find_live_since, recount, roll_up
from audit.tasks import count_hours
from audit.types import EventType
from orgs.ids import uuid7
from tests.audit.trees import ACME, GLOBEX, record, seal

pytestmark = pytest.mark.django_db
NOW = dt.datetime.now(dt.UTC)
THIS_HOUR = NOW.replace(minute=0, second=0, microsecond=0)
BOT, TRIAGE = (Actor(application_id=uuid7(), application_name=name) for name in ("PR-Bot", "Triage"))
COLUMNS: dict[Any, tuple[str, ...]] = {
    CapabilityHour: ("organization_id", "type", "phase", "outcome", "integration", "capability"),
    ApplicationHour: ("organization_id", "type", "phase", "outcome", "application_id", "application_name"),
}


def call(
    hours: float = 0,
    outcome: str = "ok",
    *,
    actor: Actor = BOT,
    capability: str = "list",
    organization_id: UUID = ACME,
    latency_us: int = 12_000,
) -> None:
    """A call that came to an end so many hours ago: its keys are as old as it is."""
    moment = NOW - dt.timedelta(hours=hours)
    began, ended = (UUID(int=make_key(moment).int | (uuid7().int & (2**80 - 1))) for _ in range(2))
    shared = {
        "type": EventType.CAPABILITY_INVOKED,
        "organization_id": organization_id,
        "occurred_at": moment,
        "integration": "github",
        "capability": capability,
        "call": began,
        **vars(actor),
    }
    AuditEvent(id=began, phase="requested", **shared).save(force_insert=True)
    shared |= {"phase": "completed", "outcome": outcome, "latency_us": latency_us}
    AuditEvent(id=ended, **shared).save(force_insert=True)


def count_directly(model: Any) -> dict[tuple[Any, ...], int]:
    found: Counter[tuple[Any, ...]] = Counter()
    for event in AuditEvent.objects.all():
        hour = event.occurred_at.replace(minute=0, second=0, microsecond=0)
        found[(hour, *(getattr(event, name) for name in COLUMNS[model]))] += 1
    return found


def read_counts(model: Any) -> dict[tuple[Any, ...], int]:
    rows = model._default_manager.all()
    return {(row.hour, *(getattr(row, name) for name in COLUMNS[model])): row.events for row in rows}


def assert_exact() -> None:
    for model in COLUMNS:
        assert read_counts(model) == count_directly(model)
    latencies: Counter[int] = Counter()
    for row in CapabilityHour.objects.all():
        latencies.update({int(bucket): number for bucket, number in row.latencies.items()})
    assert sum(latencies.values()) == AuditEvent.objects.exclude(latency_us=None).count()


def test_roll_up_counts_what_a_direct_count_finds() -> None:
    record(3)
    record(2, organization_id=GLOBEX)
    record(1, organization_id=None)
    seal()
    assert roll_up(seconds=9) == 6
    for hours, outcome in ((0, "ok"), (5, "ok"), (5, "error_remote"), (5.2, "denied")):
        call(hours, outcome)
        call(hours, outcome, actor=TRIAGE, capability="read", organization_id=GLOBEX)
    seal()
    assert roll_up(seconds=9) == 16
    assert roll_up(seconds=9) == 0
    assert_exact()


def test_roll_up_of_what_was_sealed_late_counts_it_in_its_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "MOST_EVENTS", 3)
    call(1)
    seal()
    count_hours()
    call(30)
    call(1, latency_us=1)
    call(1, latency_us=0)
    seal()
    count_hours()
    assert_exact()
    [row] = CapabilityHour.objects.filter(hour__gt=NOW - dt.timedelta(hours=2), phase="completed")
    assert row.latencies == {"0": 2, "108": 1}
    assert 2 ** (108 / 8) <= 12_000 < 2 ** (109 / 8)


def test_roll_up_that_is_killed_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    record(4)
    call(2)
    seal()

    def die(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RollupPosition, "save", die)
        with pytest.raises(KeyboardInterrupt):
            roll_up(seconds=9)
    assert not CapabilityHour.objects.exists()
    roll_up(seconds=9)
    assert_exact()


def test_live_since_is_the_hour_that_is_not_counted_whole() -> None:
    assert find_live_since(None) is None
    call(50)
    call(49)
    seal()
    first = find_live_since([ACME])
    assert first is not None
    assert dt.timedelta(hours=50) <= NOW - first <= dt.timedelta(hours=51, minutes=1)
    roll_up(seconds=9)
    call(7, organization_id=GLOBEX)
    seal()
    behind, ahead = find_live_since([GLOBEX]), find_live_since([ACME])
    assert behind == ahead  # every tree is as far as the newest leaf, unless something waits
    record(1)
    seal()
    since = find_live_since([ACME])
    assert since is not None
    assert since in (THIS_HOUR, THIS_HOUR - dt.timedelta(hours=1), THIS_HOUR + dt.timedelta(hours=1))
    assert find_live_since(None) == find_live_since([GLOBEX]) == behind
    roll_up(seconds=9)
    assert find_live_since(None) == find_live_since([ACME]) == since


def test_recount_makes_the_same_counts_anew() -> None:
    call(3)
    record(2, organization_id=GLOBEX)
    seal()
    roll_up(seconds=9)
    CapabilityHour.objects.update(events=1000)
    recount(organization_id=ACME)
    assert not CapabilityHour.objects.filter(organization_id=ACME).exists()
    assert CapabilityHour.objects.filter(organization_id=GLOBEX).exists()
    output = io.StringIO()
    call_command("audit", "recount", stdout=output)
    assert "counted: 4 events" in output.getvalue()
    assert_exact()


@pytest.fixture
def old() -> Iterator[dt.datetime]:
    """The beginning of a month that is long past, and has a partition."""
    month = add_months(begin_month(NOW), -13)
    made = make_partitions(month)
    yield month
    with connection.cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


@pytest.mark.django_db(transaction=True)
def test_dropped_months_are_in_no_count(old: dt.datetime) -> None:
    """Also where a call was counted in an hour of the next month, and where a leaf was not counted yet."""
    subject = Subject(integration="github", capability="list")
    for number in range(3):
        place = Call(call=UUID(int=make_key(old).int + number), phase="completed", latency_us=5)
        moment = old + dt.timedelta(days=32 * (number == 1))
        record_event(
            type=EventType.CAPABILITY_INVOKED,
            organization_id=ACME,
            actor=BOT,
            subject=subject,
            call=place,
            occurred_at=moment,
        )
    record(1)
    seal()
    roll_up(seconds=9)
    assert_exact()
    late = Call(call=UUID(int=make_key(old).int + 9), phase="completed")
    record_event(type=EventType.CAPABILITY_INVOKED, organization_id=ACME, call=late, occurred_at=old)
    seal()
    [partition, *_] = find_due(12, NOW)
    drop_month(partition=partition, months=12, sign=lambda text, _origin: text, actor=NOBODY)
    assert not CapabilityHour.objects.filter(type=EventType.CAPABILITY_INVOKED).exists()
    seal()
    roll_up(seconds=9)
    assert_exact()
