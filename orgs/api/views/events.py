"""Reading the audit trail. Who may not read all of it reads what was done by or for themselves."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import AuditEvent, Phase
from audit.querysets import CLOCKS_DIFFER, AuditEventQuerySet
from audit.types import EventType
from orgs.api.access import EVERYONE, LOG_READERS, WRITERS
from orgs.api.base import ManagementView, get_row
from orgs.api.errors import ForbiddenError
from orgs.api.serializers import CamelSerializer, page_of, wrapped
from orgs.api.shapes.events import (
    STATUS_BY_OUTCOME,
    EventQuery,
    EventSerializer,
    McpEventQuery,
    McpEventSerializer,
    PayloadSerializer,
)
from orgs.services.show_payload import show_payload

_COLUMNS = {
    "application_id": "application_id",
    "user_id": "user_id",
    "integration_id": "integration_id",
    "capability": "capability",
    "session_id": "session",
    "request_id": "request_id",
    "type": "type",
    "outcome": "outcome",
    "phase": "phase",
    "call_id": "call",
}
# What is asked for without `since`.
DEFAULT_SPAN = dt.timedelta(days=30)
_OF_THE_GATEWAY = ~Q(phase=Phase.NONE) | Q(type__in=[EventType.CAPABILITY_INVOKED, EventType.CREDENTIAL_ISSUED])


class LogView(ManagementView):
    """Base of what reads the log."""

    readers = EVERYONE
    tag = "Audit"

    def get_events(self) -> AuditEventQuerySet:
        events = AuditEvent.objects.for_organization(self.access.organization.pk)
        return events if self.access.has(LOG_READERS) else events.of_user(self.access.user.pk)

    def get_filtered_events(self) -> AuditEventQuerySet:
        """Return what the query's filters ask for, of a bounded time: filters that match nothing read all of it."""
        columns = {column: self.query[name] for name, column in _COLUMNS.items() if name in self.query}
        events = self.get_events().filter(**columns)
        if "call_id" in self.query:
            events = events.exclude(phase=Phase.NONE)
        if "call_id" in self.query and not {"since", "until"} & self.query.keys():
            return events  # at most three events, found by an index wherever they are
        end = self.query.get("until") or timezone.now() + CLOCKS_DIFFER
        return events.within(self.query.get("since") or _get_default_start(end), end)


def _get_default_start(end: dt.datetime) -> dt.datetime:
    try:
        return end - DEFAULT_SPAN
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)


class EventsView(LogView):
    query_serializer: ClassVar[type[CamelSerializer]] = EventQuery

    @extend_schema(operation_id="listAuditEvents", summary="List audit events", responses=page_of(EventSerializer))
    def get(self, request: Request) -> Response:
        """The newest first. Without the role for it, your own alone."""
        return self.answer_page(self.get_filtered_events(), EventSerializer)


class EventDetailView(LogView):
    @extend_schema(
        operation_id="getAuditEvent", summary="Get an audit event", responses=wrapped("event", EventSerializer)
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        return Response({"event": EventSerializer(get_row(self.get_events(), event_id)).data})


class PayloadView(LogView):
    @extend_schema(
        operation_id="getAuditEventPayload",
        summary="Get the content that was kept at an audit event",
        responses=wrapped("payload", PayloadSerializer),
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        """For owners, administrators, and the person the call was for. Each time is itself in the audit trail."""
        event = get_row(self.get_events(), event_id)
        if event.user_id != self.access.user.pk and not self.access.has(WRITERS):
            raise ForbiddenError("Content is for owners, administrators, and the person that the call was for.")
        opened = show_payload(event=event, actor=self.access.actor)
        shown = {"event_id": event.pk, "level": opened.level, "is_cut": opened.is_cut, "content": opened.document}
        return Response({"payload": PayloadSerializer(shown).data})


class McpEventsView(LogView):
    query_serializer: ClassVar[type[CamelSerializer]] = McpEventQuery

    @extend_schema(
        operation_id="listMcpEvents", summary="List events of the gateway", responses=page_of(McpEventSerializer)
    )
    def get(self, request: Request) -> Response:
        """Calls and issued credentials, by the hosted service's names; `/audit-events` tells more of each."""
        rows = self.get_filtered_events().filter(_OF_THE_GATEWAY, self._get_status_condition())
        return self.answer_page(rows, McpEventSerializer)

    def _get_status_condition(self) -> Q:
        wanted: Any = self.query.get("status")
        outcomes = [outcome for outcome, status in STATUS_BY_OUTCOME.items() if status == wanted]
        return Q(outcome__in=outcomes) if wanted else Q()
