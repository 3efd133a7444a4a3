"""The admin's first page: what happened, what waits for somebody, and the way to a first governed call."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from audit.models import ApplicationHour, AuditEvent, Outcome, Phase
from audit.types import EventType
from connections.models import ApplicationIntegration, Capability, Connection, Integration
from orgs.access import current_membership
from orgs.admin_site import Access, get_access, narrow
from orgs.administration.activity import EVENT_READERS
from orgs.explorer.asked import Asked, Trail, Window
from orgs.explorer.reading import TooLongError, read_newest, within_time
from orgs.explorer.tally import Reader, tally
from orgs.models import Alert, Application, IdentityProvider, Organization
from orgs.ui.charts import BarChart, make_bar_chart
from policy.models import Rule

_DAYS = 7
_DAY_SECONDS = 86_400
_MOST_DENIALS = 4
_LISTED = 6
_ALLOWED, _DENIED, _FAILED = "Done", "Denied", "Failed"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with what it counts and where the rows behind it are."""

    number: int
    words: str
    url: str


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    why: str
    url: str
    button: str
    is_done: bool


def show_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the context what the person may see of it (UNFOLD["DASHBOARD_CALLBACK"])."""
    access = get_access(request)
    organization = _choose_organization(request, access)
    steps = list_steps(organization)
    sees_events = access.is_superuser or bool(access.organizations(EVENT_READERS))
    return {
        **context,
        "title": "Overview",
        "figures": _count_figures(access),
        "breaking": _list_breaking_connections(access),
        "waiting": narrow(_list_waiting_applications(), access)[:_LISTED],
        "held": narrow(Capability.objects.filter(status="held").select_related("integration"), access)[:_LISTED],
        "spans_organizations": access.spans_organizations,
        "checklist_of": organization,
        "steps": steps if not all(step.is_done for step in steps) else [],
        **(_read_trail(access) if sees_events else {"chart": None, "denials": None}),
        "alerts": _list_open_alerts(access) if sees_events else None,
        "events_url": reverse("admin:audit_auditevent_changelist"),
    }


def list_steps(organization: Organization | None) -> list[Step]:
    """Return the way from nothing to a first governed call, each step with whether it is done."""
    if organization is None:
        add = reverse("admin:orgs_organization_add")
        return [Step("Create an organization", "Everything belongs to one.", add, "Create", False)]
    own = {"organization": organization}
    active = Integration.objects.filter(**own, status="active")
    connected = Connection.objects.filter(**own, status="active").exists() or active.filter(auth_mode="none").exists()
    return [
        Step(
            "Let people sign in",
            "Connect your identity provider: Okta, Entra ID, Google, or any other with OpenID Connect.",
            reverse("admin:orgs_identityprovider_add"),
            "Add the provider",
            IdentityProvider.objects.filter(**own, is_enabled=True).exists(),
        ),
        Step(
            "Add an integration",
            "Choose a service, or enter the address of an MCP server; Kontext finds out the rest.",
            reverse("admin:connections_integration_add"),
            "Add an integration",
            active.exists(),
        ),
        Step(
            "Register an application, and choose what it may use",
            "An agent, a bot, an automation: it gets an identity of its own.",
            reverse("admin:orgs_application_add"),
            "Register",
            ApplicationIntegration.objects.filter(**own, application__status="active").exists(),
        ),
        Step(
            "Connect an account",
            "Each person connects their own in the portal. A key of the organization is entered at the integration.",
            "/connections/",
            "Go to my connections",
            connected,
        ),
        Step(
            "Say what is allowed",
            "Without a rule, everything is denied. The organization, the person and the application must each allow a "
            "call.",
            reverse("admin:policy_rule_add"),
            "Write a rule",
            Rule.objects.filter(**own, layer="org", effect="allow", is_enabled=True).exists(),
        ),
        Step(
            "Make the first governed call",
            "Point an MCP client at the integration's address at the gateway. The call, and why it was allowed or "
            "denied, appears here.",
            reverse("admin:connections_integration_changelist"),
            "Find the address",
            _calls(AuditEvent.objects.for_organization(organization.pk)).exists(),
        ),
    ]


def _choose_organization(request: HttpRequest, access: Access) -> Organization | None:
    """Return whose checklist is shown: the one the person works in, else the one made last."""
    visible = narrow(Organization.objects.all(), access)
    membership = current_membership(request)
    current = visible.filter(pk=membership.organization_id).first() if membership is not None else None
    return current or visible.order_by("-created_at").first()


def _count_figures(access: Access) -> list[Figure]:
    applications = narrow(Application.objects.filter(status="active"), access).count()
    integrations = narrow(Integration.objects.filter(status="active"), access).count()
    connections = narrow(Connection.objects.filter(status="active"), access).count()
    rules = narrow(Rule.objects.filter(is_enabled=True), access).count()
    lists = {name: reverse(f"admin:{name}_changelist") for name in _FIGURES}
    return [
        Figure(applications, "Active applications", f"{lists['orgs_application']}?status__exact=active"),
        Figure(integrations, "Active integrations", f"{lists['connections_integration']}?status__exact=active"),
        Figure(connections, "Active connections", f"{lists['connections_connection']}?status__exact=active"),
        Figure(rules, "Rules in force", f"{lists['policy_rule']}?is_enabled__exact=1"),
    ]


_FIGURES = ("orgs_application", "connections_integration", "connections_connection", "policy_rule")


def _list_breaking_connections(access: Access) -> QuerySet[Any]:
    """Return the connections whose calls fail already, or will: renewing them fails, or nobody can renew them."""
    failing = Q(status__in=("reauthorization_required", "error"))
    ending = Q(is_renewable=False, expires_at__lt=timezone.now() + dt.timedelta(days=_DAYS))
    about_to = Q(status="active") & (Q(refresh_failures__gt=0) | ending)
    rows = Connection.objects.filter(failing | about_to).select_related("user", "integration", "organization")
    return narrow(rows, access).order_by("expires_at", "-created_at")[:_LISTED]


def _list_waiting_applications() -> QuerySet[Any]:
    return Application.objects.filter(status="pending", organization__isnull=False).select_related(
        "owner", "organization"
    )


def _list_open_alerts(access: Access) -> QuerySet[Any]:
    return narrow(Alert.objects.filter(state=Alert.State.OPEN), access, roles=EVENT_READERS)[:_LISTED]


def _read_trail(access: Access) -> dict[str, Any]:
    trail = Trail(None if access.is_superuser else access.organizations(EVENT_READERS))
    now = timezone.now()
    first = dt.datetime.combine(now.date() - dt.timedelta(days=_DAYS - 1), dt.time(), tzinfo=dt.UTC)
    window = Window(first, now + dt.timedelta(seconds=1))
    try:
        with within_time():
            return {"chart": _make_chart(trail, window), "denials": _list_denials(trail, window)}
    except TooLongError:
        return {"chart": None, "denials": None}


def _list_denials(trail: Trail, window: Window) -> list[AuditEvent]:
    denied = Q(outcome=Outcome.DENIED)
    hints = (trail.get_counts(ApplicationHour).filter(denied),)
    asked = Asked(trail, trail.events.filter(denied, decision__isnull=False), hints=hints)
    return read_newest(asked, window, _MOST_DENIALS)


def _make_chart(trail: Trail, window: Window) -> BarChart:
    """Return the calls of the last days: done, denied, failed."""
    days = [window.start.date() + dt.timedelta(days=number) for number in range(_DAYS)]
    calls = Asked(trail, _calls(trail.events), _calls(trail.get_counts(ApplicationHour)))
    counts = {name: dict.fromkeys(days, 0) for name in (_ALLOWED, _DENIED, _FAILED)}
    for (number, outcome), count in tally(calls, window, _DAY_SECONDS, Reader(("outcome",))).numbers.items():
        name = _ALLOWED if outcome == Outcome.OK else _DENIED if outcome == Outcome.DENIED else _FAILED
        counts[name][dt.datetime.fromtimestamp(number * _DAY_SECONDS, dt.UTC).date()] += count
    series = {name: list(by_day.values()) for name, by_day in counts.items()}
    return make_bar_chart("Calls in the last 7 days", days, series, tones=("allow", "deny", "ask"))


def _calls(events: Any) -> Any:
    """Return one event for each call, the last one."""
    return events.filter(type=EventType.CAPABILITY_INVOKED, phase__in=(Phase.COMPLETED, Phase.DENIED))
