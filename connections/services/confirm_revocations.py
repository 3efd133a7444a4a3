"""Run the errands that revoked connections left behind: have their tokens revoked where they came from."""

from __future__ import annotations

import datetime as dt
import random

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.services.record import Subject, record_event
from audit.types import EventType
from connections.catalogue.reading import read_stored
from connections.errors import RevocationFailedError
from connections.models import Connection, Revocation
from connections.oauth.clients import Client
from connections.oauth.dialect import Revocation as Style
from connections.oauth.tokens import revoke_token
from connections.sealing import open_errand
from orgs.vault import VaultError

# With the back-off below, a service may be down for five days before anybody has to look after a token by hand.
MAX_ATTEMPTS = 30
_FIRST_RETRY_SECONDS = 10.0
_LAST_RETRY_SECONDS = 6 * 3600.0
# A worker that dies with an errand in hand leaves it to the others after this time.
_LEASE = dt.timedelta(minutes=2)


def confirm_revocation(*, revocation: Revocation) -> Revocation:
    """Try a pending errand once. Its receipt says what came of it; a failure is tried again later, with back-off."""
    if not _lease(revocation):
        return revocation
    try:
        errand = open_errand(revocation)
        client = Client(errand["client_id"], errand["client_secret"], errand["auth_method"])
        style = read_stored(Style, errand["style"]) if errand.get("style") else None
        for token, hint in errand["tokens"]:
            values = errand.get("values")
            revoke_token(errand["endpoint"], client, token=token, hint=hint, style=style, values=values)
    except RevocationFailedError as error:
        _postpone(revocation, str(error))
    except VaultError as error:
        _settle(revocation, Revocation.Status.FAILED, str(error))
    else:
        _settle(revocation, Revocation.Status.REVOKED, "")
    revocation.refresh_from_db()
    return revocation


def _lease(revocation: Revocation) -> bool:
    """Take the errand for ourselves, whoever else found it due."""
    due = Revocation.objects.filter(
        pk=revocation.pk, status=Revocation.Status.PENDING, next_attempt_at__lte=timezone.now()
    )
    taken = due.update(attempts=F("attempts") + 1, next_attempt_at=timezone.now() + _LEASE)
    revocation.refresh_from_db()
    return bool(taken)


def _postpone(revocation: Revocation, error: str) -> None:
    if revocation.attempts >= MAX_ATTEMPTS:
        _settle(revocation, Revocation.Status.FAILED, error)
        return
    longest = min(_FIRST_RETRY_SECONDS * 2 ** min(revocation.attempts - 1, 16), _LAST_RETRY_SECONDS)
    wait = dt.timedelta(seconds=longest * random.uniform(0.5, 1))  # noqa: S311
    Revocation.objects.filter(pk=revocation.pk).update(error=error[:255], next_attempt_at=timezone.now() + wait)


def _settle(revocation: Revocation, status: str, error: str) -> None:
    with transaction.atomic():
        Revocation.objects.filter(pk=revocation.pk).update(
            status=status, error=error[:255], errand=b"", next_attempt_at=None, settled_at=timezone.now()
        )
        # Only while the connection is still the revoked one: connected again, it has another story.
        Connection.objects.filter(revocations=revocation.pk, status=Connection.Status.REVOKED).update(revocation=status)
        record_event(
            type=EventType.CONNECTION_REVOCATION_CONFIRMED,
            organization_id=revocation.organization_id,
            outcome="ok" if status == Revocation.Status.REVOKED else "error_remote",
            subject=Subject(
                integration=revocation.integration[:64],
                connection_id=revocation.connection_id,
                account=revocation.account,
            ),
            details={"revocation": str(revocation.pk), "status": status, "attempts": revocation.attempts},
        )
