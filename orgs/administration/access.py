"""Who may see and change what in the admin: a person's roles in their active memberships, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from django.db import models
from django.http import HttpRequest

from orgs.models import Membership, Organization, User

M = TypeVar("M", bound=models.Model)

WRITERS = frozenset({Membership.Role.OWNER, Membership.Role.ADMIN})
READERS = WRITERS | {Membership.Role.AUDITOR, Membership.Role.POLICY_AUTHOR}


@dataclass(frozen=True, slots=True)
class Access:
    """The organizations a person may look into, with their role there. A superuser may do everything everywhere."""

    is_superuser: bool
    roles: Mapping[UUID, str]

    def organizations(self, roles: Collection[str]) -> frozenset[UUID]:
        return frozenset(key for key, role in self.roles.items() if role in roles)

    def covers(self, organization_ids: Collection[UUID], roles: Collection[str]) -> bool:
        """Tell whether one of these organizations is one in which the person has one of these roles."""
        return self.is_superuser or not self.organizations(roles).isdisjoint(organization_ids)

    @property
    def spans_organizations(self) -> bool:
        return self.is_superuser or len(self.organizations(READERS)) > 1


def get_access(request: HttpRequest) -> Access:
    """Return what the request's user may do; read once a request."""
    found: Access | None = getattr(request, "_kontext_access", None)
    if found is None:
        found = _read_access(request)
        request._kontext_access = found  # type: ignore[attr-defined]
    return found


def narrow(
    queryset: models.QuerySet[M], access: Access, *, roles: Collection[str] = READERS, lookup: str | None = None
) -> models.QuerySet[M]:
    """Return the rows of organizations in which the person has one of `roles`.

    Rows of the whole installation (`lookup` None and nothing in the model that leads to an organization) are for
    superusers alone.
    """
    if access.is_superuser:
        return queryset
    lookup = lookup or find_organization_lookup(queryset.model)
    if lookup is None:
        return queryset.none()
    condition = {f"{lookup}__in": access.organizations(roles)}
    if "__" not in lookup:
        return queryset.filter(**condition)
    # By key: a join to many rows would double what it finds, and forbid `.distinct()`-less deletes.
    return queryset.filter(pk__in=queryset.model._default_manager.filter(**condition).values("pk"))


def find_organization_lookup(model: type[models.Model]) -> str | None:
    """Return the way from a model to the organization that owns its rows."""
    if issubclass(model, Organization):
        return "pk"
    if issubclass(model, User):
        return "memberships__organization"
    columns = {field.attname for field in model._meta.concrete_fields}
    if "organization_id" in columns:
        return "organization_id"
    return "user__memberships__organization" if "user_id" in columns else None


def get_organization_ids(row: models.Model) -> frozenset[UUID]:
    """Return the organizations a row belongs to: one, or those its person is in, or none for the installation's."""
    if isinstance(row, Organization):
        return frozenset({row.pk})
    if hasattr(row, "organization_id"):
        return frozenset({row.organization_id} - {None})
    person = row.pk if isinstance(row, User) else getattr(row, "user_id", None)
    if person is None:
        return frozenset()
    return frozenset(Membership.objects.filter(user=person).values_list("organization_id", flat=True))


def _read_access(request: HttpRequest) -> Access:
    user = request.user
    if not user.is_authenticated or not user.is_active:
        return Access(is_superuser=False, roles={})
    mine = Membership.objects.active().filter(user=user).values_list("organization_id", "role")
    return Access(is_superuser=bool(user.is_superuser), roles=dict(mine))
