from __future__ import annotations

from django.db import transaction

from audit.services.record import Actor
from audit.types import EventType
from connections.models import Connection, Integration
from connections.services.events import record_integration_event
from connections.services.revoke import revoke_connection


def delete_integration(*, integration: Integration, actor: Actor | None = None) -> None:
    """Delete an integration with its capabilities and connections. What it issued is revoked there, with receipts."""
    with transaction.atomic():
        row = Integration.objects.select_for_update().get(pk=integration.pk)
        connections = list(Connection.objects.filter(integration=row).exclude(status=Connection.Status.REVOKED))
        for connection in connections:
            revoke_connection(connection=connection, reason="integration deleted", actor=actor)
        record_integration_event(
            EventType.INTEGRATION_DELETED, row, actor=actor, name=row.name, connections_ended=len(connections)
        )
        row.delete()
