"""The explorer of the audit trail: a list, a histogram and a timeline of what one address asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Min, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from audit.models import AuditEvent
from orgs.admin_site import get_access, narrow
from orgs.administration.activity import EVENT_READERS
from orgs.explorer.asked import Asked, Trail, Window
from orgs.explorer.filters import PERIODS, Ends, FilterForm
from orgs.explorer.reading import (
    EventPage,
    TooLongError,
    choose_width,
    find_decisions,
    read_oldest,
    read_page,
    within_time,
)
from orgs.explorer.related import find_call, find_related
from orgs.explorer.tally import Reader, tally
from orgs.explorer.timeline import MOST_LINES, make_timeline
from orgs.models import Organization, SavedSearch
from orgs.ui.histogram import make_histogram

# What a page adds to its context once its form is understood.
Read = Callable[[], dict[str, Any]]

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


def read_trail(request: HttpRequest) -> Trail:
    """Return what the person may read."""
    access = get_access(request)
    return Trail(None if access.is_superuser else access.organizations(EVENT_READERS))


def answer(request: HttpRequest, template: str, context: dict[str, Any], form: forms.Form, read: Read) -> HttpResponse:
    """Show what `read` adds to the context, or that the form can't be understood, or that reading takes too long."""
    if not form.is_valid():
        return TemplateResponse(request, template, context, status=400)
    try:
        with within_time():
            context |= read()
    except TooLongError:
        context["took_too_long"] = True
    return TemplateResponse(request, template, context)


def show_list(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show a page of events and, where scripts are off, their histogram with it."""
    form = _open(request)

    def read() -> dict[str, Any]:
        found = _read_list(request, form)
        return found | (_read_histogram(request, form) if "histogram" in request.GET else {})

    context = _make_frame(admin, request, form, "Audit events")
    return answer(request, "admin/kontext/explorer.html", context, form, read)


def show_histogram(request: HttpRequest) -> HttpResponse:
    """Show the histogram alone: the page asks for it once its list stands."""
    form = _open(request)
    return answer(request, "admin/kontext/_histogram.html", {}, form, partial(_read_histogram, request, form))


def show_timeline(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show what is asked for as a story, the oldest first."""
    form = _open(request)
    context = _make_frame(admin, request, form, "Timeline") | {"most": MOST_LINES}
    return answer(request, "admin/kontext/timeline.html", context, form, partial(_read_timeline, request, form))


def get_address(search: SavedSearch) -> str:
    """Return the explorer's address with what was saved, of its organization."""
    organization = f"organization={search.organization_id}"
    query = f"{organization}&{search.query}" if search.query else organization
    return f"{reverse('admin:audit_auditevent_changelist')}?{query}"


def describe_neighbours(request: HttpRequest, event: AuditEvent) -> dict[str, Any]:
    """Return what an event's page shows beside it: its call, and what it has something in common with."""
    events = read_trail(request).events
    found: dict[str, Any] = {"call_events": find_call(events, event)}
    try:
        with within_time():
            found["related"] = find_related(events, event)
    except TooLongError:
        found["related"] = []
    return found


def _open(request: HttpRequest) -> ExplorerForm:
    if not may_explore(request):
        raise PermissionDenied
    return read_form(request)


def _make_frame(admin: Any, request: HttpRequest, form: ExplorerForm, title: str) -> dict[str, Any]:
    """Return what is around a page's content, whatever that is."""
    frame = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "form": form,
        "explorer_url": reverse("admin:audit_auditevent_changelist"),
        "timeline_url": reverse("admin:audit_auditevent_timeline"),
        "spans_organizations": get_access(request).spans_organizations,
    }
    return frame | _describe(form) | _read_saved(request, form) if form.is_valid() else frame


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
    asked, place = form.ask(read_trail(request)), form.cleaned_data
    window = _get_window(asked, form)
    if get_access(request).spans_organizations:
        name = Organization.objects.filter(pk=OuterRef("organization_id")).values("name")
        asked = replace(asked, events=asked.events.annotate(organization_name=Subquery(name)))
    page = read_page(asked, window, before=place["before"], after=place["after"])
    decisions = find_decisions(page.events)
    lines = [(event, event.decision or (event.call and decisions.get(event.call))) for event in page.events]
    pager = _make_pager(form, page, is_first=not (place["before"] or place["after"]))
    return {"lines": lines, "searched_to": page.searched_to, **pager}


def _make_pager(form: ExplorerForm, page: EventPage, *, is_first: bool) -> dict[str, Any]:
    def address(**place: UUID) -> str:
        return f"?{form.make_query(**{name: str(key) for name, key in place.items()})}"

    return {
        "newest": "" if is_first else f"?{form.make_query()}",
        "newer": address(after=page.newer) if page.newer is not None and not is_first else "",
        "older": address(before=page.older) if page.older is not None else "",
    }


def _read_histogram(request: HttpRequest, form: ExplorerForm) -> dict[str, Any]:
    asked = form.ask(read_trail(request))
    window = _get_window(asked, form)
    counted = tally(asked, window, choose_width(window), Reader(("outcome",)))
    explorer = reverse("admin:audit_auditevent_changelist")

    def address(start: str, end: str) -> str:
        return f"{explorer}?{form.make_query(period=None, start=start, end=end)}"

    histogram = make_histogram(counted.numbers, counted.width, window.start, window.end, make_address=address)
    uncounted = histogram.find_place(counted.counted_from) if counted.counted_from is not None else 0
    return {"histogram": histogram, "counted": counted, "uncounted": uncounted}


def _read_timeline(request: HttpRequest, form: ExplorerForm) -> dict[str, Any]:
    # Calls as a whole, whatever part of them the list would show.
    if not form.cleaned_data["show"]:
        form.cleaned_data = {**form.cleaned_data, "show": "every"}
    asked = form.ask(read_trail(request))
    found = read_oldest(asked, _get_window(asked, form), 2 * MOST_LINES + 2)
    return {"timeline": make_timeline(found.events), "searched_to": found.searched_to}


def _get_window(asked: Asked, form: ExplorerForm) -> Window:
    """Return the time that is asked about: all there is of one thing, or a stretch of the whole trail."""

    def find_ends() -> Ends | None:
        if form.names_one_thing:
            # No order with a limit: the planner would walk the whole log for it rather than use that thing's index.
            ends = asked.events.aggregate(first=Min("occurred_at"), last=Max("occurred_at"))
            return (ends["first"], ends["last"]) if ends["first"] is not None else None
        times = asked.trail.events.values_list("occurred_at", flat=True)
        first, last = times.order_by("pk").first(), times.order_by("-pk").first()
        return (first, last) if first is not None and last is not None else None

    return form.get_window(timezone.now(), find_ends)
