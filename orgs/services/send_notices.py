"""Bring notices to where they go: at least once each, with back-off for three days, whoever is killed in between."""

from __future__ import annotations

import datetime as dt
import logging
from uuid import UUID

from django.db import transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from audit.services.record import record_event
from audit.types import EventType
from orgs.models import Delivery, Notice, NoticePlace
from orgs.notices.deliver import deliver
from orgs.notices.errors import DeliveryError, RefusedForGoodError

log = logging.getLogger(__name__)

# Rests between tries; those of the Standard Webhooks specification, to end within three days.
RESTS = tuple(dt.timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 72000))
# Longer than one try takes. Whoever dies in it is followed by another after this.
_LEASE = dt.timedelta(minutes=2)
_MOST_DUE = 200
# An organization whose places all hang must not keep another's waiting.
_MOST_OF_ONE = 10
_KEPT = dt.timedelta(days=90)


def find_due() -> list[UUID]:
    """Return what is to be tried now, whoever waited longest first, and of no organization too much at once."""
    place = Window(RowNumber(), partition_by=[F("organization_id")], order_by=["due_at", "pk"])
    due = Delivery.objects.due().annotate(place_in_line=place).filter(place_in_line__lte=_MOST_OF_ONE)
    return list(due.order_by("due_at", "pk").values_list("pk", flat=True)[:_MOST_DUE])


def send_notice(*, delivery_id: UUID) -> Delivery | None:
    """Try once, unless somebody else does or it isn't due. Returns the delivery as it is then."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return None
    try:
        _check_wanted(delivery)
        deliver(delivery)
    except DeliveryError as error:
        _note_failure(delivery, error)
    else:
        _note(delivery, state=Delivery.State.DELIVERED, delivered_at=timezone.now(), due_at=None, error="")
    return delivery


def retry_delivery(*, delivery: Delivery) -> Delivery:
    """Try again now what rests or was given up: with all its tries before it. Returns what became of it."""
    undelivered = Delivery.objects.filter(pk=delivery.pk).exclude(state=Delivery.State.DELIVERED)
    undelivered.update(state=Delivery.State.PENDING, tries=0, due_at=timezone.now())
    return send_notice(delivery_id=delivery.pk) or delivery


def forget_notices() -> None:
    """Delete notices of months ago. What they told of is in the audit trail."""
    Notice.objects.filter(created_at__lt=timezone.now() - _KEPT).delete()


def _claim(delivery_id: UUID) -> Delivery | None:
    """Take the right to try, by compare-and-set: no lock is held while sending."""
    until = timezone.now() + _LEASE
    if not Delivery.objects.due().filter(pk=delivery_id).update(due_at=until, tries=F("tries") + 1):
        return None
    return Delivery.objects.select_related("notice__organization", "place", "user").get(pk=delivery_id)


def _check_wanted(delivery: Delivery) -> None:
    if delivery.place is None and delivery.user is None:
        raise RefusedForGoodError("the place was deleted before it arrived")
    if delivery.place is not None and not delivery.place.is_enabled:
        raise RefusedForGoodError("the place was switched off before it arrived")
    if delivery.user is not None and not delivery.user.is_active:
        raise RefusedForGoodError("the person was suspended before it arrived")


def _note_failure(delivery: Delivery, error: DeliveryError) -> None:
    is_over = isinstance(error, RefusedForGoodError) or delivery.tries > len(RESTS)
    text = str(error)[:255]
    log.info("notice %s did not arrive: %s", delivery.pk, text)
    if not is_over:
        _note(delivery, due_at=timezone.now() + RESTS[delivery.tries - 1], error=text)
        return
    with transaction.atomic():
        _note(delivery, state=Delivery.State.FAILED, due_at=None, error=text)
        record_event(
            type=EventType.NOTICE_FAILED,
            organization_id=delivery.organization_id,
            outcome="error_remote",
            details={
                "notice": str(delivery.notice_id),
                "kind": delivery.notice.kind,
                "name": _name(delivery),
                "tries": delivery.tries,
                "error": text,
            },
        )


def _name(delivery: Delivery) -> str:
    place: NoticePlace | None = delivery.place
    return str(place or delivery.user or delivery.address)


def _note(delivery: Delivery, **changes: object) -> None:
    for name, value in changes.items():
        setattr(delivery, name, value)
    # By state: of two that tried the same, because one took longer than its lease, the first to arrive counts.
    Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.PENDING).update(**changes)
