"""Who acts for me, what each may do, and the ends of it: a rule, a pause, stopping altogether."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connections.models import Capability
from kontext.portal.calls import get_events, read_lines
from kontext.portal.delegations import Acting, get_delegations, get_end, get_ended, read_acting
from kontext.portal.effects import group_by_integration, read_effects
from kontext.portal.errands import read_connections
from kontext.portal.usage import read_usage
from orgs.access import get_membership, portal_login_required
from orgs.http import make_actor
from orgs.models import Application, Delegation, Membership
from orgs.oauth.scopes import describe_scopes
from orgs.services.pause_delegation import pause_delegation, resume_delegation
from orgs.services.revoke_delegation import revoke_delegation
from policy.describe import describe_rule
from policy.models import Effect
from policy.services.choose_effect import choose_effect
from policy.services.choose_starting_set import choose_starting_set
from policy.starting_sets import (
    STARTING_SETS,
    find_class_rules,
    find_current_set,
    find_unanswered,
    plan_starting_set,
)

_RECENT_CALLS = 5
_CHOICES = {"allow": Effect.ALLOW, "ask": Effect.ASK, "never": Effect.DENY, "default": None}


@portal_login_required
@require_safe
def applications(request: HttpRequest) -> HttpResponse:
    membership = get_membership(request)
    delegations = get_delegations(membership)
    ended = [(delegation, get_end(delegation)) for delegation in get_ended(membership, delegations)]
    context = {"acting": read_acting(membership, delegations), "ended": ended, "organization": membership.organization}
    return render(request, "portal/applications.html", context)


@portal_login_required
@require_safe
def application(request: HttpRequest, application_id: UUID) -> HttpResponse:
    """Show one application that acts, or lately acted, for this person."""
    membership = get_membership(request)
    delegation = _find_delegation(membership, application_id)
    if delegation is None:
        return _show_ended(request, membership, application_id)
    [acting] = read_acting(membership, [delegation])
    capabilities = _get_capabilities(acting)
    lines = read_effects(membership=membership, application=delegation.application, capabilities=capabilities)
    context = {
        "acting": acting,
        "application": delegation.application,
        "scopes": describe_scopes(delegation.scopes),
        "integrations": group_by_integration(acting.integrations, lines, read_connections(membership)),
        "calls": _read_calls(membership, application_id),
        "usage": read_usage(membership, application_id, timezone.now()),
        **_read_beginning(membership, delegation.application),
    }
    return render(request, "portal/application.html", context)


@portal_login_required
@require_http_methods(["GET", "HEAD", "POST"])
def stop(request: HttpRequest, application_id: UUID) -> HttpResponse:
    """Ask once, saying what stops; then end the consent with every token that rests on it."""
    membership = get_membership(request)
    delegation = _get_delegation(membership, application_id)
    if request.method != "POST":
        [acting] = read_acting(membership, [delegation])
        return render(request, "portal/stop.html", {"acting": acting, "application": delegation.application})
    ended = revoke_delegation(delegation=delegation)
    tokens = {0: "It held no live access token.", 1: "Its access token ended."}
    message = tokens.get(ended, f"Its {ended} access tokens ended.")
    messages.success(request, f"{delegation.application} no longer acts for you. {message}")
    return HttpResponseRedirect(reverse("portal:applications"))


@portal_login_required
@require_POST
def pause(request: HttpRequest, application_id: UUID) -> HttpResponse:
    """Have everything refused that this application asks for, or take that back; the consent and its tokens stay."""
    delegation = _get_delegation(get_membership(request), application_id)
    application, wanted = delegation.application, request.POST.get("wanted")
    if wanted not in ("pause", "resume"):
        raise BadRequest("neither pause nor resume")
    (pause_delegation if wanted == "pause" else resume_delegation)(delegation=delegation)
    said = "is paused: its calls are refused until you resume it" if wanted == "pause" else "may act for you again"
    messages.success(request, f"{application} {said}.")
    is_from_list = request.POST.get("back") == "list"
    address = reverse("portal:applications") if is_from_list else reverse("portal:application", args=[application_id])
    return HttpResponseRedirect(address)


@portal_login_required
@require_http_methods(["GET", "HEAD", "POST"])
def begin(request: HttpRequest, application_id: UUID, begin_with: str) -> HttpResponse:
    """Show a starting set as the rules it is; then write them. `none` takes back those of a set without asking."""
    membership = get_membership(request)
    application = _get_delegation(membership, application_id).application
    if begin_with not in (*STARTING_SETS, "none"):
        raise Http404("there is no such starting set")
    key = None if begin_with == "none" else begin_with
    if request.method != "POST":
        plan = plan_starting_set(
            organization=membership.organization,
            user=membership.user,
            application=application,
            integrations=None,
            key=key,
        )
        context = {"application": application, "starting_set": STARTING_SETS.get(begin_with), "plan": plan}
        return render(request, "portal/begin.html", context)
    choose_starting_set(
        membership=membership,
        application=application,
        integrations=None,
        key=key,
        actor=make_actor(user=request.user),
    )
    said = f"“{STARTING_SETS[key].name}” holds from its next call on" if key is not None else "Those rules are gone"
    messages.success(request, f"{said}.")
    return HttpResponseRedirect(reverse("portal:application", args=[application_id]))


@portal_login_required
@require_POST
def choose(request: HttpRequest, application_id: UUID, capability_id: UUID) -> HttpResponse:
    """Keep this person's answer for one capability, and show what all layers come to now."""
    membership = get_membership(request)
    delegation = _get_delegation(membership, application_id)
    [acting] = read_acting(membership, [delegation])
    capability = next((one for one in _get_capabilities(acting) if one.pk == capability_id), None)
    if capability is None:
        raise Http404("the application reaches no such capability")
    wanted = request.POST.get("effect", "")
    if wanted not in _CHOICES:
        raise BadRequest("not an effect")
    choose_effect(
        membership=membership,
        application=delegation.application,
        capability=capability,
        effect=_CHOICES[wanted],
        actor=make_actor(user=request.user),
    )
    if not request.headers.get("HX-Request"):
        address = reverse("portal:application", args=[application_id])
        return HttpResponseRedirect(f"{address}#capability-{capability_id}")
    [line] = read_effects(membership=membership, application=delegation.application, capabilities=[capability])
    context = {"line": line, "application": delegation.application, "is_answer": True}
    return render(request, "portal/_capability.html", context)


def _read_beginning(membership: Membership, application: Application) -> dict[str, Any]:
    """Return the starting sets, the one that holds, and the person's rules about whole classes of this application."""
    about: dict[str, Any] = {"organization": membership.organization, "user": membership.user}
    rules = list(find_class_rules(**about, application=application, among=None))
    return {
        "starting_sets": STARTING_SETS.values(),
        "current_set": find_current_set(rules),
        "class_rules": [describe_rule(rule) for rule in rules],
        "is_unanswered": bool(find_unanswered(**about, applications=[application])),
    }


def _find_delegation(membership: Membership, application_id: UUID) -> Delegation | None:
    return next((one for one in get_delegations(membership) if one.application_id == application_id), None)


def _get_delegation(membership: Membership, application_id: UUID) -> Delegation:
    delegation = _find_delegation(membership, application_id)
    if delegation is None:
        raise Http404("no such application acts for this person")
    return delegation


def _show_ended(request: HttpRequest, membership: Membership, application_id: UUID) -> HttpResponse:
    mine = Delegation.objects.for_organization(membership.organization_id).filter(user=membership.user)
    former = mine.filter(application=application_id).select_related("application").order_by("-granted_at").first()
    if former is None:
        raise Http404("no such application ever acted for this person")
    context = {
        "application": former.application,
        "delegation": former,
        "ended_at": get_end(former),
        "calls": _read_calls(membership, application_id),
        "usage": read_usage(membership, application_id, timezone.now()),
    }
    return render(request, "portal/application_ended.html", context)


def _get_capabilities(acting: Acting) -> list[Capability]:
    """Return the tools an application can see, the most harmless first."""
    order = list(Capability.Klass.values)
    offered = Capability.objects.offered().filter(
        integration__in=[integration.pk for integration in acting.integrations], kind=Capability.Kind.TOOL
    )
    return sorted(offered.select_related("integration"), key=lambda one: (order.index(one.klass), one.name))


def _read_calls(membership: Membership, application_id: UUID) -> Any:
    calls = get_events(membership).filter(application_id=application_id).calls().with_results()
    return read_lines(calls.order_by("-pk")[:_RECENT_CALLS])
