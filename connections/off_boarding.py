"""Who may no longer act in an organization keeps no way in there."""

from __future__ import annotations

from typing import Any

from connections.models import Connection, ConnectSession
from connections.services.forget_sessions import reject_held
from connections.services.revoke import revoke_connection
from orgs.models import Membership


def end_connections(*, membership: Membership, **kwargs: Any) -> None:
    """End a suspended person's connections and connect links; runs in the transaction that suspends them."""
    owned = {"organization": membership.organization_id, "user": membership.user_id}
    sessions = ConnectSession.objects.filter(**owned, used_at__isnull=True)
    for session in sessions.exclude(held_credential=b""):
        reject_held(session)
    sessions.delete()
    for connection in Connection.objects.filter(**owned).exclude(status=Connection.Status.REVOKED):
        revoke_connection(connection=connection, reason="person suspended")
