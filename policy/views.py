"""My rules: what a person's own layer says, as sentences, and how it changes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from orgs.access import get_membership, portal_login_required
from orgs.http import make_actor
from orgs.models import Membership
from policy.describe import describe_rule
from policy.findings import find_warnings
from policy.forms import RuleForm
from policy.models import Baseline, Layer, Rule
from policy.preview import preview_rule
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule
from policy.services.update_rule import update_rule


@portal_login_required
@require_safe
def rules(request: HttpRequest) -> HttpResponse:
    membership = get_membership(request)
    known = Rule.objects.for_organization(membership.organization_id).with_names()
    baseline = Baseline.objects.for_organization(membership.organization_id).filter(layer=Layer.USER).first()
    context = {
        "organization": membership.organization,
        "rules": _describe(known.personal(membership.user)),
        "inherited": _describe(known.inherited(membership.user).enabled()),
        "baseline": baseline.effect if baseline is not None else "",
    }
    return render(request, "policy/rules.html", context)


@portal_login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    membership = get_membership(request)
    if request.method != "POST" or "refresh" in request.POST:
        return _show_form(request, RuleForm(membership=membership, initial=_read_values(request)))
    form = RuleForm(request.POST, membership=membership)
    if form.is_valid():
        try:
            rule = create_rule(
                organization=membership.organization,
                layer=Layer.USER,
                user=membership.user,
                author=membership.user,
                actor=make_actor(user=request.user),
                **form.get_facts(),
            )
        except ValidationError as error:
            form.add_problems(error)
        else:
            return _finish_saved(request, rule)
    return _show_form(request, form)


@portal_login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, rule_id: UUID) -> HttpResponse:
    membership = get_membership(request)
    rule = _get_rule(membership, rule_id)
    if request.method != "POST":
        return _show_form(request, RuleForm(membership=membership, rule=rule))
    if "refresh" in request.POST:
        return _show_form(request, RuleForm(membership=membership, rule=rule, initial=_read_values(request)))
    form = RuleForm(request.POST, membership=membership, rule=rule)
    if form.is_valid():
        try:
            saved = update_rule(
                rule=rule, author=membership.user, actor=make_actor(user=request.user), **form.get_facts()
            )
        except ValidationError as error:
            form.add_problems(error)
        except Rule.DoesNotExist:
            raise Http404("somebody deleted the rule meanwhile") from None
        else:
            return _finish_saved(request, saved)
    return _show_form(request, form)


@portal_login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, rule_id: UUID) -> HttpResponse:
    """Ask once, saying what the rule says; then delete it."""
    membership = get_membership(request)
    rule = _get_rule(membership, rule_id)
    if request.method != "POST":
        return render(request, "policy/delete.html", {"rule": rule, "sentence": describe_rule(rule)})
    delete_rule(rule=rule, author=membership.user, actor=make_actor(user=request.user))
    return _finish(request, "Deleted. The rule no longer counts, from the next call on.")


def _get_rule(membership: Membership, rule_id: UUID) -> Rule:
    """Return a rule of this person's own layer in this organization."""
    mine = Rule.objects.for_organization(membership.organization_id).personal(membership.user)
    rule = mine.with_names().filter(pk=rule_id).first()
    if rule is None:
        raise Http404("this person has no such rule here")
    return rule


def _describe(found: Any) -> list[tuple[Rule, str]]:
    return [(rule, describe_rule(rule)) for rule in found.order_by("application__name", "created_at")]


def _read_values(request: HttpRequest) -> dict[str, str]:
    """Return what is chosen so far, from a link or from a form that is being filled in."""
    given = request.POST if request.method == "POST" else request.GET
    return {name: str(given[name]) for name in RuleForm.base_fields if name in given}


def _show_form(request: HttpRequest, form: RuleForm) -> HttpResponse:
    context = {
        "form": form,
        "sentence": describe_rule(form.rule) if form.rule is not None else "",
        **_preview(get_membership(request), form),
    }
    return render(request, "policy/rule.html", context, status=422 if form.errors else 200)


def _preview(membership: Membership, form: RuleForm) -> dict[str, Any]:
    """Return what the form shows beside itself: decisions as they would be, once it is filled in far enough."""
    probe = form if form.is_bound else RuleForm(_as_data(form.initial), membership=membership, rule=form.rule)
    if not probe.is_valid():
        return {"previews": []}
    draft = probe.make_draft()
    return {
        "previews": preview_rule(
            membership=membership,
            draft=draft,
            applications=probe.list_applications(),
            capabilities=probe.list_capabilities(),
            arguments=probe.make_example(),
        ),
        "draft": describe_rule(draft),
        "warnings": find_warnings(draft),
    }


def _as_data(initial: Any) -> dict[str, str]:
    return {name: str(value) for name, value in initial.items() if value is not None}


def _finish_saved(request: HttpRequest, rule: Rule) -> HttpResponse:
    for warning in find_warnings(rule):
        messages.warning(request, f"“{describe_rule(rule)}”: {warning.sentence}")
    return _finish(request, "Saved. It holds from the next call on.")


def _finish(request: HttpRequest, message: str) -> HttpResponse:
    messages.success(request, message)
    return HttpResponseRedirect(reverse("policy:rules"))
