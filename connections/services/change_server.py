"""What follows when an integration's authorization server is found, entered, or becomes another one."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings

from audit.services.record import Actor
from audit.types import EventType
from connections.models import Connection, Credential, Integration, OAuthClient
from connections.sealing import open_credential
from connections.services.events import record_connection_event
from connections.services.revoke import revoke_at_integration
from connections.services.tell_of_connection import tell_of_change
from orgs.locks import lock_version
from orgs.vault import VaultError


def get_redirect_uri() -> str:
    return f"{settings.PUBLIC_URL}/oauth/callback"


def is_same_server(former: OAuthClient | None, row: OAuthClient) -> bool:
    """Tell whether credentials obtained through `former` may be shown to `row`: same issuer, same place of tokens."""
    if former is None:
        return True
    same_place = urlsplit(former.token_endpoint)[:2] == urlsplit(row.token_endpoint)[:2]
    return former.issuer == row.issuer and same_place


def leave_server(integration: Integration, former: OAuthClient, actor: Actor | None) -> int:
    """End what the former authorization server issued; returns how many connections have to be made again.

    Runs in the caller's transaction. The credentials are revoked where they came from, and never go anywhere else.
    """
    lock_version(integration.organization_id)
    rows = Connection.objects.select_for_update(of=("self",)).select_related("integration")
    connections = list(rows.filter(integration=integration, credential__isnull=False))
    for connection in connections:
        _end(connection, former, actor)
    return len(connections)


def activate_integration(integration: Integration) -> None:
    """Take a draft into use; one that an administrator switched off stays off."""
    if integration.status == Integration.Status.DRAFT:
        integration.status = Integration.Status.ACTIVE
        integration.save(update_fields=["status"])


def _end(connection: Connection, former: OAuthClient, actor: Actor | None) -> None:
    reason = "the integration has another authorization server now"
    credential = Credential.objects.get(connection=connection)
    try:
        receipt = revoke_at_integration(connection, open_credential(credential), reason=reason, client=former)
        connection.revocation = receipt.status
    except VaultError:
        connection.revocation = Connection.Revocation.FAILED
    credential.delete()
    status = connection.status
    connection.status, connection.error = Connection.Status.REAUTHORIZATION_REQUIRED, reason
    connection.generation += 1
    connection.expires_at = connection.refresh_owner = connection.refresh_deadline = None
    connection.save()
    record_connection_event(
        EventType.CONNECTION_FAILED,
        connection,
        actor=actor,
        outcome="error_auth",
        cause=reason,
        status=connection.status,
        former_issuer=former.issuer,
    )
    tell_of_change(connection, status)
