"""The explorer of the audit trail: a list, a histogram and a timeline of what one address asks for."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from audit.models import AuditEvent
from audit.querysets import AuditEventQuerySet
from orgs.admin_site import get_access, narrow
from orgs.administration.activity import EVENT_READERS
from orgs.explorer.filters import PERIODS, FilterForm, Window
from orgs.explorer.reading import (
    MOST_COUNTED,
    EventPage,
    TooLongError,
    count_events,
    find_decisions,
    read_page,
    within_time,
)
from orgs.explorer.related import find_call, find_related
from orgs.explorer.timeline import MOST_LINES, Timeline, make_timeline
from orgs.models import Organization, SavedSearch
from orgs.ui.histogram import Histogram, make_histogram

_MOST_ORGANIZATIONS = 200
_MOST_SAVED = 30


class ExplorerForm(FilterForm):
    """The filters, as the admin's other forms look."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if isinstance(field, forms.ChoiceField):
                field.widget = UnfoldAdminSelectWidget(choices=list(cast("Any", field.choices)))
            elif name in ("start", "end"):
                moment = {"type": "datetime-local", "step": "1"}
                field.widget = UnfoldAdminTextInputWidget(attrs=moment)
            else:
                field.widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"})


def may_explore(request: HttpRequest) -> bool:
    access = get_access(request)
    return access.is_superuser or bool(access.organizations(EVENT_READERS))


def read_form(request: HttpRequest) -> ExplorerForm:
    """Return the filters of an address, offering the organizations whose trail the person may read."""
    is_superuser = get_access(request).is_superuser
    return ExplorerForm(request.GET, organizations=list_readable(request), reads_installation=is_superuser)


def list_readable(request: HttpRequest) -> dict[str, str]:
    """Return the names of the organizations whose trail the person may read, by identifier."""
    readable = narrow(Organization.objects.all(), get_access(request), roles=EVENT_READERS).order_by("name")
    return {str(key): name for key, name in readable.values_list("pk", "name")[:_MOST_ORGANIZATIONS]}


def read_events(request: HttpRequest) -> AuditEventQuerySet:
    """Return the events that the person may read."""
    events: Any = AuditEvent.objects.order_by()
    visible: Any = narrow(events, get_access(request), roles=EVENT_READERS, lookup="organization_id")
    found: AuditEventQuerySet = visible
    return found


def show_list(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show a page of events and, where scripts are off, their histogram with it."""
    form, context = _begin(admin, request, "Audit events")
    if not form.is_valid():
        return TemplateResponse(request, "admin/kontext/explorer.html", context, status=400)
    context |= _describe(form) | _read_saved(request, form)
    try:
        with within_time():
            context |= _read_list(request, form)
            if "histogram" in request.GET:
                context["histogram"] = _read_histogram(request, form)
    except TooLongError:
        context["took_too_long"] = True
    return TemplateResponse(request, "admin/kontext/explorer.html", context)


def show_histogram(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the histogram alone: the page asks for it once its list stands."""
    form, context = _begin(admin, request, "Histogram")
    if not form.is_valid():
        return render(request, "admin/kontext/_histogram.html", context, status=400)
    try:
        with within_time():
            context["histogram"] = _read_histogram(request, form)
    except TooLongError:
        context["took_too_long"] = True
    return render(request, "admin/kontext/_histogram.html", context)


def show_timeline(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show what is asked for as a story, the oldest first."""
    form, context = _begin(admin, request, "Timeline")
    if not form.is_valid():
        return TemplateResponse(request, "admin/kontext/timeline.html", context, status=400)
    context |= _describe(form) | _read_saved(request, form) | {"most": MOST_LINES}
    try:
        with within_time():
            context["timeline"] = _read_timeline(request, form)
    except TooLongError:
        context["took_too_long"] = True
    return TemplateResponse(request, "admin/kontext/timeline.html", context)


def get_address(search: SavedSearch) -> str:
    """Return the explorer's address with what was saved, of its organization."""
    organization = f"organization={search.organization_id}"
    query = f"{organization}&{search.query}" if search.query else organization
    return f"{reverse('admin:audit_auditevent_changelist')}?{query}"


def describe_neighbours(request: HttpRequest, event: AuditEvent) -> dict[str, Any]:
    """Return what an event's page shows beside it: its call, and what it has something in common with."""
    events = read_events(request)
    found: dict[str, Any] = {"call_events": find_call(events, event)}
    try:
        with within_time():
            found["related"] = find_related(events, event)
    except TooLongError:
        found["related"] = []
    return found


def _begin(admin: Any, request: HttpRequest, title: str) -> tuple[ExplorerForm, dict[str, Any]]:
    if not may_explore(request):
        raise PermissionDenied
    form = read_form(request)
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "form": form,
        "explorer_url": reverse("admin:audit_auditevent_changelist"),
        "timeline_url": reverse("admin:audit_auditevent_timeline"),
        "most_counted": MOST_COUNTED,
        "spans_organizations": get_access(request).spans_organizations,
    }
    return form, context


def _read_saved(request: HttpRequest, form: ExplorerForm) -> dict[str, Any]:
    """Return the searches that the person may open, and the page that saves this one."""
    readable: Any = narrow(SavedSearch.objects.select_related("organization"), get_access(request), roles=EVENT_READERS)
    organization = form.cleaned_data["organization"]
    asked = {"query": form.make_query(organization=None), "organization": organization}
    return {
        "saved": [(search, get_address(search)) for search in readable.visible_to(request.user)[:_MOST_SAVED]],
        "save_url": f"{reverse('admin:orgs_savedsearch_add')}?{urlencode({k: v for k, v in asked.items() if v})}",
    }


def _describe(form: ExplorerForm) -> dict[str, Any]:
    # A beginning and an end stand in for a period, and the other way round.
    periods = [
        (name, form.make_query(period=key, start=None, end=None), key == form.chosen_period)
        for key, (name, _) in PERIODS.items()
    ]
    return {
        "query": form.make_query(),
        "chosen": form.list_chosen(),
        "periods": periods,
        "period_words": form.describe_period(),
    }


def _read_list(request: HttpRequest, form: ExplorerForm) -> dict[str, Any]:
    asked = form.cleaned_data
    events = form.narrow(read_events(request))
    if get_access(request).spans_organizations:
        name = Organization.objects.filter(pk=OuterRef("organization_id")).values("name")
        events = events.annotate(organization_name=Subquery(name))
    page = read_page(_get_window(request, form).narrow(events), before=asked["before"], after=asked["after"])
    decisions = find_decisions(page.events)
    lines = [(event, event.decision or (event.call and decisions.get(event.call))) for event in page.events]
    return {"lines": lines, **_make_pager(form, page, is_first=not (asked["before"] or asked["after"]))}


def _make_pager(form: ExplorerForm, page: EventPage, *, is_first: bool) -> dict[str, Any]:
    def address(**place: UUID) -> str:
        return f"?{form.make_query(**{name: str(key) for name, key in place.items()})}"

    return {
        "newest": "" if is_first else f"?{form.make_query()}",
        "newer": address(after=page.newer) if page.newer is not None and not is_first else "",
        "older": address(before=page.older) if page.older is not None else "",
    }


def _read_histogram(request: HttpRequest, form: ExplorerForm) -> Histogram:
    events = form.narrow(read_events(request))
    window = _get_window(request, form)
    counts = count_events(events, window)
    explorer = reverse("admin:audit_auditevent_changelist")

    def address(start: str, end: str) -> str:
        return f"{explorer}?{form.make_query(period=None, start=start, end=end)}"

    return make_histogram(
        counts.by_bucket,
        seconds=counts.width,
        start=window.start,
        end=window.end,
        make_address=address,
        counted_from=counts.counted_from,
    )


def _read_timeline(request: HttpRequest, form: ExplorerForm) -> Timeline:
    # Calls as a whole, whatever part of them the list would show.
    asked = form.cleaned_data
    if not asked["show"]:
        form.cleaned_data = {**asked, "show": "every"}
    events = form.narrow(read_events(request))
    found = _get_window(request, form).narrow(events).order_by("pk")[: 2 * MOST_LINES + 2]
    return make_timeline(found)


def _get_window(request: HttpRequest, form: ExplorerForm) -> Window:
    """Return the time that is asked about: all there is of one thing, or a stretch of the whole trail."""

    def find_ends() -> tuple[dt.datetime, dt.datetime] | None:
        events = form.narrow(read_events(request)) if form.names_one_thing else read_events(request)
        times = events.values_list("occurred_at", flat=True)
        first, last = times.order_by("pk").first(), times.order_by("-pk").first()
        return (first, last) if first is not None and last is not None else None

    return form.get_window(timezone.now(), find_ends)
