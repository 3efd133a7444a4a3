"""Approvals: calls that the rules ask about, for whoever answers for the layer that asks."""

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
from orgs.vault import VaultError
from policy.approval_forms import ApproveForm, DenyForm
from policy.approvals import (
    describe_answer_rule,
    describe_questioners,
    find_answerable,
    find_visible,
    may_answer,
    name_answerer,
    open_arguments,
)
from policy.errors import SettledError
from policy.models import Approval
from policy.requests import find_open_requests
from policy.services.approve_call import approve_call
from policy.services.deny_call import deny_call
from policy.services.withdraw_approval import withdraw_approval
from policy.shown_arguments import show_arguments

_LATELY = dt.timedelta(days=14)
_MOST = 50


@portal_login_required
@require_safe
def approvals(request: HttpRequest) -> HttpResponse:
    membership = get_membership(request)
    mine, of_my_calls = find_answerable(membership), find_visible(membership).filter(user=membership.user)
    settled = find_visible(membership).exclude(status=Approval.Status.PENDING)
    lately = settled.filter(settled_at__gt=timezone.now() - _LATELY).order_by("-settled_at")
    in_force = find_visible(membership).standing().order_by("expires_at")
    context = {
        "waiting": list(mine.waiting()[:_MOST]),
        "elsewhere": list(of_my_calls.waiting().exclude(pk__in=mine.values("pk"))[:_MOST]),
        "in_force": [(one, may_answer(membership.user, one)) for one in in_force[:_MOST]],
        "lately": list(lately.exclude(pk__in=in_force.values("pk"))[:_MOST]),
        "open_requests": find_open_requests(membership).count(),
        "organization": membership.organization,
    }
    return render(request, "policy/approvals.html", context)


@portal_login_required
@require_http_methods(["GET", "HEAD", "POST"])
def approval(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Show who asks for what with which arguments; take the answer."""
    membership = get_membership(request)
    found = _get_approval(membership, approval_id)
    if request.method != "POST":
        return _show(request, found, ApproveForm(approval=found), DenyForm())
    if request.POST.get("answer") == "deny":
        return _deny(request, found)
    return _approve(request, found)


@portal_login_required
@require_POST
def withdraw(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    membership = get_membership(request)
    found = _get_approval(membership, approval_id)
    try:
        withdraw_approval(approval=found, withdrawer=membership.user, actor=make_actor(user=request.user))
    except SettledError:
        messages.info(request, "It no longer counted anyway.")
    else:
        messages.success(request, "Withdrawn. From the next call on, it is asked about again.")
    return HttpResponseRedirect(reverse("policy:approvals"))


def _get_approval(membership: Membership, approval_id: UUID) -> Approval:
    found = find_visible(membership).filter(pk=approval_id).first()
    if found is None:
        raise Http404("nothing of this kind is for this person here")
    return found


def _approve(request: HttpRequest, found: Approval) -> HttpResponse:
    membership = get_membership(request)
    form = ApproveForm(request.POST, approval=found)
    if form.is_valid():
        try:
            approve_call(
                approval=found,
                approver=membership.user,
                scope=form.cleaned_data["scope"],
                lifetime=form.cleaned_data["lifetime"],
                actor=make_actor(user=request.user),
            )
        except ValidationError as error:
            form.add_error(None, error.messages)
        except SettledError as error:
            messages.error(request, say(error))
            return _go_to(found)
        else:
            messages.success(request, f"Approved. {found.application} can go on: it repeats the call by itself.")
            return _go_to(found)
    return _show(request, found, form, DenyForm(), status=422)


def _deny(request: HttpRequest, found: Approval) -> HttpResponse:
    membership = get_membership(request)
    form = DenyForm(request.POST)
    if not form.is_valid():
        return _show(request, found, ApproveForm(approval=found), form, status=422)
    try:
        actor = make_actor(user=request.user)
        deny_call(approval=found, approver=membership.user, reason=form.cleaned_data["reason"], actor=actor)
    except SettledError as error:
        messages.error(request, say(error))
    else:
        messages.success(request, f"Denied. {found.application} is told so when it tries again.")
    return _go_to(found)


def _go_to(found: Approval) -> HttpResponse:
    return HttpResponseRedirect(reverse("policy:approval", args=(found.pk,)))


def _show(
    request: HttpRequest, found: Approval, approve: ApproveForm, deny: DenyForm, *, status: int = 200
) -> HttpResponse:
    membership = get_membership(request)
    arguments, is_readable = _read_arguments(found)
    context: dict[str, Any] = {
        "approval": found,
        "is_mine": found.user_id == membership.user_id,
        "may_answer": may_answer(membership.user, found),
        "is_waiting": found.is_waiting,
        "answerer": name_answerer(found),
        "asked_by": describe_questioners(found),
        "arguments": arguments if found.is_waiting else None,
        "is_readable": is_readable,
        "explanation": _find_explanation(membership, found),
        "approve": approve,
        "deny": deny,
        "rule": describe_answer_rule(found),
    }
    return render(request, "policy/approval.html", context, status=status)


def _read_arguments(found: Approval) -> tuple[list[tuple[str, str]], bool]:
    """Return the arguments as they are shown, and whether they could be opened at all."""
    try:
        return show_arguments(open_arguments(found)), True
    except VaultError:
        return [], False


def _find_explanation(membership: Membership, found: Approval) -> Any:
    """Return the decision about the call that asked, for whom it was made: a person's rules are not for everybody."""
    events = AuditEvent.objects.for_organization(membership.organization_id).of_user(membership.user_id)
    event = events.of_call(found.call).first()
    return event.decision if event is not None else None
