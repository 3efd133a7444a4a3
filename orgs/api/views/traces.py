from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from orgs.api.errors import NotFoundError
from orgs.api.serializers import CamelSerializer, page_of, wrapped
from orgs.api.shapes.events import (
    StatsQuery,
    StatsSerializer,
    TraceDetailSerializer,
    TraceQuery,
    TraceSerializer,
)
from orgs.api.traces import Trace, complete, get_beginnings, measure
from orgs.api.views.events import LogView


class TracesView(LogView):
    query_serializer: ClassVar[type[CamelSerializer]] = TraceQuery

    @extend_schema(operation_id="listTraces", summary="List calls", responses=page_of(TraceSerializer))
    def get(self, request: Request) -> Response:
        """Invocations of capabilities, the newest first, each with how it ended."""
        rows = get_beginnings(self.get_filtered_events(), outcome=self.query.get("result", ""))
        return self.answer_page(rows, TraceSerializer, prepare=complete)


class TraceDetailView(LogView):
    @extend_schema(operation_id="getTrace", summary="Get a call", responses=wrapped("trace", TraceDetailSerializer))
    def get(self, request: Request, trace_id: UUID) -> Response:
        """With its events and the whole decision."""
        events = list(self.get_events().of_call(trace_id))
        if not events:
            raise NotFoundError
        return Response({"trace": TraceDetailSerializer(Trace(events)).data})


class TraceStatsView(LogView):
    query_serializer: ClassVar[type[CamelSerializer]] = StatsQuery

    @extend_schema(operation_id="getTraceStats", summary="Count calls", responses=wrapped("stats", StatsSerializer))
    def get(self, request: Request) -> Response:
        """How many there were, how they ended and how long they took."""
        stats = measure(self.get_events(), self.query["period"])
        return Response({"stats": StatsSerializer(stats).data})
