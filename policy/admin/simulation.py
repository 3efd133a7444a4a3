"""“Who may do what”: a call that isn't made, and everything one application may do for one person."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from connections.models import Capability
from orgs.admin_site import Access, get_access, narrow
from orgs.models import Application, Membership, User
from policy import engine
from policy.compile import load_policy
from policy.services.simulate import load_groups, simulate

_MOST_LISTED = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the matrix. `tone` is of orgs.ui.status."""

    capability: Capability
    tone: str
    words: str
    explanation: dict[str, Any]


class SimulationForm(forms.Form):
    application = forms.ModelChoiceField(
        queryset=Application.objects.none(), widget=UnfoldAdminSelectWidget, empty_label="Choose an application"
    )
    user = forms.ModelChoiceField(
        queryset=User.objects.none(),
        required=False,
        label="For",
        widget=UnfoldAdminSelectWidget,
        empty_label="Nobody: it acts on its own",
    )
    capability = forms.ModelChoiceField(
        queryset=Capability.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        empty_label="Every capability it could use",
    )
    arguments = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false", "class": "k-code"}),
        help_text='The call\'s arguments as JSON, such as {"repo": "acme/frontend"}.',
    )

    def __init__(self, access: Access, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        members = narrow(Membership.objects.active(), access).values("user")
        choices: dict[str, Any] = {
            "application": narrow(Application.objects.filter(organization__isnull=False), access),
            "user": User.objects.filter(pk__in=members),
            "capability": narrow(Capability.objects.exclude(status="removed").select_related("integration"), access),
        }
        for name, rows in choices.items():
            field: Any = self.fields[name]
            field.queryset = rows

    def clean_arguments(self) -> dict[str, Any]:
        text = self.cleaned_data["arguments"].strip()
        try:
            arguments = json.loads(text) if text else {}
        except json.JSONDecodeError as error:
            raise ValidationError(f"This is no JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
        if not isinstance(arguments, dict):
            raise ValidationError("Arguments are an object: begin with { and end with }.")
        return arguments

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        application, user, capability = (cleaned.get(name) for name in ("application", "user", "capability"))
        if application is None:
            return cleaned
        if capability is not None and capability.organization_id != application.organization_id:
            self.add_error("capability", "Choose a capability of the application's organization.")
        if (
            user is not None
            and not Membership.objects.filter(user=user, organization=application.organization_id).exists()
        ):
            self.add_error("user", "This person isn't a member of the application's organization.")
        return cleaned


def show_simulation(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the form and what it asks for. Sent by GET: an answer can be linked to, and nothing is changed."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    form = SimulationForm(get_access(request), request.GET if "application" in request.GET else None)
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": "Who may do what",
        "form": form,
    }
    if form.is_valid():
        context |= _answer(form.cleaned_data)
    return TemplateResponse(request, "admin/kontext/simulate.html", context)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    application, user = asked["application"], asked["user"]
    named = {"person": str(user) if user else "Nobody", "asked_application": application}
    if asked["capability"] is None:
        return {**named, "verdicts": _list_verdicts(application, user)}
    decision = simulate(
        organization=application.organization,
        user=user,
        application=application,
        capability=asked["capability"],
        arguments=asked["arguments"],
    )
    return {**named, "explanation": decision.explain(), "asked_capability": asked["capability"]}


def _list_verdicts(application: Application, user: User | None) -> list[Verdict]:
    """Return what the rules say about each capability of the integrations that the application may use."""
    assert application.organization is not None
    rows = Capability.objects.exclude(status="removed").filter(
        integration__application_integrations__application=application
    )
    policy = load_policy(application.organization.pk)
    empty = engine.Call(
        user=str(user.pk) if user else None,
        groups=load_groups(application.organization, user),
        application=str(application.pk),
        integration="",
        capability="",
        klass="",
        arguments={},
        now=timezone.now().timestamp(),
    )
    listed = rows.select_related("integration").order_by("integration__name", "name")[:_MOST_LISTED]
    return [_judge(policy, empty, capability) for capability in listed]


def _judge(policy: engine.Policy, empty: engine.Call, capability: Capability) -> Verdict:
    call = replace(
        empty, integration=str(capability.integration_id), capability=capability.name, klass=capability.klass
    )
    decision = policy.decide(call)
    if decision.effect is engine.Effect.DENY and policy.could_allow(call):
        return Verdict(capability, "draft", "Depends on the arguments", decision.explain())
    words = {"allow": "Allowed", "ask": "After approval", "deny": "Denied"}
    return Verdict(capability, decision.effect.value, words[decision.effect.value], decision.explain())
