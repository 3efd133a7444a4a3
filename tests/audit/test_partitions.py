"""Months of the log: made ahead, as closed as the whole, and nothing is lost where one is missing."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from audit.keys import make_key
from audit.models import AuditEvent, Leaf, Tree
from audit.partitions import (
    MONTHS_AHEAD,
    NET,
    Partition,
    add_months,
    begin_month,
    count_ahead,
    has_caught,
    make_partitions,
    read_partitions,
)
from audit.services.record import Call, record_event
from audit.types import EventType
from kontext.doctor import audit
from kontext.doctor.findings import Level
from orgs.ids import uuid7
from tests.audit.trees import ACME, check_tree, record, seal
from tests.gateway.own_server import change_database

NOW = dt.datetime.now(dt.UTC)
MONTH = begin_month(NOW)
FAR = add_months(MONTH, 40)


def find_table(event: AuditEvent) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM audit_auditevent WHERE id = %s", [event.pk])
        return str(cursor.fetchone()[0])


def record_call(call: UUID, phase: str = "requested") -> AuditEvent:
    return record_event(
        type=EventType.CAPABILITY_INVOKED, organization_id=ACME, outcome="", call=Call(call=call, phase=phase)
    )


@pytest.mark.parametrize(
    ("month", "count", "found"),
    [
        ((2026, 11), 1, (2026, 12)),
        ((2026, 11), 2, (2027, 1)),
        ((2026, 1), -1, (2025, 12)),
        ((2026, 12), 12, (2027, 12)),
    ],
)
def test_add_months_goes_over_years(month: tuple[int, int], count: int, found: tuple[int, int]) -> None:
    assert add_months(dt.datetime(*month, 1, tzinfo=dt.UTC), count) == dt.datetime(*found, 1, tzinfo=dt.UTC)


def test_count_ahead_stops_at_a_gap() -> None:
    def make(first: int, last: int) -> Partition:
        return Partition(make_key(add_months(MONTH, first)), make_key(add_months(MONTH, last)), "x")

    assert count_ahead([make(-9, 1), make(1, 2), make(3, 4)], NOW) == 1
    assert count_ahead([make(1, 2)], NOW) == -1


@pytest.mark.django_db
def test_migrate_makes_partitions_ahead() -> None:
    assert count_ahead(read_partitions(), NOW) == MONTHS_AHEAD
    assert make_partitions() == []


@pytest.mark.django_db
def test_phases_of_a_call_are_in_the_month_of_its_beginning() -> None:
    late = make_key(MONTH) if NOW.day > 1 else uuid7()
    events = [record_call(late), record_call(late, "completed"), *record(1)]
    assert {find_table(event) for event in events} == {f"audit_auditevent_{MONTH:%Y_%m}"}


@pytest.mark.django_db
def test_event_without_a_call_says_so() -> None:
    [event] = record(1)
    event.refresh_from_db()
    assert (event.call, event.call_id, event.phase) == (event.pk, None, "")
    called = record_call(uuid7())
    assert called.call_id == called.call


@pytest.mark.django_db
@pytest.mark.parametrize("table", [f"audit_auditevent_{MONTH:%Y_%m}", NET])
@pytest.mark.parametrize("statement", ["UPDATE {} SET outcome = 'ok'", "DELETE FROM {}", "TRUNCATE {}"])
def test_change_of_a_partition_is_refused(table: str, statement: str) -> None:
    record(1)
    record_call(make_key(FAR))
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))
    assert AuditEvent.objects.count() == 2


@pytest.mark.django_db
def test_event_of_a_month_without_partition_is_caught_and_moved_when_there_is_one() -> None:
    here, event = record(1)[0], record_call(make_key(FAR))
    seal()
    assert (find_table(event), has_caught()) == (NET, True)
    assert [finding.level for finding in audit.examine_partitions()] == [Level.OK, Level.WARNING]
    made = make_partitions(FAR)
    assert len(made) == MONTHS_AHEAD + 1
    assert (find_table(event), has_caught()) == (f"audit_auditevent_{FAR:%Y_%m}", False)
    assert check_tree(Tree.objects.get()) == [here.pk, event.pk]
    for table in made:
        with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table}" if table == find_table(event) else f"TRUNCATE {table}")


@pytest.mark.django_db
def test_doctor_says_when_months_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.level for finding in audit.examine_partitions()] == [Level.OK]
    monkeypatch.setattr("django.utils.timezone.now", lambda: add_months(MONTH, MONTHS_AHEAD - 1))
    [finding] = audit.examine_partitions()
    assert (finding.level, "1 month" in finding.text) == (Level.ERROR, True)


@pytest.fixture
def empty_database(django_db_blocker: Any) -> Iterator[None]:
    """A database of the test's own, without any table."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with django_db_blocker.unblock():
        ours = {key: connection.settings_dict[key] for key in ("HOST", "PORT", "USER", "PASSWORD")}
        parameters = {"host": ours["HOST"], "port": ours["PORT"] or None, "user": ours["USER"], "dbname": "postgres"}
        with psycopg.connect(**parameters, password=ours["PASSWORD"] or None, autocommit=True) as server:
            server.execute(f'CREATE DATABASE "{name}"')
            former = change_database(NAME=name)
            yield
            change_database(**former)
            server.execute(f'DROP DATABASE "{name}"')


def test_log_that_is_there_is_converted_and_back(empty_database: None) -> None:
    """What was sealed before verifies after, each way."""
    call_command("migrate", "audit", "0005", verbosity=0)
    with connection.cursor() as cursor:
        texts = "user_name, application_name, integration, capability, account, session, request_id, trace_id"
        insert = (
            f"INSERT INTO audit_auditevent (id, organization_id, type, occurred_at, call, phase, outcome, {texts}, "
            "arguments_digest, details) "
            "VALUES (uuidv7(), %s, 'x.y', now(), %s, %s, '', '', '', '', '', '', '', '', '', '', '{}')"
        )
        for call, phase in ((None, ""), (uuid7(), "requested"), (UUID(int=2**127), "denied"), (None, "")):
            cursor.execute(insert, [ACME, call, phase])
    seal()
    before = read_everything()
    call_command("migrate", "audit", "0006", verbosity=0)
    assert [event.call_id for event in AuditEvent.objects.order_by("id")] == [row[5] for row in before]
    order = check_tree(Tree.objects.get())
    assert [find_table(AuditEvent.objects.get(pk=key)) for key in order] == [
        *(["audit_auditevent_former"] * 2),
        NET,
        "audit_auditevent_former",
    ]
    record(1)
    record_call(make_key(add_months(MONTH, 1)))
    seal()
    call_command("migrate", "audit", "0005", verbosity=0)
    assert read_everything()[:4] == before
    assert check_tree(Tree.objects.get())[:4] == order
    with connection.cursor() as cursor, pytest.raises(ProgrammingError, match="append-only"):
        cursor.execute("DELETE FROM audit_auditevent")
    call_command("migrate", "audit", "0006", verbosity=0)
    assert Leaf.objects.count() == len(check_tree(Tree.objects.get())) == 6


def read_everything() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        names = ", ".join(str(field.column) for field in AuditEvent._meta.concrete_fields)
        cursor.execute(f"SELECT {names} FROM audit_auditevent ORDER BY id")
        return list(cursor.fetchall())
