"""Reads of the log that are used twice."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models

if TYPE_CHECKING:
    from audit.models import AuditEvent  # noqa: F401


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def for_organization(self, organization_id: UUID) -> AuditEventQuerySet:
        return self.filter(organization_id=organization_id)

    def of_user(self, user_id: UUID) -> AuditEventQuerySet:
        """Return what was done by or for this person."""
        return self.filter(user_id=user_id)

    def of_call(self, call: UUID) -> AuditEventQuerySet:
        return self.filter(call=call).order_by("id")

    def since(self, moment: dt.datetime) -> AuditEventQuerySet:
        """Return the events from a moment on, found by their keys, which begin with the time and are indexed."""
        first = UUID(int=int(moment.timestamp() * 1000) << 80)
        return self.filter(pk__gte=first, occurred_at__gte=moment)

    def update(self, **kwargs: Any) -> int:
        raise TypeError("audit events are append-only")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError("audit events are append-only")
