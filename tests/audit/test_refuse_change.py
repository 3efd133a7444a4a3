"""The log can only grow, whoever asks (THREATS 41)."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import ProgrammingError

from audit.models import AuditEvent
from audit.services.record import Call, record_event
from audit.types import EventType
from orgs.ids import uuid7

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET outcome = 'ok'",
        "UPDATE audit_auditevent SET id = id",
        "DELETE FROM audit_auditevent",
        "TRUNCATE audit_auditevent",
        "TRUNCATE audit_auditevent CASCADE",
    ],
)
def test_change_by_sql_is_refused(statement: str) -> None:
    event = record_event(type=EventType.SIGNED_IN, organization_id=uuid7(), outcome="denied")
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    kept = AuditEvent.objects.get()
    assert (kept.pk, kept.outcome) == (event.pk, "denied")


def test_change_through_the_queryset_is_refused() -> None:
    record_event(type=EventType.SIGNED_IN, organization_id=uuid7())
    with pytest.raises(TypeError, match="append-only"):
        AuditEvent.objects.update(outcome="ok")
    with pytest.raises(TypeError, match="append-only"):
        AuditEvent.objects.all().delete()


def test_record_of_one_phase_twice_is_refused() -> None:
    call = Call(call=uuid7(), phase="requested")
    record_event(type=EventType.CAPABILITY_INVOKED, organization_id=uuid7(), outcome="", call=call)
    with pytest.raises(IntegrityError, match="call_phase_key"):
        record_event(type=EventType.CAPABILITY_INVOKED, organization_id=uuid7(), outcome="", call=call)
