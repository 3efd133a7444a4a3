"""Calls, denials, failures and latency over time, by integration or by application."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from django.db.models import Q

from audit.models import ApplicationHour, CapabilityHour, HourlyCount
from audit.services.roll_up import BUCKETS_PER_DOUBLING
from orgs.explorer.asked import Asked, Trail, Window
from orgs.explorer.reading import choose_width
from orgs.explorer.tally import LatencyReader, Reader, Tally, tally

MOST_NAMED = 8
# What is measured: the counts that have it, and their column.
GROUPS: dict[str, tuple[type[HourlyCount], str]] = {
    "integration": (CapabilityHour, "integration"),
    "application": (ApplicationHour, "application_name"),
}
_DENIED = ("denied", "error_auth")
_FAILED = ("error_remote", "error_proxy")


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
    """The series with the most calls first, at most MOST_NAMED. `tally` says how far they reach."""

    series: list[Series]
    tally: Tally


def measure_calls(trail: Trail, window: Window, *, by: str) -> Measures:
    """Measure the calls in time that came to an end; `by` is a key of GROUPS."""
    model, column = GROUPS[by]
    results = trail.events.results_of_calls()
    calls = Asked(trail, results, trail.get_counts(model).results_of_calls())
    width = choose_width(window)
    counted = tally(calls, window, width, Reader((column, "outcome")))
    most = _find_most(counted)
    if not most:
        return Measures([], counted)
    named = Q(**{f"{column}__in": most})
    assert calls.counts is not None
    timed = replace(calls, events=results.filter(named), counts=calls.counts.filter(named))
    latencies = tally(timed, window, width, LatencyReader((column,)))
    return Measures(_make_series(most, counted, latencies), counted)


def _find_most(counted: Tally) -> list[str]:
    calls: Counter[str] = Counter()
    for (_, name, _), number in counted.numbers.items():
        calls[name] += number
    return sorted(calls, key=lambda name: (-calls[name], name))[:MOST_NAMED]


def _make_series(names: list[str], counted: Tally, latencies: Tally) -> list[Series]:
    outcomes: dict[tuple[str, int | None], Counter[str]] = defaultdict(Counter)
    buckets: dict[tuple[str, int | None], Counter[int]] = defaultdict(Counter)
    for (stretch, name, outcome), number in counted.numbers.items():
        for place in (stretch, None):
            outcomes[name, place][outcome] += number
    for (stretch, name, bucket), number in latencies.numbers.items():
        for place in (stretch, None):
            buckets[name, place][bucket] += number
    series = {name: Series(name or "Unnamed") for name in names}
    for (name, place), numbers in outcomes.items():
        if name not in series:
            continue
        measure = _make_measure(numbers, buckets[name, place])
        if place is None:
            series[name].total = measure
        else:
            series[name].by_bucket[place] = measure
    return list(series.values())


def _make_measure(outcomes: Counter[str], buckets: Counter[int]) -> Measure:
    return Measure(
        calls=outcomes.total(),
        denied=sum(outcomes[outcome] for outcome in _DENIED),
        failed=sum(outcomes[outcome] for outcome in _FAILED),
        p50_us=_find_percentile(buckets, 0.5),
        p95_us=_find_percentile(buckets, 0.95),
    )


def _find_percentile(buckets: Counter[int], share: float) -> float | None:
    """Return the middle of the bucket which that share of them does not exceed."""
    wanted, seen = share * buckets.total(), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return float(2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING))
    return None
