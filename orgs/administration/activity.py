"""The newest events of an object, for its page, and the condition that finds all of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from audit.models import AuditEvent
from orgs.administration.access import WRITERS, Access, get_organization_ids, narrow
from orgs.models import Membership

EVENT_READERS = WRITERS | {Membership.Role.AUDITOR}
_COLUMNS = ("user_id", "application_id", "integration_id", "connection_id", "call")
_NAMED_IN_DETAILS = ("object_id", "delegation", "rule", "group", "user", "of_user", "alert", "place")
_SHOWN = 8
# An object page is opened often: it must not search a log of millions for an object that hardly ever acts.
_SEARCHED = 5_000


def is_related_to(key: UUID) -> Q:
    """Return the condition that an event is about the object with this key."""
    found = Q(pk=key)
    for column in _COLUMNS:
        found |= Q(**{column: key})
    for name in _NAMED_IN_DETAILS:
        found |= Q(**{f"details__{name}": str(key)})
    return found


def get_recent_events(row: Any, condition: Q, access: Access) -> QuerySet[Any]:
    """Return the newest events that are about a row, among the newest of its organizations that the person may see."""
    visible = narrow(AuditEvent.objects.order_by("-id"), access, roles=EVENT_READERS, lookup="organization_id")
    organizations = get_organization_ids(row)
    newest = visible.filter(organization_id__in=organizations) if organizations else visible
    found = AuditEvent.objects.filter(pk__in=newest.values("pk")[:_SEARCHED]).order_by("-id")
    return found.filter(condition)[:_SHOWN]
