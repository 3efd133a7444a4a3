"""Reads of integrations and connections that are used twice."""

from __future__ import annotations

import datetime as dt
from typing import Any, Self, TypeVar

from django.db import models
from django.utils import timezone

from orgs.querysets import OrganizationOwnedQuerySet

M = TypeVar("M", bound=models.Model)


class IntegrationQuerySet(OrganizationOwnedQuerySet[M]):
    def active(self) -> Self:
        return self.filter(status="active")


class CapabilityQuerySet(OrganizationOwnedQuerySet[M]):
    def offered(self) -> Self:
        """Return the capabilities that a client may see: neither held nor gone from the integration."""
        return self.filter(status="active", integration__status="active")


class ConnectionQuerySet(OrganizationOwnedQuerySet[M]):
    def usable(self) -> Self:
        return self.filter(status="active", integration__status="active")

    def of_user(self, user: Any) -> Self:
        return self.filter(user=user)

    def expiring_within(self, period: dt.timedelta) -> Self:
        return self.filter(status="active", expires_at__lt=timezone.now() + period)
