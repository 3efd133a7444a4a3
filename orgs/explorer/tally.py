"""Numbers of events over time: of whole hours from what was counted of them, of the rest from the events themselves."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from audit.querysets import AuditEventQuerySet
from audit.services.roll_up import BUCKET
from orgs.explorer.asked import HOUR, Asked, Window
from orgs.explorer.walk import Walk

# Some values that events have in common, the number of the stretch of time since 1970 before them, and the number of
# events after them.
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Reader:
    """Counts by stretches of time and what there is in these columns: the same of hourly counts and of events."""

    columns: tuple[str, ...]

    def read_hours(self, counts: QuerySet[Any], width: int) -> list[Row]:
        rows = counts.values("hour", "events", *self.columns)
        return _fetch(rows, "hour", width, columns=self.columns, number="sum(events)::bigint")

    def read_events(self, events: AuditEventQuerySet, width: int) -> list[Row]:
        rows = events.values("occurred_at", *self.columns)
        return _fetch(rows, "occurred_at", width, columns=self.columns, number="count(*)")


class LatencyReader(Reader):
    """Counts what has a latency, by the latency's bucket as well."""

    def read_hours(self, counts: QuerySet[Any], width: int) -> list[Row]:
        rows, columns = counts.values("hour", "latencies", *self.columns), (*self.columns, "key::int")
        number, parts = "sum(value::bigint)::bigint", "jsonb_each_text(latencies)"
        return _fetch(rows, "hour", width, columns=columns, number=number, parts=parts)

    def read_events(self, events: AuditEventQuerySet, width: int) -> list[Row]:
        rows = events.filter(latency_us__isnull=False).values("occurred_at", "latency_us", *self.columns)
        return _fetch(rows, "occurred_at", width, columns=(*self.columns, BUCKET), number="count(*)")


@dataclass(frozen=True, slots=True)
class Tally:
    """`counted_from`: where counting stopped for lack of time, None if it came to the beginning.

    `is_behind`: so many happen that the latest are in it as of some seconds ago.
    """

    width: int
    numbers: Counter[tuple[Any, ...]]
    counted_from: dt.datetime | None = None
    is_behind: bool = False


def tally(asked: Asked, window: Window, width: int, reader: Reader) -> Tally:
    """Count what is asked for in this time, by stretches of `width` seconds and what the reader goes by."""
    hours = asked.find_counted(window) if width % HOUR.total_seconds() == 0 else None
    if hours is None or asked.counts is None:
        numbers, stopped = _count_events(asked, window, width, reader)
        return Tally(width, numbers, stopped)
    newest = Window(hours.end, window.end)
    numbers, stopped = _count_events(asked, newest, width, reader)
    is_behind = stopped is not None
    if is_behind:
        numbers, hours = Counter(), Window(hours.start, newest.end)
    _add(numbers, reader.read_hours(hours.narrow_hours(asked.counts), width))
    oldest, stopped = _count_events(asked, Window(window.start, hours.start), width, reader)
    return Tally(width, numbers + oldest, stopped, is_behind)


def _count_events(
    asked: Asked, window: Window, width: int, reader: Reader
) -> tuple[Counter[tuple[Any, ...]], dt.datetime | None]:
    numbers: Counter[tuple[Any, ...]] = Counter()
    walk = Walk(asked.find_runs(window) if window.start < window.end else [])
    events = window.narrow(asked.events)
    for stretch in walk:
        _add(numbers, reader.read_events(events.keyed(stretch.start, stretch.end), width))
    return numbers, walk.stopped_at


def _add(numbers: Counter[tuple[Any, ...]], rows: Iterable[Row]) -> None:
    for *key, number in rows:
        numbers[tuple(key)] += number


def _fetch(
    rows: QuerySet[Any], moment: str, width: int, *, columns: Sequence[str], number: str, parts: str = ""
) -> list[Row]:
    sql, parameters = rows.order_by().query.sql_with_params()
    names, source = ", ".join(columns), f"({sql}) AS found{', ' if parts else ''}{parts}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT floor(extract(epoch FROM {moment}) / %s)::bigint, {names}, {number} FROM {source} "  # noqa: S608
            f"GROUP BY 1, {names}",
            [width, *parameters],
        )
        return list(cursor.fetchall())
