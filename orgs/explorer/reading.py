"""Reads of the audit trail that end in time, however long it is: pages found by their keys, counts that stop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from audit.models import AuditEvent
from audit.querysets import AuditEventQuerySet
from orgs.explorer.filters import Window

PAGE_SIZE = 50
# As many as are counted in about half a second: a day of ten million events a month.
MOST_COUNTED = 400_000
_MILLISECONDS = 4_000
_MOST_BUCKETS = 60
_WIDTHS = (
    *(1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200),
    *(86_400, 259_200, 604_800, 2_592_000, 7_776_000, 31_536_000),
)


class TooLongError(Exception):
    """The question would take longer to answer than anybody should wait."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, the newest first. `newer` and `older` are where the neighbouring pages begin, None at the ends."""

    events: list[AuditEvent]
    newer: UUID | None = None
    older: UUID | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many events of each outcome there are in each stretch of `width` seconds, by its number since 1970.

    `counted_from`: where counting stopped, if it did not get to the beginning.
    """

    width: int
    by_bucket: dict[int, dict[str, int]] = field(default_factory=dict)
    counted_from: dt.datetime | None = None


@contextmanager
def within_time(milliseconds: int = _MILLISECONDS) -> Iterator[None]:
    """Have PostgreSQL end what takes too long. Raises TooLongError."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{milliseconds}ms"])
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooLongError from None
        raise


def read_page(events: AuditEventQuerySet, *, before: UUID | None = None, after: UUID | None = None) -> EventPage:
    """Read the page that ends before or begins after an event: found by its key, however far back it is."""
    if after is not None:
        found = list(events.filter(pk__gt=after).order_by("pk")[: PAGE_SIZE + 1])
        shown = found[:PAGE_SIZE][::-1]
        return _make_page(shown, has_newer=len(found) > PAGE_SIZE, has_older=True)
    if before is not None:
        events = events.filter(pk__lt=before)
    found = list(events.order_by("-pk")[: PAGE_SIZE + 1])
    return _make_page(found[:PAGE_SIZE], has_newer=before is not None, has_older=len(found) > PAGE_SIZE)


def find_decisions(events: list[AuditEvent]) -> dict[UUID, Any]:
    """Return the decisions of calls by call. They are with the event that began it, and only there."""
    calls = [event.call for event in events if event.phase == "completed"]
    began = AuditEvent.objects.filter(call__in=calls, phase="requested", decision__isnull=False).order_by()
    return {call: decision for call, decision in began.values_list("call", "decision") if call is not None}


def choose_width(window: Window) -> int:
    """Return into stretches of how many seconds a time is divided, so that there are not more than sixty."""
    seconds = (window.end - window.start).total_seconds()
    return next((width for width in _WIDTHS if seconds / width <= _MOST_BUCKETS), _WIDTHS[-1])


def count_events(events: AuditEventQuerySet, window: Window) -> Counts:
    """Count the newest events in time by outcome; the oldest are left out where there are more than MOST_COUNTED."""
    width = choose_width(window)
    newest = window.narrow(events).order_by("-pk").values_list("occurred_at", "outcome")[:MOST_COUNTED]
    sql, parameters = newest.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT floor(extract(epoch FROM occurred_at) / %s)::bigint, outcome, count(*), min(occurred_at) "  # noqa: S608
            f"FROM ({sql}) AS newest (occurred_at, outcome) GROUP BY 1, 2",
            [width, *parameters],
        )
        rows = cast("list[tuple[int, str, int, dt.datetime]]", cursor.fetchall())
    counts = Counts(width)
    for bucket, outcome, number, _ in rows:
        counts.by_bucket.setdefault(bucket, {})[outcome] = number
    if sum(row[2] for row in rows) < MOST_COUNTED:
        return counts
    return Counts(width, counts.by_bucket, min(row[3] for row in rows))


def _make_page(shown: list[AuditEvent], *, has_newer: bool, has_older: bool) -> EventPage:
    if not shown:
        return EventPage([])
    return EventPage(shown, newer=shown[0].pk if has_newer else None, older=shown[-1].pk if has_older else None)
