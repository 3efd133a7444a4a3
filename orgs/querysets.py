"""Authorization as a queryset: what a floor above may read starts with the organization."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

M = TypeVar("M", bound=models.Model)


class OrganizationOwnedQuerySet(models.QuerySet[M]):
    """For every model with an `organization`."""

    def for_organization(self, organization: Any) -> Self:
        """Accept an Organization or its key."""
        return self.filter(organization=organization)


class MembershipQuerySet(OrganizationOwnedQuerySet[M]):
    def active(self) -> Self:
        """Return memberships that may act: neither they, their user nor their organization is suspended."""
        return self.filter(status="active", user__is_active=True, organization__status="active")

    def administrators(self) -> Self:
        return self.active().filter(role__in=("owner", "admin"))


class DelegationQuerySet(OrganizationOwnedQuerySet[M]):
    def usable(self) -> Self:
        unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
        return self.filter(unexpired, revoked_at__isnull=True)


class ApplicationQuerySet(OrganizationOwnedQuerySet[M]):
    def usable(self) -> Self:
        return self.filter(status="active", organization__status="active")


class IssuedTokenQuerySet(OrganizationOwnedQuerySet[M]):
    def revoked_and_unexpired(self) -> Self:
        """Return the tokens that a verifier would still accept if it did not know better."""
        return self.filter(revoked_at__isnull=False, expires_at__gt=timezone.now())


class SavedSearchQuerySet(OrganizationOwnedQuerySet[M]):
    def visible_to(self, user: Any) -> Self:
        """Return a person's own searches, and those that others share."""
        return self.filter(Q(owner=user) | Q(is_shared=True))


class NoticePlaceQuerySet(OrganizationOwnedQuerySet[M]):
    def told_of(self, kind: str) -> Self:
        """Return the places in use that get notices of this kind."""
        return self.filter(Q(kinds=[]) | Q(kinds__contains=[kind]), is_enabled=True)


class DeliveryQuerySet(OrganizationOwnedQuerySet[M]):
    def due(self) -> Self:
        return self.filter(state="pending", due_at__lte=timezone.now())
