"""An organization as a decision sees it: people, applications, integrations and capabilities by the names that
requests use. What was read is remembered, so a batch of a thousand costs as many queries as it names things.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from connections.models import ApplicationIntegration, Capability, Integration
from orgs.models import Application, GroupMembership, Identity, IdentityProvider, Membership, Organization
from policy.compile import load_current_policy

# As in the gateway: a tool that nobody has looked at counts as the worst it could be, and can't be used anyway.
UNKNOWN_CLASS = "destructive"


@dataclass(frozen=True, slots=True)
class Person:
    """`name` is how requests call the person: their subject at the identity provider, or else our identifier."""

    id: str
    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Program:
    """An application; `name` is its client ID, `integrations` those that it may use at all."""

    id: str
    name: str
    integrations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tool:
    """A capability that can be used: offered, and not held because its definition has changed."""

    integration: str
    slug: str
    name: str
    klass: str


class World:
    """Everything that is not there, suspended, or another organization's is None alike."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.policy = load_current_policy(organization.pk)
        self._people: dict[str, Person | None] = {}
        self._programs: dict[str, Program | None] = {}

    def find_person(self, name: str) -> Person | None:
        if name not in self._people:
            self._people[name] = self._read_person(name)
        return self._people[name]

    def find_program(self, name: str) -> Program | None:
        """Find an application by its client ID or identifier."""
        if name not in self._programs:
            key = _read_uuid(name)
            rows = Application.objects.for_organization(self.organization).usable()
            found = rows.filter(pk=key) if key else rows.filter(client_id=name)
            self._programs[name] = next(iter(self._make_programs(found.values_list("pk", "client_id"))), None)
        return self._programs[name]

    def list_people(self) -> list[Person]:
        members = Membership.objects.active().filter(organization=self.organization)
        people = self._make_people(members.values_list("user_id", flat=True))
        self._people |= {person.name: person for person in people}
        return people

    def list_programs(self) -> list[Program]:
        rows = Application.objects.for_organization(self.organization).usable()
        programs = self._make_programs(rows.values_list("pk", "client_id"))
        self._programs |= {program.name: program for program in programs}
        return programs

    @cached_property
    def integrations(self) -> dict[str, str]:
        """Identifiers by slug, of those that are active."""
        rows = Integration.objects.for_organization(self.organization).active().values_list("slug", "pk")
        return {slug: str(key) for slug, key in rows}

    @cached_property
    def tools(self) -> dict[tuple[str, str], Tool]:
        """Tools by the slug of their integration and their name."""
        rows = Capability.objects.for_organization(self.organization).offered().filter(kind=Capability.Kind.TOOL)
        columns = rows.values_list("integration_id", "integration__slug", "name", "klass")
        return {(slug, name): Tool(str(key), slug, name, klass) for key, slug, name, klass in columns}

    def _read_person(self, name: str) -> Person | None:
        # The provider's subject comes first: it is what a client of the same provider knows a person by.
        identity = Identity.objects.filter(issuer__in=self._issuers, subject=name).values_list("user_id", flat=True)
        key = identity.first() or _read_uuid(name)
        if key is None:
            return None
        members = Membership.objects.active().filter(organization=self.organization, user=key)
        return next(iter(self._make_people(members.values_list("user_id", flat=True))), None)

    @cached_property
    def _issuers(self) -> list[str]:
        rows = IdentityProvider.objects.for_organization(self.organization).filter(is_enabled=True)
        return list(rows.values_list("issuer", flat=True))

    def _make_people(self, keys: Iterable[UUID]) -> list[Person]:
        keys = list(keys)
        groups: dict[UUID, set[str]] = defaultdict(set)
        rows = GroupMembership.objects.filter(organization=self.organization, user__in=keys)
        for user, group in rows.values_list("user_id", "group_id"):
            groups[user].add(str(group))
        identities = Identity.objects.filter(issuer__in=self._issuers, user__in=keys).order_by("-created_at")
        subjects = dict(identities.values_list("user_id", "subject"))
        return [Person(str(key), subjects.get(key, str(key)), frozenset(groups[key])) for key in keys]

    def _make_programs(self, rows: Iterable[tuple[UUID, str]]) -> list[Program]:
        rows = list(rows)
        allowed: dict[UUID, set[str]] = defaultdict(set)
        links = ApplicationIntegration.objects.filter(application__in=[key for key, _ in rows])
        for application, integration in links.values_list("application_id", "integration_id"):
            allowed[application].add(str(integration))
        return [Program(str(key), name, frozenset(allowed[key])) for key, name in rows]


def _read_uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None
