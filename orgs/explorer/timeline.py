"""A sequence of events as one reads a story: what came when, how long each call took, and where nothing happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID

from audit.models import AuditEvent

MOST_LINES = 300
# A pause that is worth a line of its own: as long as this, or ten times the usual one.
_LONG_PAUSE = dt.timedelta(minutes=5)
_SHORTEST_PAUSE = dt.timedelta(seconds=2)
_TIMES_USUAL = 10


@dataclass(frozen=True, slots=True)
class Step:
    """One call (its first event, how it ended, how long it took) or one other event.

    `offset` is since the first step. `share` is the length of its bar, in per cent of the longest. `gap` is how long
    nothing happened before it, if that is worth saying.
    """

    event: AuditEvent
    outcome: str
    account: str
    latency_us: int | None
    offset: str
    share: float
    gap: str
    decision: Any

    @property
    def latency(self) -> str:
        return "" if self.latency_us is None else say_duration(dt.timedelta(microseconds=self.latency_us))


@dataclass(frozen=True, slots=True)
class Timeline:
    steps: list[Step]
    calls: int
    denied: int
    failed: int
    lasted: str
    is_cut: bool


def make_timeline(events: Iterable[AuditEvent]) -> Timeline:
    """Tell a story from events in any order, both of each call's. Beyond MOST_LINES it ends."""
    steps = _join_calls(sorted(events, key=lambda event: (event.occurred_at, event.pk)))
    shown = steps[:MOST_LINES]
    pauses = [later[0].occurred_at - _get_end(earlier) for earlier, later in pairwise(shown)]
    longest = max((_get_latency(step) or 0 for step in shown), default=0)
    made = []
    for index, (first, last) in enumerate(shown):
        pause = pauses[index - 1] if index else dt.timedelta()
        latency = _get_latency((first, last))
        made.append(
            Step(
                event=first,
                outcome=last.outcome,
                account=last.account or first.account,
                latency_us=latency,
                offset=f"+{say_duration(first.occurred_at - shown[0][0].occurred_at)}" if index else "Begin",
                share=round(100 * latency / longest, 1) if latency and longest else 0,
                gap=say_duration(pause) if _is_long(pause, pauses) else "",
                decision=first.decision or last.decision,
            )
        )
    return Timeline(
        steps=made,
        calls=sum(1 for step in made if step.event.phase),
        denied=sum(1 for step in made if step.outcome in ("denied", "error_auth")),
        failed=sum(1 for step in made if step.outcome in ("error_remote", "error_proxy")),
        lasted=say_duration(_get_end(shown[-1]) - shown[0][0].occurred_at) if shown else "",
        is_cut=len(steps) > MOST_LINES,
    )


def say_duration(length: dt.timedelta) -> str:
    """Return a length of time with two places that matter: 12 ms, 3.4 s, 5 min 2 s, 3 h 20 min, 2 days."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, smaller, size, part in (("min", "s", 60, 1), ("h", "min", 3_600, 60)):
        if whole < size * (60 if unit == "min" else 48):
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole // 86_400} days"


def _join_calls(events: list[AuditEvent]) -> list[tuple[AuditEvent, AuditEvent]]:
    """Return for each call the event that began it and the one that ended it; for others, itself twice."""
    places: dict[UUID, int] = {}
    joined: list[tuple[AuditEvent, AuditEvent]] = []
    for event in events:
        if event.phase and event.call in places:
            place = places[event.call]
            joined[place] = (joined[place][0], event)
            continue
        if event.phase and event.call is not None:
            places[event.call] = len(joined)
        joined.append((event, event))
    return joined


def _get_latency(step: tuple[AuditEvent, AuditEvent]) -> int | None:
    return step[1].latency_us


def _get_end(step: tuple[AuditEvent, AuditEvent]) -> dt.datetime:
    return max(step[0].occurred_at, step[1].occurred_at)


def _is_long(pause: dt.timedelta, pauses: list[dt.timedelta]) -> bool:
    usual = sorted(pauses)[len(pauses) // 2] if pauses else dt.timedelta()
    return pause >= _LONG_PAUSE or (pause >= _SHORTEST_PAUSE and pause >= usual * _TIMES_USUAL)
