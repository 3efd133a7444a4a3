"""The shared parts of every page: `{% load kontext_ui %}`. /styleguide/ shows each of them."""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from django import template
from django.conf import settings
from django.contrib.staticfiles import finders
from django.forms import BaseForm, BoundField
from django.template.context import RequestContext
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orgs.access import current_membership
from orgs.models import Membership
from orgs.ui.charts import BarChart
from orgs.ui.layer_bar import LayerBar, read_layer_bar
from orgs.ui.status import get_status

register = template.Library()

NAVIGATION = (
    ("Home", "/"),
    ("Connections", "/connections/"),
    ("Applications", "/applications/"),
    ("My rules", "/rules/"),
    ("Approvals", "/approvals/"),
    ("Activity", "/activity/"),
)
THEMES = ("light", "dark")
THEME_COOKIE = "kontext_theme"


@register.simple_tag
def layer_bar(explanation: object, person: str = "You", opened: bool = False) -> SafeString:
    """Show a decision. `explanation` is what `Decision.explain()` gives; for someone else's, name the person."""
    bar = read_layer_bar(explanation, person=person)
    return _render_bar(bar, opened) if bar is not None else SafeString("")


@lru_cache(maxsize=512)
def _render_bar(bar: LayerBar, opened: bool) -> SafeString:
    """Most calls of a list are decided alike: a quarter of its time went into saying the same fifty times."""
    return render_to_string("_layer_bar.html", {"bar": bar, "opened": opened})


@register.simple_tag
def status_chip(status: Any, words: str = "") -> SafeString:
    """Show a status by its value, with our words for it or with other ones."""
    shown = get_status(str(status or ""), words)
    return format_html(
        '<span class="chip chip-{}"><span class="chip-mark" aria-hidden="true">{}</span>{}</span>',
        shown.tone,
        shown.mark,
        shown.words,
    )


@register.simple_tag
def relative_time(moment: dt.datetime | None, never: str = "never") -> SafeString | str:
    """Show how long ago or how soon, with the exact time on hover and in the markup."""
    if moment is None:
        return never
    utc = moment.astimezone(dt.UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        utc.isoformat(timespec="seconds"),
        f"{utc.day} {utc:%b %Y, %H:%M:%S} UTC",
        describe_distance(moment, timezone.now()),
    )


def describe_distance(moment: dt.datetime, now: dt.datetime) -> str:
    seconds = (now - moment).total_seconds()
    words = _describe_length(abs(seconds))
    if words == "":
        return "just now"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def _describe_length(seconds: float) -> str:
    for name, length in (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds" if seconds >= 10 else ""


@register.simple_tag
def copy_id(value: Any, label: str = "ID") -> SafeString:
    """Show an identifier in monospace with a button that copies it (hidden without JavaScript)."""
    return format_html(
        '<span class="copy-id"><code>{0}</code><button type="button" class="copy" data-copy="{0}" '
        'aria-label="Copy {1}" hidden>Copy</button></span>',
        value,
        label,
    )


@register.inclusion_tag("_bar_chart.html")
def bar_chart(chart: BarChart) -> dict[str, Any]:
    """Show an orgs.ui.charts.BarChart as SVG, with its legend and its numbers as a table."""
    return {"chart": chart}


@register.inclusion_tag("_field.html")
def form_field(field: BoundField) -> dict[str, Any]:
    """Show one field: label above, help below, errors beside it."""
    has_choices = hasattr(field.field.widget, "choices")
    is_choice = getattr(field.field.widget, "input_type", "") == "checkbox" and not has_choices
    # A list says by its empty choice what leaving it alone means.
    return {"field": field, "is_choice": is_choice, "is_optional": not field.field.required and not has_choices}


@register.inclusion_tag("_form_errors.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """Sum up what is wrong with a form at its top, with a link to each field; the focus goes there."""
    return {"form": form}


@register.inclusion_tag("_pager.html")
def pager(newer: str = "", older: str = "", shown: str = "") -> dict[str, Any]:
    """Link to the neighbouring pages of a list. The addresses are empty at its ends."""
    return {"newer": newer, "older": older, "shown": shown}


@register.inclusion_tag("_topbar.html", takes_context=True)
def topbar(context: RequestContext) -> dict[str, Any]:
    request = context.get("request")
    user = getattr(request, "user", None)
    membership = current_membership(request) if request is not None and user is not None else None
    return {
        "request": request,
        "user": user,
        "membership": membership,
        "others": _find_others(membership),
        "navigation": [(words, path, _is_current(request, path)) for words, path in NAVIGATION],
        "theme": get_theme(context),
        "csrf_token": context.get("csrf_token"),
    }


@register.simple_tag(takes_context=True, name="theme")
def get_theme(context: RequestContext) -> str:
    """Return the theme this browser chose, or an empty string to follow the system."""
    request = context.get("request")
    chosen = request.COOKIES.get(THEME_COOKIE, "") if request is not None else ""
    return chosen if chosen in THEMES else ""


@register.simple_tag
def asset(path: str) -> str:
    """Return a static file's address, which changes with its content: browsers may keep it for as long as they like."""
    digest = _get_digest(path, _get_change_time(path) if settings.DEBUG else 0.0)
    return f"{static(path)}?v={digest}" if digest else static(path)


@lru_cache
def _get_digest(path: str, changed: float) -> str:
    found = finders.find(path)
    return hashlib.sha256(Path(str(found)).read_bytes()).hexdigest()[:12] if found else ""


def _get_change_time(path: str) -> float:
    found = finders.find(path)
    return Path(str(found)).stat().st_mtime if found else 0.0


def _is_current(request: Any, path: str) -> bool:
    if request is None:
        return False
    here: str = request.path
    return here == path if path == "/" else here.startswith(path)


def _find_others(membership: Membership | None) -> list[Membership]:
    if membership is None:
        return []
    mine = Membership.objects.active().filter(user=membership.user).exclude(pk=membership.pk)
    return list(mine.select_related("organization").order_by("organization__name"))
