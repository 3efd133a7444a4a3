"""Periodic work of this floor. Each task may run twice, or late, without harm."""

from __future__ import annotations

from celery import shared_task

from audit.partitions import make_partitions


@shared_task(name="audit.make_partitions", ignore_result=True)
def make_partitions_ahead() -> None:
    make_partitions()
