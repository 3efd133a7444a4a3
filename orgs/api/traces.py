"""Calls, put together from the events that tell of them: a request and its completion, or one denial."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Aggregate, Count, Exists, FloatField, OuterRef, Q
from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from audit.models import AuditEvent, Phase
from audit.querysets import AuditEventQuerySet

PERIODS = {"1d": dt.timedelta(days=1), "7d": dt.timedelta(days=7), "30d": dt.timedelta(days=30)}
_MOST_NAMED = 10
_BEGINNINGS = Q(phase__in=(Phase.REQUESTED, Phase.DENIED))
_ENDINGS = Q(phase__in=(Phase.COMPLETED, Phase.DENIED))
_ERRORS = ("error_remote", "error_proxy", "error_auth")


@dataclass(frozen=True, slots=True)
class Trace:
    """The events of one call, in order."""

    events: Sequence[AuditEvent]

    @property
    def first(self) -> AuditEvent:
        return self.events[0]

    @property
    def last(self) -> AuditEvent:
        return self.events[-1]

    @property
    def is_complete(self) -> bool:
        return self.last.phase != Phase.REQUESTED


class _Percentile(Aggregate):
    function = "PERCENTILE_CONT"
    template = "%(function)s(%(part)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


def get_beginnings(events: AuditEventQuerySet, *, outcome: str = "") -> AuditEventQuerySet:
    """Return the first event of each call, of those that ended with `outcome` if one is given."""
    begun = events.filter(_BEGINNINGS)
    if not outcome:
        return begun
    ended = AuditEvent.objects.filter(_ENDINGS, call=OuterRef("call"), outcome=outcome)
    return begun.filter(Exists(ended))


def complete(beginnings: Sequence[AuditEvent]) -> list[Trace]:
    """Return the calls that these events began, in the same order."""
    by_call: dict[Any, list[AuditEvent]] = defaultdict(list)
    for event in AuditEvent.objects.filter(call__in=[event.call for event in beginnings]).order_by("id"):
        by_call[event.call].append(event)
    return [Trace(by_call[event.call]) for event in beginnings]


def measure(events: AuditEventQuerySet, period: str) -> dict[str, Any]:
    """Count the calls of the last `period` (a key of PERIODS), as StatsSerializer shows them."""
    end = timezone.now()
    start = end - PERIODS[period]
    rows = events.within(start, end).exclude(phase=Phase.NONE)
    truncate = TruncHour if period == "1d" else TruncDay
    buckets = rows.annotate(start=truncate("occurred_at", tzinfo=dt.UTC)).values("start")
    return {
        "period": period,
        "start": start,
        "end": end,
        **_total(rows),
        "buckets": buckets.annotate(**_counts()).order_by("start"),
        "applications": _name(rows, "application_id", ("application_name",)),
        "capabilities": _name(rows, "integration_id", ("integration", "capability")),
    }


def _counts() -> dict[str, Any]:
    return {
        "total": Count("pk", filter=_BEGINNINGS),
        "denied": Count("pk", filter=_ENDINGS & Q(outcome="denied")),
        "failed": Count("pk", filter=_ENDINGS & Q(outcome__in=_ERRORS)),
    }


def _total(rows: AuditEventQuerySet) -> dict[str, Any]:
    completed = Q(phase=Phase.COMPLETED)
    counted = rows.aggregate(
        **_counts(),
        ok=Count("pk", filter=_ENDINGS & Q(outcome="ok")),
        cancelled=Count("pk", filter=_ENDINGS & Q(outcome="cancelled")),
        ended=Count("pk", filter=_ENDINGS),
        p50=_Percentile("latency_us", filter=completed, part=0.5),
        p95=_Percentile("latency_us", filter=completed, part=0.95),
    )
    return {
        **counted,
        "pending": max(0, counted["total"] - counted["ended"]),
        "duration_ms_p50": _to_milliseconds(counted["p50"]),
        "duration_ms_p95": _to_milliseconds(counted["p95"]),
    }


def _name(rows: AuditEventQuerySet, key: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Count by what the key and the names together say, as they were at the time."""
    grouped = rows.values(key, *names).annotate(**_counts()).filter(total__gt=0).order_by("-total", *names)
    return [
        {**row, "id": row[key], "name": ":".join(filter(None, (row[name] for name in names)))}
        for row in grouped[:_MOST_NAMED]
    ]


def _to_milliseconds(microseconds: float | None) -> float | None:
    return round(microseconds / 1000, 3) if microseconds is not None else None
