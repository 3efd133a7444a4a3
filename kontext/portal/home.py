"""Home: what waits for me, and what acted for me in the last seven days, in one screen."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Count, Model
from django.db.models.functions import TruncDate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from audit.models import Outcome
from connections.models import Capability, Integration
from kontext.portal.calls import get_events, read_lines
from kontext.portal.delegations import get_delegations
from kontext.portal.errands import read_errands
from orgs.access import get_membership, portal_login_required
from orgs.models import Application, IdentityProvider, Membership
from orgs.ui.charts import BarChart, make_bar_chart
from policy.approvals import find_answerable
from policy.models import Rule
from policy.requests import find_open_requests
from policy.starting_sets import find_unanswered

_DAYS = 7
_LATEST = 4
_STEPS: tuple[tuple[str, type[IdentityProvider | Integration | Application | Rule]], ...] = (
    ("Let people sign in: connect your identity provider", IdentityProvider),
    ("Add an integration by its address", Integration),
    ("Register an application", Application),
    ("Say what is allowed: a first rule", Rule),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of setting up an organization, for its administrators."""

    words: str
    address: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that waits for an administrator, or for an answer of this person."""

    words: str
    address: str


@portal_login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    membership = get_membership(request)
    now = timezone.now()
    calls = get_events(membership).since(_first_day(now)).calls().with_results().order_by("-pk")
    acting = get_delegations(membership)
    context = {
        "membership": membership,
        "unanswered": find_unanswered(
            organization=membership.organization,
            user=membership.user,
            applications=[delegation.application for delegation in acting],
        ),
        "errands": read_errands(membership),
        "chart": _make_chart(membership, now),
        "denied": calls.ended_as(Outcome.DENIED).count(),
        "calls": read_lines(calls[:_LATEST]),
        "acting": acting,
        "steps": _read_steps(membership) if membership.is_administrator else [],
        "duties": _read_duties(membership) if membership.is_administrator else [],
        "questions": _read_questions(membership),
    }
    return render(request, "portal/home.html", context)


def _make_chart(membership: Membership, now: dt.datetime) -> BarChart:
    """Count the calls of each application on each of the last days, the current one included (UTC, as everywhere)."""
    days = [now.date() - dt.timedelta(days=ago) for ago in range(_DAYS - 1, -1, -1)]
    counted = (
        get_events(membership)
        .since(_first_day(now))
        .calls()
        .order_by()
        .values("application_name", day=TruncDate("occurred_at", tzinfo=dt.UTC))
        .annotate(number=Count("pk"))
    )
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * _DAYS)
    for row in counted:
        if row["day"] in days:
            counts[row["application_name"] or "Unnamed"][days.index(row["day"])] += row["number"]
    return make_bar_chart("Calls in the last 7 days", days, counts)


def _first_day(now: dt.datetime) -> dt.datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=_DAYS - 1)


def _read_steps(membership: Membership) -> list[Step]:
    return [
        Step(words, _admin(model), model._default_manager.filter(organization=membership.organization).exists())
        for words, model in _STEPS
    ]


def _read_duties(membership: Membership) -> list[Duty]:
    organization = membership.organization
    pending = Application.objects.for_organization(organization).filter(status=Application.Status.PENDING).count()
    held = Capability.objects.for_organization(organization).filter(status=Capability.Status.HELD).count()
    waiting = "application waits for approval" if pending == 1 else "applications wait for approval"
    changed = "changed capability is held" if held == 1 else "changed capabilities are held"
    duties = [
        (pending, Duty(f"{pending} {waiting}", _admin(Application) + "?status__exact=pending")),
        (held, Duty(f"{held} {changed}", _admin(Capability) + "?status__exact=held")),
    ]
    return [duty for count, duty in duties if count]


def _read_questions(membership: Membership) -> list[Duty]:
    """Return what waits for this person's yes or no."""
    calls = find_answerable(membership).waiting().count()
    requests = find_open_requests(membership).count()
    wait = "call waits" if calls == 1 else "calls wait"
    ask = "person asks" if requests == 1 else "people ask"
    questions = [
        (calls, Duty(f"{calls} {wait} for your approval", reverse("policy:approvals"))),
        (requests, Duty(f"{requests} {ask} you for a rule", reverse("policy:requests"))),
    ]
    return [duty for count, duty in questions if count]


def _admin(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
