"""Replay as a page: the exported rules to change, and which of the latest calls would be decided otherwise."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from orgs.admin_site import WRITERS, Access, get_access, narrow
from orgs.models import Membership, Organization
from policy.documents import read_document, write_document
from policy.errors import DocumentError
from policy.replay import Replay
from policy.services.replay import replay

# What is found says who called what: for those who may read the whole audit trail.
_READERS = WRITERS | {Membership.Role.AUDITOR}
# Read within a few seconds; for more there is the command.
MOST_CALLS = 100_000
_MOST_LINES = 200
_DAYS = [(1, "Of the last day"), (7, "Of the last 7 days"), (30, "Of the last 30 days")]


class ReplayForm(forms.Form):
    organization = forms.ModelChoiceField(
        queryset=Organization.objects.none(), widget=UnfoldAdminSelectWidget, empty_label=None
    )
    days = forms.TypedChoiceField(
        choices=_DAYS, coerce=int, initial=7, label="Past calls", widget=UnfoldAdminSelectWidget
    )
    draft = forms.CharField(
        label="Rules to try",
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 16, "spellcheck": "false", "class": "k-code"}),
        help_text="The rules as they are now: change them here. People's own rules count as they are.",
    )

    def __init__(self, access: Access, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        organizations = narrow(Organization.objects.all(), access, roles=_READERS).order_by("name")
        fields: dict[str, Any] = dict(self.fields)
        fields["organization"].queryset = organizations
        first = organizations.first()
        if not self.is_bound and first is not None:
            fields["organization"].initial = first
            fields["draft"].initial = write_document(first)
        if not access.spans_organizations:
            fields["organization"].widget = forms.HiddenInput()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "organization" in cleaned and "draft" in cleaned:
            try:
                cleaned["document"] = read_document(cleaned["organization"], cleaned["draft"])
            except DocumentError as error:
                self.add_error("draft", error.problems)
        return cleaned


def may_replay(request: HttpRequest) -> bool:
    access = get_access(request)
    return access.is_superuser or bool(access.organizations(_READERS))


def show_replay(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the form, and what came of it. Nothing is changed or recorded; a draft is too long for an address."""
    if not may_replay(request):
        raise PermissionDenied
    form = ReplayForm(get_access(request), request.POST if request.method == "POST" else None)
    context = {**admin.admin_site.each_context(request), "opts": admin.opts, "title": "Replay", "form": form}
    if form.is_bound and form.is_valid():
        context |= _answer(form)
    return TemplateResponse(request, "admin/kontext/replay.html", context)


def _answer(form: ReplayForm) -> dict[str, Any]:
    asked = form.cleaned_data
    try:
        found = replay(
            organization=asked["organization"],
            document=asked["document"],
            since=timezone.now() - dt.timedelta(days=asked["days"]),
            at_most=MOST_CALLS,
        )
    except DocumentError as error:
        form.add_error("draft", error.problems)
        return {}
    return {"found": found, "lines": _list(found), "is_partial": found.total >= MOST_CALLS, "most": MOST_CALLS}


def _list(found: Replay) -> list[Any]:
    """Return what would flip, and then what can't be told."""
    return [*found.sorted_flips, *found.sorted_untold][:_MOST_LINES]
