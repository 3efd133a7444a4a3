"""Who may see a portal page: someone signed in, under an active membership of the current organization."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from orgs.http import get_request_id
from orgs.models import Membership
from orgs.sessions import get_current_membership

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
_KEPT = "_current_membership"


def current_membership(request: HttpRequest) -> Membership | None:
    """Return the active membership this session works under, read once a request, or None."""
    if not hasattr(request, _KEPT):
        setattr(request, _KEPT, get_current_membership(request))
    found: Membership | None = getattr(request, _KEPT)
    return found


def get_membership(request: HttpRequest) -> Membership:
    """Return the current membership in a view behind `portal_login_required`."""
    membership = current_membership(request)
    if membership is None:
        raise RuntimeError("this view lacks portal_login_required")
    return membership


def portal_login_required(view: View[P]) -> View[P]:
    """Send strangers to sign in. Who has no current membership chooses an organization, or is told why there is none.

    Pages behind it are never cached: they show one person's own rows.
    """

    @wraps(view)
    def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.user.is_authenticated and current_membership(request) is not None:
            return view(request, *args, **kwargs)
        if request.headers.get("HX-Request"):
            # A part of a page was asked for, and the sign-in page is none: the browser is told to load the whole anew.
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return explain_no_membership(request)

    return never_cache(checked)


def explain_no_membership(request: HttpRequest) -> HttpResponse:
    """Offer the organizations this person is in; 403 when there is none."""
    memberships: list[Any] = []
    if request.user.is_authenticated:
        mine = Membership.objects.active().filter(user=request.user)
        memberships = list(mine.select_related("organization").order_by("organization__name"))
    context = {"memberships": memberships, "request_id": get_request_id()}
    return render(request, "orgs/choose_organization.html", context, status=200 if memberships else 403)
