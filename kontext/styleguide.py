"""The style guide: every shared part of the pages, with invented content."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from orgs.ui.charts import make_bar_chart

_EXAMPLE_RULE = {"sentence": "PR-Bot may use github:create_issue where repo is acme/frontend", "reason": ""}


class ExampleForm(forms.Form):
    name = forms.CharField(help_text="As people will see it on the consent page.")
    home = forms.URLField(required=False, label="Home page", assume_scheme="https")
    length = forms.ChoiceField(label="For how long", choices=[("day", "One day"), ("month", "30 days")])
    notify = forms.BooleanField(label="Tell me when it acts", required=False)


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    messages.success(request, "Saved. This is what a flash message looks like.")
    context = {
        "allowed": _explain("allow", "allow", "allow", sentence="Allowed by every layer: github:create_issue."),
        "asked": _explain(
            "allow", "ask", "allow", sentence="Approval needed by the user layer: Alice wants to be asked."
        ),
        "denied": _explain(
            "allow", "allow", "silent", sentence="Denied by the application layer: PR-Bot may only use acme/frontend."
        ),
        "without_user": _explain("allow", "absent", "deny", sentence="Denied by the application layer: no robots."),
        "statuses": ["active", "expiring", "pending", "reauthorization_required", "suspended", "revoked", "held"],
        "moments": [now, now - dt.timedelta(minutes=4), now - dt.timedelta(days=2), now + dt.timedelta(days=21)],
        "chart": make_bar_chart("Calls in the last 7 days", _last_days(), _CALLS),
        "form": ExampleForm(),
        "refused_form": ExampleForm({"home": "not an address"}, auto_id="refused_%s"),
    }
    return render(request, "styleguide.html", context)


_CALLS = {"PR-Bot": [4, 9, 12, 3, 0, 7, 15], "Release notes": [1, 1, 0, 2, 0, 3, 1], "Triage": [0, 0, 6, 6, 2, 1, 0]}
_ORDER = ("org", "user", "application")


def _last_days() -> list[dt.date]:
    today = timezone.now().date()
    return [today - dt.timedelta(days=ago) for ago in range(6, -1, -1)]


def _explain(*verdicts: str, sentence: str) -> dict[str, Any]:
    """Build what policy.engine's explanation looks like, for three verdicts."""
    against = {"deny", "silent", "ask"}
    deciding = next((layer for layer, verdict in zip(_ORDER, verdicts, strict=True) if verdict in against), None)
    change = {"sentence": "The owner of PR-Bot or an administrator could add the rule “PR-Bot may use acme/backend”."}
    return {
        "effect": "allow" if deciding is None else "deny",
        "version": 12,
        "deciding": deciding,
        "sentence": sentence,
        "layers": [_layer(layer, verdict) for layer, verdict in zip(_ORDER, verdicts, strict=True)],
        "fix": {"sentence": change["sentence"], "changes": [change]} if deciding == "application" else None,
    }


def _layer(layer: str, verdict: str) -> dict[str, Any]:
    nearest = [{**_EXAMPLE_RULE, "why": "“repo is acme/frontend” does not hold"}] if verdict == "silent" else []
    rules = [_EXAMPLE_RULE] if verdict in ("allow", "ask", "deny") else []
    return {"layer": layer, "verdict": verdict, "baseline": None, "rules": rules, "nearest": nearest}
