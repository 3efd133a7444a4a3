"""Background work of this floor. What is to be done stands in the database: a lost task is found by the next sweep.

Each task may run twice, late, or at the same time as itself, without harm.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from celery import shared_task
from django.db import connection as database
from django.utils import timezone

from connections.errors import ConnectionsError
from connections.models import Connection, Integration, Revocation
from connections.services.confirm_revocations import confirm_revocation
from connections.services.discover_capabilities import discover_capabilities
from connections.services.forget_sessions import forget_sessions
from connections.services.recover_refreshes import recover_refreshes
from connections.services.refresh import get_credential
from connections.services.tell_of_connection import tell_of_expiring

log = logging.getLogger(__name__)

# Tokens are renewed this long before they end, so that calls need not wait for it.
REFRESH_AHEAD = dt.timedelta(minutes=5)
REFRESH_IDLE = dt.timedelta(days=1)
# One sweep ends before the next one begins, even where each integration takes its whole time-out.
_SWEEP_SECONDS = 50.0
_BATCH = 500
# An integration that answers slowly must not keep the others' connections waiting.
_THREADS = 8


@shared_task(name="connections.refresh_expiring", ignore_result=True)
def refresh_expiring() -> None:
    """Renew what expires soon, the most urgent first, and try again what failed for no fault of the person.

    What is never used is renewed once a day: many integrations end refresh tokens that lie idle.
    """
    recover_refreshes()
    due = Connection.objects.due_for_refresh(ahead=REFRESH_AHEAD, idle=REFRESH_IDLE).values_list("pk", flat=True)
    end = time.monotonic() + _SWEEP_SECONDS
    with ThreadPoolExecutor(_THREADS) as pool:
        for connection_id in due[:_BATCH]:
            pool.submit(_renew, connection_id, end)


@shared_task(name="connections.confirm_revocations", ignore_result=True)
def confirm_revocations() -> None:
    """Have revoked what is due to be."""
    end = time.monotonic() + _SWEEP_SECONDS
    due = Revocation.objects.filter(status=Revocation.Status.PENDING, next_attempt_at__lte=timezone.now())
    for revocation in due.order_by("next_attempt_at")[:_BATCH]:
        if time.monotonic() > end:
            return
        confirm_revocation(revocation=revocation)


@shared_task(name="connections.discover", ignore_result=True)
def discover(integration_id: str) -> None:
    """List an integration's tools, now that somebody has connected it."""
    integration = Integration.objects.active().filter(pk=integration_id).first()
    if integration is None:
        return
    try:
        discover_capabilities(integration=integration)
    except ConnectionsError as error:
        log.info("the tools of integration %s were not listed: %s", integration_id, error)


@shared_task(name="connections.discover_pending", ignore_result=True)
def discover_pending() -> None:
    """List the tools of integrations that are connected but whose tools nobody has listed yet."""
    pending = Integration.objects.active().filter(
        category=Integration.Category.GATEWAY_REMOTE_MCP,
        capabilities__isnull=True,
        connections__status=Connection.Status.ACTIVE,
    )
    for integration_id in pending.values_list("pk", flat=True).distinct()[:_BATCH]:
        discover(str(integration_id))


@shared_task(name="connections.forget_sessions", ignore_result=True)
def forget_connect_sessions() -> None:
    forget_sessions()


@shared_task(name="connections.tell_of_expiring", ignore_result=True)
def tell_expiring() -> None:
    tell_of_expiring()


def _renew(connection_id: UUID, end: float) -> None:
    if time.monotonic() > end:
        return
    try:
        get_credential(
            connection_id=connection_id,
            min_seconds=REFRESH_AHEAD.total_seconds(),
            max_age=REFRESH_IDLE.total_seconds(),
            deadline=time.monotonic(),
        )
    except ConnectionsError as error:
        log.info("connection %s was not renewed: %s", connection_id, error)
    except Exception:
        log.exception("connection %s was not renewed", connection_id)
    finally:
        database.close()  # this thread's own
