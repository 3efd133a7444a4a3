"""An alert in words, as programs get it, and the way to its events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from orgs.alerts.signals import Signal
from orgs.models import Alert, AlertKind, AlertSettings
from orgs.models.alerts import DAYS

_MOMENT = dt.timedelta(seconds=1)


def make_title(kind: AlertKind, name: str, signals: Sequence[Signal], settings: AlertSettings) -> str:
    """Return one sentence without a full stop. Names are quoted: anybody may have chosen them."""
    number, first = len(signals), signals[0].what
    name = f"“{name[:80]}”"
    if kind == AlertKind.NEW_CAPABILITY:
        return f"{name} used {first if number == 1 else f'{number} capabilities'} for the first time"
    if kind == AlertKind.NEW_NETWORK:
        where = first if number == 1 else f"{number} networks"
        return f"{name} called from {where} for the first time in {settings.network_days} days"
    if kind == AlertKind.DENIAL_SPIKE:
        return f"{name}: {signals[-1].measure}"
    return f"{name} called {'once' if number == 1 else f'{number} times'} outside of hours"


def make_reason(kind: AlertKind, signals: Sequence[Signal], settings: AlertSettings) -> str:
    """Return why this is an alert."""
    if kind == AlertKind.NEW_CAPABILITY:
        return "The application was allowed to, and had never done so as far back as the audit trail was read."
    if kind == AlertKind.NEW_NETWORK:
        return (
            f"None of its calls came from there in the {settings.network_days} days before. It may have moved; or "
            "somebody else has its token."
        )
    if kind == AlertKind.DENIAL_SPIKE:
        return (
            f"{signals[-1].usual[:1].upper()}{signals[-1].usual[1:]}. You are told of {settings.denial_floor} and more "
            f"that are {settings.denial_factor} times as many as usual."
        )
    return f"Your hours are {describe_hours(settings)}."


def describe_hours(settings: AlertSettings) -> str:
    days = ", ".join(day.capitalize() for day in DAYS if day in settings.days)
    return f"{days}, {settings.opens:%H:%M} to {settings.closes:%H:%M} {settings.zone}"


def describe_alert(alert: Alert) -> str:
    """Return what a message says of an alert."""
    lines = [f"{alert.title}.", "", alert.reason, ""]
    lines += [f"- {one['what']}{_for(one)}, {one['at'][:16].replace('T', ' ')} UTC" for one in alert.found]
    if alert.count > len(alert.found):
        lines.append(f"- and {alert.count - len(alert.found)} more")
    return "\n".join(lines)


def to_data(alert: Alert) -> dict[str, Any]:
    """Return an alert as webhooks get it."""
    return {
        "alert": {
            "id": str(alert.pk),
            "kind": alert.kind,
            "application": {"id": str(alert.application_id), "name": alert.application_name},
            "count": alert.count,
            "firstAt": alert.first_at.isoformat(),
            "lastAt": alert.last_at.isoformat(),
            "found": alert.found,
        }
    }


def get_alert_path(alert: Alert) -> str:
    return reverse("admin:orgs_alert_change", args=(alert.pk,))


def get_explorer_path(alert: Alert) -> str:
    """Return the address of the alert's calls in the explorer of the audit trail."""
    asked = {
        "organization": alert.organization_id,
        "application": alert.application_id,
        "start": _write(alert.first_at),
        "end": _write(alert.last_at + _MOMENT),
        **_narrow(alert),
    }
    return f"{reverse('admin:audit_auditevent_changelist')}?{urlencode(asked)}"


def _narrow(alert: Alert) -> dict[str, str]:
    if alert.kind == AlertKind.DENIAL_SPIKE:
        return {"outcome": "denied"}
    only = str(alert.found[0]["what"]) if alert.count == 1 and alert.found else ""
    if only and alert.kind == AlertKind.NEW_CAPABILITY:
        return {"capability": only}
    if only and alert.kind == AlertKind.NEW_NETWORK:
        return {"address": only}
    return {"show": "calls"}


def _write(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def _for(one: dict[str, Any]) -> str:
    return f", for {one['for']}" if one.get("for") else ""
