"""What became of an organization's rules: who changed what, when, from the audit trail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from audit.models import AuditEvent
from audit.types import EventType
from orgs.models import Organization

_TYPES = (EventType.RULE_CREATED, EventType.RULE_CHANGED, EventType.RULE_DELETED)


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of a rule. `state` is what the rule said after it, or of a deleted one before."""

    event: UUID
    rule: UUID
    at: dt.datetime
    who: str
    type: str
    sentence: str
    changed: dict[str, list[Any]]
    state: dict[str, Any]


def read_history(*, organization: Organization, rule: UUID | None = None) -> Iterator[Revision]:
    """Yield the changes of one rule, or of all, the latest first."""
    events = AuditEvent.objects.filter(organization_id=organization.pk, type__in=_TYPES).order_by("-id")
    if rule is not None:
        events = events.filter(details__rule=str(rule))
    return map(_read, events.iterator())


def find_revision(*, organization: Organization, event: UUID) -> Revision | None:
    found = AuditEvent.objects.filter(organization_id=organization.pk, type__in=_TYPES, pk=event).first()
    return None if found is None else _read(found)


def _read(event: AuditEvent) -> Revision:
    details = event.details
    return Revision(
        event=event.pk,
        rule=UUID(details["rule"]),
        at=event.occurred_at,
        who=event.user_name or event.application_name or details.get("because", "") or "the system",
        type=event.type,
        sentence=details["sentence"],
        changed=details.get("changed", {}),
        state=details["state"],
    )
