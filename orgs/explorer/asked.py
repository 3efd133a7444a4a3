"""A question to the audit trail, as far as one may read it: its events, and the hourly counts that hold them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from audit.keys import read_moment, shift
from audit.models import AuditEvent, HourlyCount
from audit.querysets import CLOCKS_DIFFER, AuditEventQuerySet, HourlyCountQuerySet
from audit.services.roll_up import find_live_since

HOUR = dt.timedelta(hours=1)
# What keys tell the time by.
_MOMENT = dt.timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """From when until before when."""

    start: dt.datetime
    end: dt.datetime

    def narrow(self, events: AuditEventQuerySet) -> AuditEventQuerySet:
        return events.within(self.start, self.end)

    def narrow_hours(self, counts: QuerySet[Any]) -> QuerySet[Any]:
        return counts.filter(hour__gte=self.start, hour__lt=self.end)


@dataclass(frozen=True, slots=True)
class Trail:
    """What somebody may read. `organizations` None is all of them, and the installation itself."""

    organizations: Collection[UUID] | None

    @property
    def events(self) -> AuditEventQuerySet:
        return AuditEvent.objects.order_by().filter(self._condition)

    def get_counts(self, model: type[HourlyCount]) -> HourlyCountQuerySet:
        counts: HourlyCountQuerySet = model.objects.filter(self._condition)
        return counts

    @property
    def _condition(self) -> Q:
        return Q() if self.organizations is None else Q(organization_id__in=self.organizations)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, at whatever time.

    `counts` are the hourly counts of exactly these events, None where none tell them from others. `hints` are counts
    of these among others: an hour that is not in each of them has none of these. `is_indexed`: an index finds them.
    """

    trail: Trail
    events: AuditEventQuerySet
    counts: QuerySet[Any] | None = None
    hints: tuple[QuerySet[Any], ...] = ()
    is_indexed: bool = False

    def find_counted(self, window: Window) -> Window | None:
        """Return the whole hours in this time whose counts are complete, None where there are none."""
        if self.counts is None:
            return None
        since = find_live_since(self.trail.organizations)
        start, end = _round_up(window.start), min(_round_down(window.end), since or window.start)
        return Window(start, end) if start < end else None

    def find_runs(self, window: Window, *, after: UUID | None = None, before: UUID | None = None) -> list[Window]:
        """Return the stretches of this time, by keys, that may have some of these, the oldest first."""
        start, end = shift(window.start, -CLOCKS_DIFFER), shift(window.end, CLOCKS_DIFFER)
        start = max(start, read_moment(after)) if after is not None else start
        end = min(end, read_moment(before) + _MOMENT) if before is not None else end
        if start >= end:
            return []
        whole = Window(start, end)
        since = find_live_since(self.trail.organizations) if self.hints else None
        if since is None:
            return [whole]
        hours = self._find_hours(Window(_round_down(window.start), since))
        runs = [Window(hour - CLOCKS_DIFFER, hour + HOUR + CLOCKS_DIFFER) for hour in hours]
        return [*_join(whole, [*runs, Window(since - CLOCKS_DIFFER, end)])]

    def _find_hours(self, window: Window) -> list[dt.datetime]:
        found = [set(window.narrow_hours(counts).values_list("hour", flat=True).distinct()) for counts in self.hints]
        return sorted(set.intersection(*found))


def _join(whole: Window, runs: Iterable[Window]) -> Iterator[Window]:
    """Return what of these is in the whole, with those that touch as one."""
    last: Window | None = None
    for run in runs:
        start, end = max(run.start, whole.start), min(run.end, whole.end)
        if last is not None and start <= last.end:
            last = Window(last.start, max(end, last.end))
        elif start < end:
            if last is not None:
                yield last
            last = Window(start, end)
    if last is not None:
        yield last


def _round_down(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _round_up(moment: dt.datetime) -> dt.datetime:
    down = _round_down(moment)
    return down if down == moment else shift(down, HOUR)
