"""Periodic work of this floor. Each task may run twice, or late, without harm."""

from __future__ import annotations

from celery import shared_task

from audit.partitions import make_partitions
from audit.services.roll_up import roll_up

# A little less than the schedule's own, so that no turn waits for the one before.
ROLL_UP_SECONDS = 4.0


@shared_task(name="audit.make_partitions", ignore_result=True)
def make_partitions_ahead() -> None:
    make_partitions()


@shared_task(name="audit.roll_up", ignore_result=True)
def count_hours() -> None:
    roll_up(seconds=ROLL_UP_SECONDS)
