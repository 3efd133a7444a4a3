"""Reads of the audit trail that end in time, however long it is: pages found by their keys, searches that stop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from audit.keys import make_key
from audit.models import AuditEvent
from orgs.explorer.asked import HOUR, Asked, Window
from orgs.explorer.walk import Walk

PAGE_SIZE = 50
_MILLISECONDS = 4_000
_MOST_BUCKETS = 60
# And a second or two: a time that goes on until now ends a little later.
_QUARTER_OF_A_DAY = 6 * 3_600 + 2
_WIDTHS = (
    *(1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200),
    *(86_400, 259_200, 604_800, 2_592_000, 7_776_000, 31_536_000),
)


class TooLongError(Exception):
    """The question would take longer to answer than anybody should wait."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, the newest first. `newer` and `older` are where the neighbouring pages begin, None at the ends.

    `searched_to`: how far was searched, where that took so long that there may be more on this page.
    """

    events: list[AuditEvent]
    newer: UUID | None = None
    older: UUID | None = None
    searched_to: dt.datetime | None = None


@contextmanager
def within_time(milliseconds: int = _MILLISECONDS) -> Iterator[None]:
    """Have PostgreSQL end what takes too long. Raises TooLongError."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # Compiling a query takes longer than any of these should: 200 ms for a day's charts.
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('jit', 'off', true)",
                [f"{milliseconds}ms"],
            )
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooLongError from None
        raise


def read_page(asked: Asked, window: Window, *, before: UUID | None = None, after: UUID | None = None) -> EventPage:
    """Read the page that ends before or begins after an event: found by its key, however far back it is."""
    if after is not None:
        found, stopped = _search(asked, window, PAGE_SIZE + 1, after=after, is_forward=True)
        shown = found[:PAGE_SIZE][::-1]
        older = shown[-1].pk if shown else after
        return EventPage(shown, newer=_find_next(found, stopped, shown[:1]), older=older, searched_to=stopped)
    found, stopped = _search(asked, window, PAGE_SIZE + 1, before=before)
    shown = found[:PAGE_SIZE]
    newer = shown[0].pk if before is not None and shown else before
    return EventPage(shown, newer=newer, older=_find_next(found, stopped, shown[-1:]), searched_to=stopped)


def read_newest(asked: Asked, window: Window, most: int) -> list[AuditEvent]:
    """Read the newest events of a time, at most so many, as far as they are found soon."""
    return _search(asked, window, most)[0]


def read_oldest(asked: Asked, window: Window, most: int) -> EventPage:
    """Read the oldest events of a time, in their order, at most so many."""
    found, stopped = _search(asked, window, most, is_forward=True)
    return EventPage(found, searched_to=stopped)


def find_decisions(events: list[AuditEvent]) -> dict[UUID, Any]:
    """Return the decisions of calls by call. They are with the event that began it, and only there."""
    calls = [event.call for event in events if event.phase == "completed"]
    began = AuditEvent.objects.filter(call__in=calls, phase="requested", decision__isnull=False).order_by()
    return {call: decision for call, decision in began.values_list("call", "decision") if call is not None}


def choose_width(window: Window) -> int:
    """Return into stretches of how many seconds a time is divided, so that there are not more than sixty.

    Whole hours are counted already: what is longer than a quarter of a day is divided into nothing smaller.
    """
    seconds = (window.end - window.start).total_seconds()
    least = HOUR.total_seconds() if seconds > _QUARTER_OF_A_DAY else 0
    return next((width for width in _WIDTHS if width >= least and seconds / width <= _MOST_BUCKETS), _WIDTHS[-1])


def _search(
    asked: Asked,
    window: Window,
    most: int,
    *,
    before: UUID | None = None,
    after: UUID | None = None,
    is_forward: bool = False,
) -> tuple[list[AuditEvent], dt.datetime | None]:
    """Return the first events from one end on, at most so many, and where the search was ended for lack of time."""
    events = window.narrow(asked.events).order_by("pk" if is_forward else "-pk")
    if before is not None:
        events = events.filter(pk__lt=before)
    if after is not None:
        events = events.filter(pk__gt=after)
    if asked.is_indexed:
        return list(events[:most]), None
    found: list[AuditEvent] = []
    walk = Walk(asked.find_runs(window, after=after, before=before), is_forward=is_forward)
    for stretch in walk:
        found += events.keyed(stretch.start, stretch.end)[: most - len(found)]
        if len(found) >= most:
            return found, None
    return found, walk.stopped_at


def _find_next(found: list[AuditEvent], stopped: dt.datetime | None, last: list[AuditEvent]) -> UUID | None:
    """Return where the next page begins: after this one's last event, or where the search for more was ended."""
    if len(found) > PAGE_SIZE:
        return last[0].pk
    return make_key(stopped) if stopped is not None else None
