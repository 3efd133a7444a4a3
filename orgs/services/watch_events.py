"""Read what is new in each organization's tree, and raise alerts: in order, once, whoever is killed in between.

What was found, the alerts, their events and notices, and how far the tree has been read are one transaction. No call
waits for it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from uuid import UUID

from django.db import transaction
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from audit.models import Tree
from audit.services.record import record_event
from audit.types import EventType
from orgs.alerts.calls import read_calls
from orgs.alerts.signals import Signal, find_signals, is_on
from orgs.alerts.words import describe_alert, get_alert_path, make_reason, make_title, to_data
from orgs.models import (
    Alert,
    AlertKind,
    AlertSettings,
    AlertWatch,
    Application,
    DenialCount,
    Organization,
    SeenCapability,
    SeenNetwork,
)
from orgs.services.give_notice import as_line, give_notice

MOST_EVENTS = 1_000
# How many events before the first reading are learned from, so that what is usual is known to be.
LOOK_BACK = 50_000
MOST_FOUND = 20
# What is new comes in bursts: the first uses of an application are one message.
_NEW_TOGETHER = dt.timedelta(hours=1)
_NEW = (AlertKind.NEW_CAPABILITY, AlertKind.NEW_NETWORK)
_ALERTS_KEPT = dt.timedelta(days=365)
_NETWORKS_KEPT = dt.timedelta(days=366)  # at least the most that network_days may be
_DENIALS_KEPT = dt.timedelta(days=2)


def watch_events(*, seconds: float) -> int:
    """Read for about so long, each organization in turn, and return how many events were read."""
    ends, count = time.monotonic() + seconds, 0
    behind = _find_behind()
    while behind:
        busy = []
        for organization_id in behind:
            if time.monotonic() >= ends:
                return count
            read = _read_batch(organization_id)
            count += read
            if read == MOST_EVENTS:
                busy.append(organization_id)
        behind = busy
    return count


def forget_seen() -> None:
    """Delete what no alert is told by any more, and what was acknowledged a year ago."""
    now = timezone.now()
    SeenNetwork.objects.filter(last_seen_at__lt=now - _NETWORKS_KEPT).delete()
    DenialCount.objects.filter(quarter__lt=now - _DENIALS_KEPT).delete()
    SeenCapability.objects.exclude(application_id__in=Application.objects.values("pk")).delete()
    Alert.objects.filter(state=Alert.State.ACKNOWLEDGED, raised_at__lt=now - _ALERTS_KEPT).delete()


def _find_behind() -> list[UUID]:
    """Return the organizations whose tree has grown, who waited longest first; new ones begin to be watched."""
    trees = Tree.objects.filter(organization_id__in=Organization.objects.values("pk"))
    new = trees.exclude(organization_id__in=AlertWatch.objects.values("organization_id"))
    AlertWatch.objects.bulk_create(
        [
            AlertWatch(organization_id=owner, position=max(0, size - LOOK_BACK), quiet_until=size)
            for owner, size in new.values_list("organization_id", "size")
            if owner is not None
        ],
        ignore_conflicts=True,
    )
    size = Tree.objects.filter(organization_id=OuterRef("organization_id")).values("size")
    behind = AlertWatch.objects.annotate(size=Subquery(size)).filter(size__gt=F("position"))
    return list(behind.order_by(F("read_at").asc(nulls_first=True)).values_list("pk", flat=True))


@transaction.atomic
def _read_batch(organization_id: UUID) -> int:
    watch = AlertWatch.objects.select_for_update(skip_locked=True).filter(pk=organization_id).first()
    tree = Tree.objects.for_organization(organization_id).first()
    if watch is None or tree is None:
        return 0  # somebody else reads it
    start = watch.position
    is_learning = start < watch.quiet_until
    end = min(start + MOST_EVENTS, watch.quiet_until if is_learning else tree.size)
    settings = AlertSettings.objects.filter(pk=organization_id).first() or AlertSettings(
        organization_id=organization_id
    )
    signals = find_signals(organization_id, settings, read_calls(tree, start, end))
    if not is_learning:
        for kind, same in _group(signal for signal in signals if is_on(settings, signal.kind)):
            _tell(settings, kind, same)
    watch.position, watch.read_at = end, timezone.now()
    watch.save(update_fields=["position", "read_at"])
    return end - start


def _group(signals: Iterable[Signal]) -> list[tuple[AlertKind, list[Signal]]]:
    """Return what is told together: of one kind, about one application."""

    def key(signal: Signal) -> tuple[str, str]:
        return signal.kind.value, str(signal.call.application_id)

    return [(AlertKind(kind), list(same)) for (kind, _), same in groupby(sorted(signals, key=key), key)]


def _tell(settings: AlertSettings, kind: AlertKind, signals: Sequence[Signal]) -> None:
    """Raise an alert, or add to the one that was raised of the same a while ago."""
    key, first = str(signals[0].call.application_id), signals[0].call.at
    alerts = Alert.objects.filter(organization=settings.organization_id, kind=kind, key=key)
    newest = alerts.order_by("-first_at").first()
    together = _NEW_TOGETHER if kind in _NEW else dt.timedelta(hours=settings.repeat_hours)
    if newest is not None and first < newest.first_at + together:
        _add(newest, signals)
    else:
        _raise(settings, kind, key, signals)


def _add(alert: Alert, signals: Sequence[Signal]) -> None:
    alert.found = [*alert.found, *_describe(signals)][:MOST_FOUND]
    alert.count += len(signals)
    alert.last_at = max(alert.last_at, *(signal.call.at for signal in signals))
    alert.save(update_fields=["found", "count", "last_at"])


def _raise(settings: AlertSettings, kind: AlertKind, key: str, signals: Sequence[Signal]) -> None:
    call = signals[0].call
    name = as_line(call.application_name) or str(call.application_id)
    alert = Alert.objects.create(
        organization_id=settings.organization_id,
        kind=kind,
        key=key,
        title=as_line(make_title(kind, name, signals, settings)),
        reason=make_reason(kind, signals, settings),
        application_id=call.application_id,
        application_name=name,
        found=_describe(signals)[:MOST_FOUND],
        count=len(signals),
        first_at=min(signal.call.at for signal in signals),
        last_at=max(signal.call.at for signal in signals),
    )
    record_event(
        type=EventType.ALERT_RAISED,
        organization_id=alert.organization_id,
        details={
            "alert": str(alert.pk),
            "kind": kind.value,
            "name": alert.title,
            "application": str(alert.application_id),
            "events": [one["event"] for one in alert.found],
        },
    )
    give_notice(
        organization_id=alert.organization_id,
        kind=f"alert.{kind.value}",
        subject=alert.title,
        text=describe_alert(alert),
        path=get_alert_path(alert),
        data=to_data(alert),
    )


def _describe(signals: Sequence[Signal]) -> list[dict[str, str]]:
    return [
        {
            "what": as_line(signal.what, 120),
            "for": as_line(signal.call.user_name, 80),
            "at": signal.call.at.isoformat(),
            "event": str(signal.call.event),
        }
        for signal in signals
    ]
