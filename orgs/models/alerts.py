"""What is unusual in an organization's audit trail, and what must be remembered to tell that it is."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from functools import lru_cache

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from orgs.ids import uuid7
from orgs.models.organizations import Organization
from orgs.models.people import User
from orgs.querysets import OrganizationOwnedQuerySet

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class AlertKind(models.TextChoices):
    NEW_CAPABILITY = "new_capability", "New capability"
    DENIAL_SPIKE = "denial_spike", "Many denials"
    OFF_HOURS = "off_hours", "Outside of hours"
    NEW_NETWORK = "new_network", "New network"


@lru_cache(maxsize=1)
def list_zones() -> tuple[str, ...]:
    """Return the names of all time zones. Found on disk once: that takes a while."""
    return tuple(sorted(zoneinfo.available_timezones()))


def validate_zone(name: str) -> None:
    if name not in list_zones():
        raise ValidationError("Enter a time zone by its name, such as Europe/Berlin or UTC.")


def validate_days(days: list[str]) -> None:
    if not set(days) <= set(DAYS):
        raise ValidationError("Choose days of the week.")


def _work_days() -> list[str]:
    return list(DAYS[:5])


class AlertSettings(models.Model):
    """What an organization wants to be alerted of. Without a row, the defaults hold."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="alert_settings"
    )
    new_capability = models.BooleanField(default=True)
    denial_spike = models.BooleanField(default=True)
    denial_floor = models.PositiveIntegerField(
        default=20, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )
    denial_factor = models.PositiveIntegerField(default=5, validators=[MinValueValidator(2), MaxValueValidator(1000)])
    # Off: nobody but the organization knows its hours.
    off_hours = models.BooleanField(default=False)
    days = ArrayField(models.CharField(max_length=3), default=_work_days, blank=True, validators=[validate_days])
    opens = models.TimeField(default=dt.time(7))
    closes = models.TimeField(default=dt.time(20))
    zone = models.CharField(max_length=64, default="UTC", validators=[validate_zone])
    off_hours_autonomous = models.BooleanField(default=False)
    new_network = models.BooleanField(default=True)
    network_days = models.PositiveIntegerField(default=30, validators=[MinValueValidator(1), MaxValueValidator(365)])
    repeat_hours = models.PositiveIntegerField(default=24, validators=[MinValueValidator(1), MaxValueValidator(168)])

    objects = OrganizationOwnedQuerySet["AlertSettings"].as_manager()

    class Meta:
        verbose_name_plural = "alert settings"

    def __str__(self) -> str:
        return f"Alerts of {self.organization}"


class AlertWatch(models.Model):
    """How far the organization's tree has been read for alerts. What is below `quiet_until` is learned from, silently.

    Changes in the transaction of what was found, so whoever is killed is followed without gap or repetition.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="alert_watch"
    )
    position = models.BigIntegerField()
    quiet_until = models.BigIntegerField()
    read_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"at {self.position}"


class Alert(models.Model):
    """Something unusual, told once: what else is found of the same `key` for a while is added to it.

    `found` lists what was found ({"what", "at", "event"}), the first ones; `count` counts all of it.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=32, choices=AlertKind.choices)
    key = models.CharField(max_length=64)
    title = models.CharField(max_length=255)
    reason = models.TextField()
    application_id = models.UUIDField()
    application_name = models.CharField(max_length=255)
    found = models.JSONField(default=list, blank=True)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    raised_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    objects = OrganizationOwnedQuerySet["Alert"].as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=("organization", "kind", "key", "-first_at"), name="orgs_alert_by_key"),
            models.Index(fields=("organization",), condition=Q(state="open"), name="orgs_alert_open"),
        ]

    def __str__(self) -> str:
        return self.title


class SeenCapability(models.Model):
    """That an application has used a capability. No foreign key: the log names applications that are gone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    application_id = models.UUIDField()
    integration = models.CharField(max_length=64, blank=True)
    capability = models.CharField(max_length=255, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "application_id", "integration", "capability"), name="orgs_seencapability_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.integration}:{self.capability}"


class SeenNetwork(models.Model):
    """From where an application has called (a /24, or a /48 of IPv6), and when last; to about an hour."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    application_id = models.UUIDField()
    network = models.CharField(max_length=43)
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("organization", "application_id", "network"), name="orgs_seennetwork_once")
        ]

    def __str__(self) -> str:
        return self.network


class DenialCount(models.Model):
    """How many calls of an application were denied in a quarter of an hour. Kept for two days."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    application_id = models.UUIDField()
    quarter = models.DateTimeField()
    count = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("organization", "application_id", "quarter"), name="orgs_denialcount_once")
        ]

    def __str__(self) -> str:
        return f"{self.count} at {self.quarter}"
