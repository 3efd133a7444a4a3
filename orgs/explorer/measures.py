"""Calls, denials, failures and latency over time, by integration or by application: of as many calls as are read."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, cast

from django.db import connection

from audit.querysets import AuditEventQuerySet
from orgs.explorer.filters import Window
from orgs.explorer.reading import choose_width

# As many as are measured in about a second.
MOST_MEASURED = 400_000
MOST_NAMED = 8
GROUPS = {"integration": "integration", "application": "application_name"}
_MEASURES = """
WITH newest (occurred_at, outcome, latency_us, name) AS ({calls}),
named AS (
    SELECT name FROM newest GROUP BY name ORDER BY count(*) DESC, name LIMIT %s
)
SELECT
    GROUPING(bucket) = 1 AS is_total,
    name,
    bucket,
    count(*),
    count(*) FILTER (WHERE outcome IN ('denied', 'error_auth')),
    count(*) FILTER (WHERE outcome IN ('error_remote', 'error_proxy')),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY latency_us),
    min(occurred_at)
FROM (
    SELECT *, floor(extract(epoch FROM occurred_at) / %s)::bigint AS bucket FROM newest JOIN named USING (name)
) AS counted
GROUP BY GROUPING SETS ((name, bucket), (name))
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """What came to an end in a stretch of time. Latencies are in microseconds, None where no call took place."""

    calls: int = 0
    denied: int = 0
    failed: int = 0
    p50_us: float | None = None
    p95_us: float | None = None


@dataclass(slots=True)
class Series:
    """One integration's or application's measures: altogether, and by stretch of time (its number since 1970)."""

    name: str
    total: Measure = field(default_factory=Measure)
    by_bucket: dict[int, Measure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measures:
    """The series with the most calls first. `measured_from`: where reading stopped, if not at the beginning."""

    width: int
    series: list[Series]
    measured_from: dt.datetime | None


def measure_calls(events: AuditEventQuerySet, window: Window, *, by: str) -> Measures:
    """Measure the newest calls in time that came to an end, at most MOST_MEASURED; `by` is a key of GROUPS."""
    width = choose_width(window)
    columns = ("occurred_at", "outcome", "latency_us", GROUPS[by])
    calls = window.narrow(events).results_of_calls().order_by("-pk").values_list(*columns)[:MOST_MEASURED]
    sql, parameters = calls.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_MEASURES.format(calls=sql), [*parameters, MOST_NAMED, width])
        rows = cast("list[tuple[Any, ...]]", cursor.fetchall())
    found: dict[str, Series] = {}
    for is_total, name, bucket, count, denied, failed, percentiles, _ in rows:
        series = found.setdefault(name, Series(name or "Unnamed"))
        p50, p95 = percentiles or (None, None)
        measure = Measure(count, denied, failed, p50, p95)
        if is_total:
            series.total = measure
        else:
            series.by_bucket[bucket] = measure
    ranked = sorted(found.values(), key=lambda series: (-series.total.calls, series.name))
    return Measures(width, ranked, _find_end(ranked, rows))


def _find_end(series: list[Series], rows: list[tuple[Any, ...]]) -> dt.datetime | None:
    # Where small series are left out, somewhat fewer are counted than were read.
    is_full = sum(one.total.calls for one in series) >= MOST_MEASURED * 0.9
    return min(row[7] for row in rows) if is_full and rows else None
