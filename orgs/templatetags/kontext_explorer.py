"""What the explorer's pages say of events: `{% load kontext_explorer %}`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template

from audit.ocsf import VOCABULARY
from audit.types import EventType
from orgs.explorer.filters import FilterForm
from orgs.explorer.timeline import say_duration

register = template.Library()


@register.filter
def event_words(event: Any) -> str:
    """Return what an event's type says. One of a later release is shown as it is called."""
    return VOCABULARY[EventType(event.type)].text if event.type in set(EventType) else str(event.type)


@register.filter
def latency(microseconds: int) -> str:
    return say_duration(dt.timedelta(microseconds=microseconds))


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"


@register.simple_tag
def with_filter(form: FilterForm, name: str, key: Any, words: str) -> str:
    """Return the query of the same page with one filter more: by identifier where there is one."""
    return form.make_query(**{name: str(key or words)})
