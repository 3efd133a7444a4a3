"""What applications did for me, newest first, and why each call was allowed or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from audit.models import AuditEvent
from connections.models import Integration
from kontext.portal.calls import CallLine, get_events, read_lines
from kontext.portal.forms import ActivityFilterForm, PageForm
from kontext.portal.words import RENEWALS, EventLine
from orgs.access import get_membership, portal_login_required
from orgs.http import make_actor
from orgs.models import Delegation
from orgs.payloads import can_be_shown, describe_payload, has_payload
from orgs.services.show_payload import show_payload
from policy.requests import find_visible, is_own, read_proposals

PAGE_SIZE = 25


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of events. The addresses of its neighbours are empty at the ends."""

    events: list[Any]
    newer: str = ""
    older: str = ""

    @property
    def lines(self) -> list[CallLine]:
        return read_lines(self.events)


@portal_login_required
@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """List the calls that applications made for this person."""
    membership = get_membership(request)
    form = ActivityFilterForm(request.GET, membership=membership)
    context: dict[str, Any] = {"form": form, "page": Page([]), "organization": membership.organization}
    if not form.is_valid():
        return render(request, "portal/activity.html", context, status=400)
    calls = form.narrow(get_events(membership), now=timezone.now())
    context |= {"page": _read_page(request, calls, form.cleaned_data["before"]), "is_narrowed": form.is_narrowed}
    return render(request, "portal/activity.html", context)


@portal_login_required
@require_safe
def own_activity(request: HttpRequest) -> HttpResponse:
    """List what else is on record about this person: sign-ins, consents, connections, rules."""
    membership = get_membership(request)
    form = PageForm(request.GET)
    if not form.is_valid():
        raise BadRequest("no event begins the page")
    events = get_events(membership).other_than_calls().exclude(type__in=RENEWALS)
    page = _read_page(request, events, form.cleaned_data["before"])
    known = Integration.objects.for_organization(membership.organization_id).values_list("pk", "name")
    names: dict[UUID | None, str] = dict(known)
    lines = [EventLine(event, names.get(event.integration_id, "")) for event in page.events]
    context = {"page": page, "lines": lines, "organization": membership.organization}
    return render(request, "portal/own_activity.html", context)


@portal_login_required
@require_safe
def call(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Show one call: who, what, with whose account, how it ended, and what each layer said."""
    return _render_call(request, _get_call(request, event_id))


@portal_login_required
@require_POST
def call_content(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Show it with what was kept of its content, which is recorded, since it was opened for that."""
    line = _get_call(request, event_id)
    actor = make_actor(user=get_membership(request).user)
    content = []
    for event in _read_kept(request, line):
        if can_be_shown(event):
            content.append((event, show_payload(event=event, actor=actor)))
    if not content:
        raise Http404("nothing of this call's content can be shown")
    return _render_call(request, line, content=content)


def _get_call(request: HttpRequest, event_id: UUID) -> CallLine:
    found = read_lines(get_events(get_membership(request)).calls().with_results().filter(pk=event_id))
    if not found:
        raise Http404("no such call of this person")
    return found[0]


def _read_kept(request: HttpRequest, line: CallLine) -> list[AuditEvent]:
    """Return the events of a call at which something of its content was kept."""
    events = get_events(get_membership(request)).of_call(line.event.call)
    return [event for event in events if has_payload(event)]


def _render_call(request: HttpRequest, line: CallLine, **more: Any) -> HttpResponse:
    membership, event = get_membership(request), line.event
    mine = Delegation.objects.for_organization(membership.organization).filter(user=membership.user)
    kept = _read_kept(request, line)
    context = {
        "line": line,
        "is_mine": mine.filter(application=event.application_id).exists(),
        "proposals": [one for one in read_proposals(event.decision) if not is_own(one, membership.user)],
        "requests": list(find_visible(membership).filter(asker=membership.user, call=str(event.call))),
        "approvals": _read_approvals(event),
        "kept": list(dict.fromkeys(map(describe_payload, kept))),
        "can_show": any(map(can_be_shown, kept)),
        **more,
    }
    return render(request, "portal/call.html", context)


@portal_login_required
@require_safe
def call_by_its_own_id(request: HttpRequest, call_id: UUID) -> HttpResponse:
    """Lead from a refused application's link to the page of its call."""
    event = get_events(get_membership(request)).calls().filter(call=call_id).first()
    if event is None:
        raise Http404("no such call of this person")
    return HttpResponseRedirect(reverse("portal:call", args=(event.pk,)))


def _read_approvals(event: AuditEvent) -> list[str]:
    """Return the approvals by which a call passed, or that it waited for."""
    approvals = event.details.get("approvals")
    return [str(one) for one in approvals] if isinstance(approvals, list) else []


def _read_page(request: HttpRequest, events: Any, before: UUID | None) -> Page:
    """Read the page that begins after an event: found by its identifier, however long the log is."""
    if before is not None:
        events = events.filter(pk__lt=before)
    found = list(events.order_by("-pk")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    return Page(
        shown,
        newer=_make_address(request) if before is not None else "",
        older=_make_address(request, before=shown[-1].pk) if len(found) > PAGE_SIZE else "",
    )


def _make_address(request: HttpRequest, **changes: Any) -> str:
    kept = {name: value for name, value in request.GET.items() if value and name != "before"}
    query = urlencode(kept | changes)
    return f"{request.path}?{query}" if query else request.path
