"""What people may narrow the lists of their activity by."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms

from audit.models import Outcome
from audit.querysets import AuditEventQuerySet
from connections.models import Integration
from kontext.portal.calls import describe_outcome
from orgs.models import Application, Membership

PERIODS = {"day": dt.timedelta(days=1), "week": dt.timedelta(days=7), "month": dt.timedelta(days=30)}
_OUTCOMES = [
    (outcome.value, describe_outcome(outcome))
    for outcome in (
        *(Outcome.OK, Outcome.DENIED, Outcome.ERROR_AUTH),
        *(Outcome.ERROR_REMOTE, Outcome.ERROR_PROXY, Outcome.CANCELLED),
    )
]


class PageForm(forms.Form):
    """Where a page of a list begins: after the event `before`."""

    before = forms.UUIDField(required=False, widget=forms.HiddenInput)


class ActivityFilterForm(PageForm):
    """Everything is optional. `session` comes from links, for one session's calls."""

    application = forms.ModelChoiceField(Application.objects.none(), required=False, empty_label="Any")
    integration = forms.ModelChoiceField(
        Integration.objects.none(), required=False, empty_label="Any", to_field_name="slug"
    )
    outcome = forms.ChoiceField(required=False, choices=[("", "Any"), *_OUTCOMES])
    period = forms.ChoiceField(
        required=False,
        label="Time",
        choices=[("", "Any"), ("day", "Last 24 hours"), ("week", "Last 7 days"), ("month", "Last 30 days")],
    )
    session = forms.CharField(required=False, max_length=128, widget=forms.HiddenInput)

    def __init__(self, *args: Any, membership: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        organization = membership.organization
        mine = Application.objects.for_organization(organization).filter(delegations__user=membership.user)
        self._offer("application", mine.distinct())
        self._offer("integration", Integration.objects.for_organization(organization))

    def _offer(self, name: str, rows: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = rows

    def narrow(self, events: AuditEventQuerySet, *, now: dt.datetime) -> AuditEventQuerySet:
        """Return the calls among `events` that a valid form asks for, except for `before`."""
        asked = self.cleaned_data
        if asked["application"]:
            events = events.filter(application_id=asked["application"].pk)
        if asked["integration"]:
            events = events.filter(integration_id=asked["integration"].pk)
        if asked["session"]:
            events = events.filter(session=asked["session"])
        if asked["period"]:
            events = events.since(now - PERIODS[asked["period"]])
        calls = events.calls().with_results()
        return calls.ended_as(asked["outcome"]) if asked["outcome"] else calls

    @property
    def is_narrowed(self) -> bool:
        return any(value for name, value in self.cleaned_data.items() if name != "before")
