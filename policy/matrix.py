"""Who may do what at a glance: of people, applications and capabilities, one or two are chosen, the others laid out.

Every cell says what calls of that kind come to, whatever their arguments: allow, ask, deny, or that it depends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from connections.models import ApplicationIntegration, Capability
from orgs.models import Application, GroupMembership, Membership, Organization
from policy import engine
from policy.compile import load_policy
from policy.engine.partial import Overview

# In the order in which they become rows, then columns.
AXES = ("capability", "user", "application")
MOST = 200
NOBODY = "nobody"
# The application may not use the integration at all, so no rule is asked.
CLOSED = "closed"
DEPENDS = "depends"


@dataclass(frozen=True, slots=True)
class Entry:
    """One person, application or capability; the person with the identifier NOBODY stands for calls without one."""

    id: str
    name: str
    note: str = ""
    integration: str = ""
    klass: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """What is laid out in one direction: up to MOST of `total` entries, of the page that was asked for."""

    name: str
    entries: Sequence[Entry]
    total: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """`states` holds a row of allow, ask, deny, DEPENDS or CLOSED for each entry of `rows`."""

    rows: Axis
    columns: Axis
    states: list[list[str]]


def build_matrix(organization: Organization, chosen: Mapping[str, str], pages: Mapping[str, int]) -> Matrix:
    """Return the matrix of what isn't `chosen` (identifiers by axis); with one left, it is a single column.

    In a handful of queries, and one look at the compiled rules for each cell. What is not there has no entries.
    """
    axes = {name: _load_axis(organization, name, chosen.get(name, ""), pages.get(name, 1)) for name in AXES}
    rows, columns = (*_list_free(chosen), *chosen)[:2]
    fixed = next(name for name in AXES if name not in (rows, columns))
    states = _States(organization, rows, columns, fixed)
    only = axes[fixed].entries[:1]
    table = [
        [states.tell({rows: row, columns: column, fixed: one}) for column in axes[columns].entries for one in only]
        for row in axes[rows].entries
    ]
    return Matrix(axes[rows], axes[columns], table)


def _list_free(chosen: Mapping[str, str]) -> list[str]:
    return [name for name in AXES if not chosen.get(name)]


class _States:
    """What calls come to, with everything that is needed for it read once."""

    def __init__(self, organization: Organization, *axes: str) -> None:
        self._overview = Overview(load_policy(organization.pk))
        self._now = timezone.now().timestamp()
        self._groups: dict[str, frozenset[str]] = _load_groups(organization)
        links = ApplicationIntegration.objects.filter(organization=organization)
        self._open = {(str(a), str(i)) for a, i in links.values_list("application_id", "integration_id")}

    def tell(self, about: Mapping[str, Entry]) -> str:
        user, application, capability = about["user"], about["application"], about["capability"]
        if (application.id, capability.integration) not in self._open:
            return CLOSED
        call = engine.Call(
            user=None if user.id == NOBODY else user.id,
            groups=self._groups.get(user.id, frozenset()),
            application=application.id,
            integration=capability.integration,
            capability=capability.name.partition(":")[2],
            klass=capability.klass,
            arguments={},
            now=self._now,
        )
        effects = self._overview.tell_effects(call)
        return str(next(iter(effects))) if len(effects) == 1 else DEPENDS


def _load_groups(organization: Organization) -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    rows = GroupMembership.objects.filter(organization=organization).values_list("user_id", "group_id")
    for user, group in rows:
        groups[str(user)].add(str(group))
    return {user: frozenset(of_user) for user, of_user in groups.items()}


def _load_axis(organization: Organization, name: str, chosen: str, page: int) -> Axis:
    load = {"user": _load_people, "application": _load_applications, "capability": _load_capabilities}[name]
    entries, total = load(organization, chosen, (max(1, page) - 1) * MOST)
    return Axis(name, entries, total)


def _load_people(organization: Organization, chosen: str, first: int) -> tuple[list[Entry], int]:
    nobody = Entry(NOBODY, "Nobody", "on its own")
    if chosen == NOBODY:
        return [nobody], 1
    members = Membership.objects.active().filter(organization=organization).select_related("user")
    if chosen:
        members = members.filter(user=UUID(chosen))
    ordered = members.order_by("user__name", "user__email", "pk")
    entries = [Entry(str(one.user_id), str(one.user)) for one in ordered[first : first + MOST]]
    return [*([nobody] if not chosen and not first else []), *entries], ordered.count()


def _load_applications(organization: Organization, chosen: str, first: int) -> tuple[list[Entry], int]:
    rows = Application.objects.for_organization(organization).order_by("name", "pk")
    if chosen:
        rows = rows.filter(pk=UUID(chosen))
    return [Entry(str(one.pk), str(one)) for one in rows[first : first + MOST]], rows.count()


def _load_capabilities(organization: Organization, chosen: str, first: int) -> tuple[list[Entry], int]:
    rows = Capability.objects.for_organization(organization).filter(kind=Capability.Kind.TOOL)
    rows = rows.exclude(status=Capability.Status.REMOVED).select_related("integration")
    if chosen:
        rows = rows.filter(pk=UUID(chosen))
    ordered = rows.order_by("integration__slug", "name", "pk")
    entries = [
        Entry(
            str(one.pk),
            f"{one.integration.slug}:{one.name}",
            one.get_klass_display(),
            str(one.integration_id),
            one.klass,
        )
        for one in ordered[first : first + MOST]
    ]
    return entries, ordered.count()
