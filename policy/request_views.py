"""Requests for rules: what refused people ask for, for whoever could write such a rule; and what came of it."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit.models import AuditEvent
from orgs.access import get_membership, portal_login_required
from orgs.errors import say
from orgs.http import make_actor
from orgs.models import Membership
from policy.approval_forms import DeclineForm
from policy.describe import describe_rule
from policy.errors import SettledError
from policy.models import RuleRequest
from policy.request_forms import AcceptForm
from policy.requests import (
    find_answerable,
    find_open_requests,
    find_visible,
    make_rule,
    may_answer,
    name_answerer,
)
from policy.services.accept_request import accept_request
from policy.services.decline_request import decline_request, withdraw_request
from policy.services.request_rule import request_rule

_LATELY = dt.timedelta(days=30)
_MOST = 50


@portal_login_required
@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    membership = get_membership(request)
    to_answer = find_answerable(membership)
    mine = find_visible(membership).filter(asker=membership.user, created_at__gt=timezone.now() - _LATELY)
    context = {
        "waiting": list(find_open_requests(membership)[:_MOST]),
        "mine": list(mine[:_MOST]),
        "answered": list(to_answer.filter(settled_by=membership.user, settled_at__gt=timezone.now() - _LATELY)[:_MOST]),
        "organization": membership.organization,
    }
    return render(request, "policy/requests.html", context)


@portal_login_required
@require_POST
def ask(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Make a request of what the explanation of a refused call of one's own proposes."""
    membership = get_membership(request)
    events = AuditEvent.objects.for_organization(membership.organization_id).of_user(membership.user_id)
    event = events.calls().filter(pk=event_id).first()
    if event is None:
        raise Http404("no such call of this person")
    try:
        made = request_rule(
            membership=membership,
            call=event,
            number=_read_number(request),
            note=request.POST.get("note", ""),
            actor=make_actor(user=request.user),
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return HttpResponseRedirect(reverse("policy:requests"))
    messages.success(request, "Asked. Here you see what comes of it.")
    return HttpResponseRedirect(reverse("policy:request", args=(made.pk,)))


@portal_login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rule_request(request: HttpRequest, rule_request_id: UUID) -> HttpResponse:
    """Show who asks for what; take the answer."""
    membership = get_membership(request)
    found = _get_request(membership, rule_request_id)
    if request.method != "POST":
        return _show(request, found, _make_form(found), DeclineForm())
    if request.POST.get("answer") == "decline":
        return _decline(request, found)
    return _accept(request, found)


@portal_login_required
@require_POST
def withdraw(request: HttpRequest, rule_request_id: UUID) -> HttpResponse:
    membership = get_membership(request)
    found = _get_request(membership, rule_request_id)
    try:
        withdraw_request(request=found, asker=membership.user, actor=make_actor(user=request.user))
    except SettledError:
        messages.info(request, "It has been answered meanwhile.")
        return _go_to(found)
    messages.success(request, "Withdrawn. Nobody is asked any more.")
    return HttpResponseRedirect(reverse("policy:requests"))


def _get_request(membership: Membership, key: UUID) -> RuleRequest:
    found = find_visible(membership).filter(pk=key).first()
    if found is None:
        raise Http404("nothing of this kind is for this person here")
    return found


def _make_form(found: RuleRequest, data: Any = None) -> AcceptForm | None:
    return AcceptForm(data, request=found) if found.action == RuleRequest.Action.ADD else None


def _accept(request: HttpRequest, found: RuleRequest) -> HttpResponse:
    membership = get_membership(request)
    form = _make_form(found, request.POST)
    if form is not None and not form.is_valid():
        return _show(request, found, form, DeclineForm(), status=422)
    changes = form.get_changes() if form is not None else {}
    try:
        accept_request(request=found, acceptor=membership.user, actor=make_actor(user=request.user), **changes)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return _show(request, found, form, DeclineForm(), status=422)
    except SettledError as error:
        messages.error(request, say(error))
    else:
        messages.success(request, f"Done, and {found.asker} can see it. It holds from the next call on.")
    return _go_to(found)


def _decline(request: HttpRequest, found: RuleRequest) -> HttpResponse:
    membership = get_membership(request)
    form = DeclineForm(request.POST)
    if not form.is_valid():
        return _show(request, found, _make_form(found), form, status=422)
    try:
        actor = make_actor(user=request.user)
        decline_request(request=found, decliner=membership.user, reason=form.cleaned_data["reason"], actor=actor)
    except SettledError as error:
        messages.error(request, say(error))
    else:
        messages.success(request, f"Declined, and {found.asker} can read why.")
    return _go_to(found)


def _go_to(found: RuleRequest) -> HttpResponse:
    return HttpResponseRedirect(reverse("policy:request", args=(found.pk,)))


def _show(
    request: HttpRequest, found: RuleRequest, accept: AcceptForm | None, decline: DeclineForm, *, status: int = 200
) -> HttpResponse:
    membership = get_membership(request)
    is_gone = found.action == RuleRequest.Action.REMOVE and found.rule is None
    context = {
        "found": found,
        "is_mine": found.asker_id == membership.user_id,
        "is_waiting": found.is_waiting,
        "may_answer": may_answer(membership.user, found),
        "answerer": name_answerer(found),
        "proposed": "" if is_gone else describe_rule(make_rule(found)),
        "is_removal": found.action == RuleRequest.Action.REMOVE,
        "accept": accept,
        "decline": decline,
    }
    return render(request, "policy/request.html", context, status=status)


def _read_number(request: HttpRequest) -> int:
    try:
        return int(request.POST.get("number", ""))
    except ValueError:
        return -1
