"""Reads of integrations and connections that are used twice."""

from __future__ import annotations

import datetime as dt
from typing import Any, Self, TypeVar

from django.db import models
from django.db.models import Q
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

    def due_for_refresh(self, *, ahead: dt.timedelta, idle: dt.timedelta) -> Self:
        """Return what expires soon, failed or was not renewed for long, and may be tried now; the most urgent first."""
        now = timezone.now()
        expiring = Q(status="active", expires_at__lt=now + ahead) | Q(status="error")
        expiring |= Q(status="active", is_renewable=True, credential__updated_at__lt=now - idle)
        may_be_tried = Q(refresh_retry_at__isnull=True) | Q(refresh_retry_at__lt=now)
        rows = self.filter(expiring, may_be_tried, integration__auth_mode="oauth")
        return rows.exclude(integration__status="disabled").order_by("expires_at")
