"""What belongs to an event: the other events of its call, and those that it has something in common with."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from audit.models import AuditEvent
from audit.querysets import AuditEventQuerySet
from orgs.explorer.asked import Window

AROUND = dt.timedelta(minutes=15)
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Related:
    """Events with something in common, the newest first, and the queries of the pages that show all of them."""

    title: str
    words: str
    query: str
    events: list[AuditEvent]


def find_call(events: AuditEventQuerySet, event: AuditEvent) -> list[AuditEvent]:
    """Return the events of an event's call in their order, itself among them; none where it belongs to no call."""
    if not event.phase or event.call is None:
        return []
    return list(events.filter(organization_id=event.organization_id).of_call(event.call))


def find_related(events: AuditEventQuerySet, event: AuditEvent) -> list[Related]:
    """Return what is worth a look beside an event, among those that the reader may see."""
    here = events.filter(organization_id=event.organization_id)
    organization = {"organization": str(event.organization_id)} if event.organization_id else {}
    found = []
    for title, words, column, name in (
        ("Same session", "What the application did in this session", "session", "session"),
        ("Same trace", "What was done for the same cause, across services", "trace_id", "trace"),
        ("Same request", "What came of the same HTTP request", "request_id", "request"),
    ):
        value = getattr(event, column)
        if value:
            same = here.filter(**{column: value})
            found.append(_make(title, words, same, event, {**organization, name: value}))
    if event.application_id is not None or event.user_id is not None:
        window = _make_window(event, AROUND)
        own = {"user_id": event.user_id, "application_id": event.application_id}
        near = window.narrow(here).filter(**own)
        who = {"user": event.user_id, "application": event.application_id}
        query = {
            **organization,
            **{name: str(key) for name, key in who.items() if key is not None},
            "start": f"{window.start:%Y-%m-%dT%H:%M:%S}",
            "end": f"{window.end:%Y-%m-%dT%H:%M:%S}",
        }
        names = " for ".join(name for name in (event.application_name, event.user_name) if name)
        found.append(_make("Around that time", f"{names}, a quarter of an hour before and after", near, event, query))
    return [one for one in found if one.events]


def _make(title: str, words: str, events: Any, event: AuditEvent, query: dict[str, str]) -> Related:
    # One line a call; those of its own are on the page already.
    others = events.exclude(pk=event.pk).exclude(phase="requested")
    if event.phase:
        others = others.exclude(call=event.call)
    return Related(title, words, urlencode(query), list(others.order_by("-pk")[:_SHOWN]))


def _make_window(event: AuditEvent, around: dt.timedelta) -> Window:
    return Window(event.occurred_at - around, event.occurred_at + around)
