"""Reads of rules that are used twice."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from orgs.querysets import OrganizationOwnedQuerySet

M = TypeVar("M", bound=models.Model)


class RuleQuerySet(OrganizationOwnedQuerySet[M]):
    def enabled(self) -> Self:
        return self.filter(is_enabled=True)

    def personal(self, user: Any) -> Self:
        """Return what a person has said in their own layer; not what they inherit from their groups."""
        return self.filter(layer="user", user=user)

    def inherited(self, user: Any) -> Self:
        """Return what a person's groups say in their layer."""
        return self.filter(layer="user", group__group_memberships__user=user).distinct()

    def with_names(self) -> Self:
        """Fetch along what a sentence about each rule names."""
        return self.select_related("user", "group", "application", "integration")


class ApprovalQuerySet(OrganizationOwnedQuerySet[M]):
    def waiting(self) -> Self:
        """Return what somebody can decide now."""
        return self.filter(status="pending", expires_at__gt=timezone.now())

    def in_force(self) -> Self:
        """Return approvals that may let a call pass now."""
        unexpired = Q(expires_at__gt=timezone.now()) | Q(scope="rule", rule__isnull=False)
        return self.filter(unexpired, status="approved")

    def standing(self) -> Self:
        """Return approvals in force that a call doesn't use up."""
        return self.in_force().exclude(scope="once")

    def with_names(self) -> Self:
        """Fetch along what a page names."""
        return self.select_related("organization", "user", "application", "integration", "settled_by", "rule")
