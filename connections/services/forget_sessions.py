from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.utils import timezone

from connections.models import ConnectInvitation, Connection, ConnectSession
from connections.sealing import open_held_credential
from connections.services.revoke import revoke_at_integration
from orgs.vault import VaultError

_KEPT = dt.timedelta(days=1)


def forget_sessions() -> int:
    """Delete connect sessions and invitations that are long over.

    A credential that nobody decided about is revoked first.
    """
    for session in ConnectSession.objects.filter(expires_at__lt=timezone.now()).exclude(held_credential=b""):
        reject_held(session)
    deleted, _ = ConnectSession.objects.filter(expires_at__lt=timezone.now() - _KEPT).delete()
    ConnectInvitation.objects.filter(expires_at__lt=timezone.now() - _KEPT).delete()
    return deleted


def reject_held(session: ConnectSession) -> None:
    """Have a credential revoked that waits for a decision which can't be made any more."""
    with transaction.atomic():
        locked = ConnectSession.objects.select_for_update().select_related("integration").get(pk=session.pk)
        if not locked.held_credential:
            return
        try:
            held = open_held_credential(locked)
        except VaultError:
            held = {}
        ConnectSession.objects.filter(pk=locked.pk).update(held_credential=b"")
        if held:
            rejected = Connection(integration=locked.integration, account=held["account"], issuer=held["issuer"])
            rejected.organization_id = locked.organization_id
            revoke_at_integration(rejected, held["document"], reason="nobody chose this account")
