"""Reads of the log that are used twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from audit.keys import make_key, shift
from audit.types import EventType

if TYPE_CHECKING:
    from audit.models import AuditEvent, HourlyCount, Payload, PayloadKey, Tree  # noqa: F401

_CALLS = (EventType.CAPABILITY_INVOKED, EventType.CREDENTIAL_ISSUED)
_RESULTS_OF_CALLS = Q(type__in=_CALLS) & ~Q(phase="requested")
# A call's identifier, which names its partition, is made before those of its events, by so much at most.
LONGEST_CALL = dt.timedelta(days=1)
# Who says when something occurred, and who makes the key, may have clocks that differ by so much.
CLOCKS_DIFFER = dt.timedelta(hours=1)


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
        return self.filter(occurred_at__gte=moment).keyed(moment)

    def within(self, start: dt.datetime, end: dt.datetime) -> AuditEventQuerySet:
        """Return what occurred from `start` until before `end`. Keys are in order of time: an index finds both ends."""
        occurred = self.filter(occurred_at__gte=start, occurred_at__lt=end)
        return occurred.keyed(shift(start, -CLOCKS_DIFFER), shift(end, CLOCKS_DIFFER))

    def keyed(self, start: dt.datetime, end: dt.datetime | None = None) -> AuditEventQuerySet:
        """Return the events whose keys were made in this time, whatever they say of when they occurred.

        Only the months that their calls can be in are read: no call takes longer than LONGEST_CALL.
        """
        found = self.filter(pk__gte=make_key(start), call__gte=make_key(shift(start, -LONGEST_CALL)))
        return found.filter(pk__lt=make_key(end), call__lt=make_key(end)) if end is not None else found

    def calls(self) -> AuditEventQuerySet:
        """Return one event for each use of an integration: the one that opened it, or that denied it."""
        return self.filter(Q(type__in=_CALLS) & ~Q(phase="completed"))

    def results_of_calls(self) -> AuditEventQuerySet:
        """Return the event with which each call ended: completed, or denied."""
        return self.filter(_RESULTS_OF_CALLS)

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


class HourlyCountQuerySet(models.QuerySet["HourlyCount"]):
    def results_of_calls(self) -> HourlyCountQuerySet:
        """Return the counts of the events with which calls ended."""
        return self.filter(_RESULTS_OF_CALLS)


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
