"""What applications did for me, newest first, and why each call was allowed or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from kontext.portal.calls import CallLine, get_events, read_lines
from kontext.portal.forms import ActivityFilterForm
from orgs.access import get_membership, portal_login_required
from orgs.models import Delegation

PAGE_SIZE = 25


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list. The addresses of its neighbours are empty at the ends."""

    lines: list[CallLine]
    newer: str = ""
    older: str = ""

    @property
    def shown(self) -> str:
        return f"{len(self.lines)} {'call' if len(self.lines) == 1 else 'calls'}"


@portal_login_required
@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """List the calls; pages are found by the identifier they begin after, however long the log is."""
    form = ActivityFilterForm(request.GET, membership=get_membership(request))
    context: dict[str, Any] = {"form": form, "page": Page([]), "organization": get_membership(request).organization}
    if not form.is_valid():
        return render(request, "portal/activity.html", context, status=400)
    context |= {"page": _read_page(request, form), "is_narrowed": form.is_narrowed}
    return render(request, "portal/activity.html", context)


@portal_login_required
@require_safe
def call(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Show one call: who, what, with whose account, how it ended, and what each layer said."""
    membership = get_membership(request)
    found = read_lines(get_events(membership).calls().with_results().filter(pk=event_id))
    if not found:
        raise Http404("no such call of this person")
    mine = Delegation.objects.for_organization(membership.organization).filter(user=membership.user)
    is_mine = mine.filter(application=found[0].event.application_id).exists()
    return render(request, "portal/call.html", {"line": found[0], "is_mine": is_mine})


def _read_page(request: HttpRequest, form: ActivityFilterForm) -> Page:
    calls: Any = form.narrow(get_events(get_membership(request)), now=timezone.now())
    before = form.cleaned_data["before"]
    if before is not None:
        calls = calls.filter(pk__lt=before)
    lines = read_lines(calls.order_by("-pk")[: PAGE_SIZE + 1])
    shown = lines[:PAGE_SIZE]
    return Page(
        shown,
        newer=_make_address(request) if before is not None else "",
        older=_make_address(request, before=shown[-1].event.pk) if len(lines) > PAGE_SIZE else "",
    )


def _make_address(request: HttpRequest, **changes: Any) -> str:
    kept = {name: value for name, value in request.GET.items() if value and name != "before"}
    return f"{request.path}?{urlencode(kept | changes)}"
