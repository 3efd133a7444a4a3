"""What an organization wants to be alerted of."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import AlertSettings, Organization
from orgs.models.alerts import DAYS

FIELDS = tuple(field.name for field in AlertSettings._meta.concrete_fields if field.name != "organization")


def set_alert_settings(*, organization: Organization, actor: Actor | None = None, **given: Any) -> AlertSettings:
    """Change what is given of FIELDS. Saying what holds already changes nothing. Raises ValidationError, by field."""
    with transaction.atomic():
        AlertSettings.objects.bulk_create([AlertSettings(organization=organization)], ignore_conflicts=True)
        settings = AlertSettings.objects.select_for_update().get(organization=organization)
        before = _describe(settings)
        for name in given:
            if name not in FIELDS:
                raise TypeError(f"{name} is no setting of alerts")
            setattr(settings, name, given[name])
        settings.days = (
            [day for day in DAYS if day in settings.days] if set(settings.days) <= set(DAYS) else settings.days
        )
        settings.full_clean()
        _check_hours(settings)
        after = _describe(settings)
        if after == before:
            return settings
        settings.save()
        changes = {name: [before[name], after[name]] for name in FIELDS if before[name] != after[name]}
        record_event(
            type=EventType.ALERT_SETTINGS_CHANGED,
            organization_id=organization.pk,
            actor=actor or make_actor(),
            details={"name": organization.name, "changes": changes},
        )
    return settings


def _check_hours(settings: AlertSettings) -> None:
    if settings.off_hours and not settings.days:
        raise ValidationError({"days": "Choose at least one day, or switch this alert off."})
    if settings.opens == settings.closes:
        raise ValidationError({"closes": "Choose an end that isn't the beginning."})


def _describe(settings: AlertSettings) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in FIELDS}
    return {name: f"{value:%H:%M}" if isinstance(value, dt.time) else value for name, value in values.items()}
