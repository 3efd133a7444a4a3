"""The task queue. A task is a nudge: what is to be done stands in the database, so losing Valkey loses nothing."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.result import AsyncResult
from celery.signals import beat_init, worker_ready
from django.conf import settings
from kombu.exceptions import OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kontext.settings")
log = logging.getLogger(__name__)


class NudgeTask(Task):  # type: ignore[type-arg]
    """A task whose caller does not fail where the broker is away: the periodic sweep finds the same work again."""

    def apply_async(self, *arguments: Any, **options: Any) -> AsyncResult[Any]:
        try:
            return super().apply_async(*arguments, **options)
        except OperationalError as error:
            log.warning("task %s was not queued (%s); its sweep will find the work", self.name, type(error).__name__)
            return AsyncResult(options.get("task_id") or "not-queued", app=self.app)


app = Celery("kontext", task_cls=NudgeTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
@beat_init.connect
def say_ready(**_arguments: Any) -> None:
    """Refuse to work with the default secret key; leave our process ID where the supervisor looks for it."""
    _ = settings.SECRET_KEY  # Django raises ImproperlyConfigured where it is empty
    if path := os.environ.get("KONTEXT_READY_FILE"):
        Path(path).write_text(str(os.getpid()))
