"""Approvals and requests for rules in the admin: all of them to see, and those that administrators answer."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from orgs.admin_site import OrganizationModelAdmin, form_action, object_action
from orgs.http import make_actor
from orgs.templatetags.kontext_ui import relative_time, status_chip
from orgs.vault import VaultError
from policy import approvals, requests
from policy.admin.rules import AUTHORS
from policy.approvals import LIFETIME_NAMES, describe_answer_rule, describe_questioners, open_arguments
from policy.describe import describe_rule
from policy.errors import NotAllowedToAnswerError, NotAllowedToAuthorError, SettledError
from policy.models import Approval, RuleRequest
from policy.services.accept_request import accept_request
from policy.services.approve_call import approve_call
from policy.services.decline_request import decline_request
from policy.services.deny_call import deny_call
from policy.services.withdraw_approval import withdraw_approval
from policy.shown_arguments import show_arguments

_WAITS = "Waits for an answer"
_CONSEQUENCES = {RuleRequest.Action.ADD: "This rule is written", RuleRequest.Action.REMOVE: "This rule is deleted"}


class ApproveForm(forms.Form):
    scope = forms.ChoiceField(
        label="How far it goes", choices=Approval.Scope.choices, widget=UnfoldAdminSelectWidget, initial="once"
    )
    lifetime = forms.ChoiceField(
        label="For how long",
        choices=list(LIFETIME_NAMES.items()),
        widget=UnfoldAdminSelectWidget,
        initial="hour",
        help_text="Where it goes further than one call, and is no rule.",
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label="Why not",
        max_length=255,
        widget=UnfoldAdminTextInputWidget,
        help_text="Whoever asked reads it.",
    )


class AnsweredAdmin(OrganizationModelAdmin):
    """Rows that people and applications make, and that somebody answers: never entered, changed or deleted here."""

    can_be_added: ClassVar[bool] = False
    can_be_deleted: ClassVar[bool] = False
    writer_roles = AUTHORS
    refusals = (*OrganizationModelAdmin.refusals, NotAllowedToAnswerError, NotAllowedToAuthorError, SettledError)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Approval)
class ApprovalAdmin(AnsweredAdmin):
    list_display = ("what", "application", "whom", "layer", "status_shown", "scope", "code", "asked", "ends")
    list_filter = ("status", "layer", "scope", "integration", "application")
    search_fields = ("code", "capability", "application__name", "user__name", "user__email", "integration__slug")
    search_help_text = "Search codes, capabilities, applications and people"
    fieldsets = (
        (None, {"fields": ("what", "application", "whom", "klass", "layer", "asked_by_shown", "code", "status_shown")}),
        ("Arguments", {"fields": ("arguments_shown", "arguments_digest")}),
        ("Answer", {"fields": ("scope", "rule", "answer", "settled_by", "settled_at", "used_at", "ends")}),
        ("Details", {"fields": ("organization", "call", "policy_version", "id", "asked"), "classes": ("collapse",)}),
    )
    readonly_fields = ("what", "whom", "asked_by_shown", "status_shown", "arguments_shown", "ends", "asked", "id")
    actions_detail: Any = ("approve", "deny", "withdraw")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .select_related("organization", "user", "application", "integration", "rule", "settled_by")
        )
        return rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            # What a call is made with is for whoever decides about it, not for everybody who may look at the list.
            found.is_shown_whole = _may_answer(request, found)
        return found

    def has_answer_permission(self, request: HttpRequest, obj: Approval) -> bool:
        return _may_answer(request, obj)

    @form_action(
        form=lambda approval, posted: ApproveForm(posted),
        shown=lambda approval: _show_arguments(approval),
        description="Approve",
        consequence=lambda approval: (
            f"{approval.application} may make this call. For good, as a rule, it is: {describe_answer_rule(approval)}."
        ),
        button="Approve",
        done="Approved: the application can repeat the call.",
        variant=ActionVariant.SUCCESS,
        permission="answer",
        is_offered=lambda approval: approval.is_waiting,
    )
    def approve(self, request: HttpRequest, obj: Approval, form: forms.Form) -> None:
        approver: Any = request.user
        approve_call(approval=obj, approver=approver, actor=make_actor(user=approver), **form.cleaned_data)

    @form_action(
        form=lambda approval, posted: ReasonForm(posted),
        shown=lambda approval: _show_arguments(approval),
        description="Deny",
        consequence="The application is told why, and the same call is not asked about for an hour.",
        button="Deny",
        done="Denied.",
        variant=ActionVariant.DANGER,
        permission="answer",
        is_offered=lambda approval: approval.is_waiting,
    )
    def deny(self, request: HttpRequest, obj: Approval, form: forms.Form) -> None:
        approver: Any = request.user
        deny_call(approval=obj, approver=approver, actor=make_actor(user=approver), **form.cleaned_data)

    @object_action(
        description="Withdraw",
        consequence="The next call is asked about again, in every gateway within a second.",
        done="Withdrawn.",
        variant=ActionVariant.DANGER,
        permission="answer",
        is_offered=lambda approval: approval.status == Approval.Status.APPROVED,
    )
    def withdraw(self, request: HttpRequest, obj: Approval) -> None:
        withdrawer: Any = request.user
        withdraw_approval(approval=obj, withdrawer=withdrawer, actor=make_actor(user=withdrawer))

    @display(description="capability", ordering="capability")
    def what(self, obj: Approval) -> str:
        return obj.target

    @display(description="for", ordering="user__name")
    def whom(self, obj: Approval) -> str:
        return str(obj.user) if obj.user else "itself"

    @display(description="status", ordering="status")
    def status_shown(self, obj: Approval) -> SafeString:
        return _show_status(obj)

    @display(description="asked", ordering="created_at")
    def asked(self, obj: Approval) -> SafeString | str:
        return relative_time(obj.created_at)

    @display(description="ends", ordering="expires_at")
    def ends(self, obj: Approval) -> SafeString | str:
        return relative_time(obj.expires_at, never="with the rule")

    @display(description="asked by")
    def asked_by_shown(self, obj: Approval) -> str:
        return " ".join(f"{sentence}." for sentence in describe_questioners(obj)) or "A rule that is no longer there."

    @display(description="arguments")
    def arguments_shown(self, obj: Approval) -> SafeString | str:
        if not obj.is_waiting:
            return "Erased: they are kept only while this waits."
        return _show_arguments(obj) if getattr(obj, "is_shown_whole", False) else "Shown to whoever answers."


@admin.register(RuleRequest)
class RuleRequestAdmin(AnsweredAdmin):
    list_display = ("sentence", "asker", "application", "layer", "status_shown", "asked", "settled_by")
    list_filter = ("status", "action", "layer", "integration", "application")
    search_fields = ("sentence", "capability", "asker__name", "asker__email", "application__name")
    search_help_text = "Search proposals, capabilities, people and applications"
    fieldsets = (
        (None, {"fields": ("sentence", "proposed", "asker", "note", "layer", "status_shown")}),
        ("Answer", {"fields": ("answer", "rule", "settled_by", "settled_at")}),
        ("Details", {"fields": ("organization", "call", "id", "asked", "expires_at"), "classes": ("collapse",)}),
    )
    readonly_fields = ("proposed", "status_shown", "asked", "id")
    actions_detail: Any = ("accept", "decline")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .select_related("organization", "asker", "application", "integration", "rule", "settled_by")
        )
        return rows

    def has_answer_permission(self, request: HttpRequest, obj: RuleRequest) -> bool:
        answerer: Any = request.user
        return requests.may_answer(answerer, obj)

    @object_action(
        description="Accept",
        consequence=lambda request: (
            f"{_CONSEQUENCES[RuleRequest.Action(request.action)]}: {describe_rule(requests.make_rule(request))}. "
            "To say it otherwise, decline and write the rule yourself, or narrow it in the portal."
        ),
        done="Accepted, and the person who asked can see it.",
        variant=ActionVariant.SUCCESS,
        permission="answer",
        is_offered=lambda request: request.is_waiting,
    )
    def accept(self, request: HttpRequest, obj: RuleRequest) -> None:
        acceptor: Any = request.user
        accept_request(request=obj, acceptor=acceptor, actor=make_actor(user=acceptor))

    @form_action(
        form=lambda request, posted: ReasonForm(posted),
        description="Decline",
        consequence="Nothing changes, and the person who asked can read why.",
        button="Decline",
        done="Declined.",
        variant=ActionVariant.DANGER,
        permission="answer",
        is_offered=lambda request: request.is_waiting,
    )
    def decline(self, request: HttpRequest, obj: RuleRequest, form: forms.Form) -> None:
        decliner: Any = request.user
        decline_request(request=obj, decliner=decliner, actor=make_actor(user=decliner), **form.cleaned_data)

    @display(description="rule")
    def proposed(self, obj: RuleRequest) -> str:
        return describe_rule(requests.make_rule(obj))

    @display(description="status", ordering="status")
    def status_shown(self, obj: RuleRequest) -> SafeString:
        return _show_status(obj)

    @display(description="asked", ordering="created_at")
    def asked(self, obj: RuleRequest) -> SafeString | str:
        return relative_time(obj.created_at)


def _may_answer(request: HttpRequest, approval: Approval) -> bool:
    answerer: Any = request.user
    return approvals.may_answer(answerer, approval)


def _show_status(row: Approval | RuleRequest) -> SafeString:
    if row.is_waiting:
        return status_chip("pending", _WAITS)
    return status_chip(row.status if row.status != row.Status.PENDING else row.Status.EXPIRED)


def _show_arguments(approval: Approval) -> SafeString:
    try:
        shown = show_arguments(open_arguments(approval))
    except VaultError:
        return format_html("{}", "They can't be opened: somebody changed the database. Deny this.")
    if not shown:
        return format_html("{}", "None.")
    rows = format_html_join("", "<dt><code>{}</code></dt><dd><pre class='kontext-json'>{}</pre></dd>", shown)
    return format_html("<dl>{}</dl>", rows)
