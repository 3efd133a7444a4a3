"""Periodic work of this floor. Each task may run twice, or late, without harm."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone
from social_django.models import Association, Nonce

from orgs.models import IssuedToken
from orgs.oauth.registration import delete_unclaimed_applications
from orgs.outlets.checkpoints import get_checkpoint_outlets
from orgs.outlets.configured import get_outlets
from orgs.services import send_notices
from orgs.services.give_checkpoints import give_checkpoints
from orgs.services.publish_checkpoints import deliver_checkpoints, publish_checkpoints
from orgs.services.rotate_signing_keys import rotate_signing_keys
from orgs.services.stream_events import stream_events
from orgs.services.watch_events import forget_seen, watch_events

# A little less than the schedule's own, so that no turn waits for the one before.
STREAM_SECONDS = 4.0
CHECKPOINT_SECONDS = 20.0
NOTICE_SECONDS = 9.0
WATCH_SECONDS = 25.0


@shared_task(name="orgs.rotate_signing_keys", ignore_result=True)
def rotate_keys() -> None:
    rotate_signing_keys()


@shared_task(name="orgs.delete_expired_tokens", ignore_result=True)
def delete_expired_tokens() -> None:
    """Delete what no longer verifies anyway: codes, tokens, sessions, and sign-ins that were never completed."""
    call_command("cleartokens")
    call_command("clearsessions")
    yesterday = timezone.now() - dt.timedelta(days=1)
    IssuedToken.objects.filter(expires_at__lt=yesterday).delete()
    Nonce.objects.filter(timestamp__lt=yesterday.timestamp()).delete()
    Association.objects.filter(issued__lt=yesterday.timestamp()).delete()


@shared_task(name="orgs.delete_unclaimed_applications", ignore_result=True)
def delete_unclaimed() -> None:
    delete_unclaimed_applications()


@shared_task(name="orgs.publish_checkpoints", ignore_result=True)
def publish() -> None:
    publish_checkpoints()
    deliver_checkpoints()
    for name in get_checkpoint_outlets():
        give_to.apply_async((name,), expires=CHECKPOINT_SECONDS)


@shared_task(name="orgs.give_checkpoints_to_outlet", ignore_result=True)
def give_to(name: str) -> None:
    outlet = get_checkpoint_outlets().get(name)
    if outlet is not None:
        give_checkpoints(outlet, seconds=CHECKPOINT_SECONDS)


@shared_task(name="orgs.stream_events", ignore_result=True)
def stream() -> None:
    """Give each outlet a task of its own: one that hangs keeps no other waiting."""
    for name in get_outlets():
        stream_to.apply_async((name,), expires=STREAM_SECONDS)


@shared_task(name="orgs.stream_to_outlet", ignore_result=True)
def stream_to(name: str) -> None:
    outlet = get_outlets().get(name)
    if outlet is not None:
        stream_events(outlet, seconds=STREAM_SECONDS)


@shared_task(name="orgs.send_notices", ignore_result=True)
def send_due_notices() -> None:
    """Give each a task of its own: a place that hangs keeps no other waiting."""
    for delivery_id in send_notices.find_due():
        send_one_notice.apply_async((str(delivery_id),), expires=NOTICE_SECONDS)


@shared_task(name="orgs.send_notice", ignore_result=True)
def send_one_notice(delivery_id: str) -> None:
    send_notices.send_notice(delivery_id=UUID(delivery_id))


@shared_task(name="orgs.watch_events", ignore_result=True)
def watch() -> None:
    watch_events(seconds=WATCH_SECONDS)


@shared_task(name="orgs.forget_notices", ignore_result=True)
def forget_notices() -> None:
    send_notices.forget_notices()
    forget_seen()
