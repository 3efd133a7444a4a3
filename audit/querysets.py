"""Reads of the log that are used twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from audit.types import EventType

if TYPE_CHECKING:
    from audit.models import AuditEvent, Payload, PayloadKey, Tree  # noqa: F401

_CALLS = (EventType.CAPABILITY_INVOKED, EventType.CREDENTIAL_ISSUED)


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

    def calls(self) -> AuditEventQuerySet:
        """Return one event for each use of an integration: the one that opened it, or that denied it."""
        return self.filter(Q(type__in=_CALLS) & ~Q(phase="completed"))

    def results_of_calls(self) -> AuditEventQuerySet:
        """Return the event with which each call ended: completed, or denied."""
        return self.filter(Q(type__in=_CALLS) & ~Q(phase="requested"))

    def with_results(self) -> AuditEventQuerySet:
        """Annotate calls with `result` (an Outcome), `result_account` and `result_latency_us`.

        They are those of the `completed` event where there is one.
        """
        completed = self.model._default_manager.filter(
            organization_id=OuterRef("organization_id"), call=OuterRef("call"), phase="completed"
        )
        return self.annotate(
            result=Coalesce(Subquery(completed.values("outcome")[:1]), F("outcome")),
            result_account=Coalesce(Subquery(completed.values("account")[:1]), F("account")),
            result_latency_us=Coalesce(Subquery(completed.values("latency_us")[:1]), F("latency_us")),
        )

    def ended_as(self, outcome: str) -> AuditEventQuerySet:
        """Return, of `with_results()`, the calls with this outcome."""
        calls: Any = self
        found: AuditEventQuerySet = calls.filter(result=outcome)
        return found

    def other_than_calls(self) -> AuditEventQuerySet:
        return self.exclude(type__in=_CALLS)

    def update(self, **kwargs: Any) -> int:
        raise TypeError("audit events are append-only")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError("audit events are append-only")


class TreeQuerySet(models.QuerySet["Tree"]):
    def for_organization(self, organization_id: UUID | None) -> TreeQuerySet:
        """None is the installation itself."""
        return self.filter(organization_id=organization_id)


class PayloadKeyQuerySet(models.QuerySet["PayloadKey"]):
    def of(self, *, organization_id: UUID, user_id: UUID | None, application_id: UUID | None) -> PayloadKeyQuerySet:
        """Return the keys of a person's calls there; without a person, of the application's that acts for itself."""
        owner = {"user_id": user_id} if user_id is not None else {"user_id": None, "application_id": application_id}
        return self.filter(organization_id=organization_id, **owner)

    def usable(self) -> PayloadKeyQuerySet:
        return self.filter(erased_at=None)


class PayloadQuerySet(models.QuerySet["Payload"]):
    def of_events(self, events: Iterable[AuditEvent]) -> PayloadQuerySet:
        return self.filter(pk__in=[(event.call, event.phase) for event in events])
