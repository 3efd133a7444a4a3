"""What one application used of one person's: how often, which capabilities, with which accounts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Q
from django.db.models.functions import TruncDate

from audit.models import Outcome
from kontext.portal.calls import get_events
from kontext.portal.delegations import RECENT
from orgs.models import Membership
from orgs.ui.charts import BarChart, make_bar_chart

_DAYS = 14
_MOST_LINES = 100
_REFUSED = (Outcome.DENIED, Outcome.ERROR_AUTH)


@dataclass(frozen=True, slots=True)
class UsedCapability:
    """A capability that was called lately with one account (or none), and how that went."""

    integration: str
    name: str
    account: str
    calls: int
    refused: int
    failed: int
    last: dt.datetime

    @property
    def words(self) -> str:
        return self.name if self.name.startswith(f"{self.integration}:") else f"{self.integration}:{self.name}"


@dataclass(frozen=True, slots=True)
class Usage:
    """The chart is of the last days, the lines of the last thirty, the latest used first."""

    chart: BarChart
    lines: list[UsedCapability]
    is_cut: bool


def read_usage(membership: Membership, application_id: UUID, now: dt.datetime) -> Usage:
    """Count the calls that came to an end, done, refused or failed."""
    calls = get_events(membership).filter(application_id=application_id).results_of_calls().order_by()
    lines = _read_lines(calls.since(now - RECENT))
    return Usage(_make_chart(calls, now), lines[:_MOST_LINES], is_cut=len(lines) > _MOST_LINES)


def _read_lines(calls: Any) -> list[UsedCapability]:
    failed = ~Q(outcome__in=(Outcome.OK, Outcome.CANCELLED, *_REFUSED))
    counted = calls.values("integration", "capability", "account").annotate(
        calls=Count("pk"),
        refused=Count("pk", filter=Q(outcome__in=_REFUSED)),
        failed=Count("pk", filter=failed),
        last=Max("occurred_at"),
    )
    return [
        UsedCapability(
            integration=row["integration"],
            name=row["capability"],
            account=row["account"],
            calls=row["calls"],
            refused=row["refused"],
            failed=row["failed"],
            last=row["last"],
        )
        for row in counted.order_by("-last")[: _MOST_LINES + 1]
    ]


def _make_chart(calls: Any, now: dt.datetime) -> BarChart:
    days = [now.date() - dt.timedelta(days=ago) for ago in range(_DAYS - 1, -1, -1)]
    counts = {name: [0] * _DAYS for name in ("Done", "Refused", "Failed")}
    since = dt.datetime.combine(days[0], dt.time(), tzinfo=dt.UTC)
    by_day = (
        calls.since(since).values("outcome", day=TruncDate("occurred_at", tzinfo=dt.UTC)).annotate(number=Count("pk"))
    )
    for row in by_day:
        if row["day"] in days:
            outcome = row["outcome"]
            name = "Done" if outcome == Outcome.OK else "Refused" if outcome in _REFUSED else "Failed"
            counts[name][days.index(row["day"])] += row["number"]
    return make_bar_chart(f"Calls in the last {_DAYS} days", days, counts, tones=("allow", "deny", "ask"))
