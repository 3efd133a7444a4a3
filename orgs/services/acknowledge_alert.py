from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Alert, User


def acknowledge_alert(*, alert: Alert, user: User) -> None:
    """Say that somebody has looked into it. Of two who say so the first counts."""
    now = timezone.now()
    with transaction.atomic():
        still_open = Alert.objects.filter(pk=alert.pk, state=Alert.State.OPEN)
        if not still_open.update(state=Alert.State.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=user):
            return
        record_event(
            type=EventType.ALERT_ACKNOWLEDGED,
            organization_id=alert.organization_id,
            actor=make_actor(user=user),
            details={"alert": str(alert.pk), "kind": alert.kind, "name": alert.title},
        )
