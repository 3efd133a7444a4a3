"""End a connection: here at once, at the integration as soon as it listens, with a receipt."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from connections.catalogue.adopt import get_dialect
from connections.catalogue.reading import write_table
from connections.models import Connection, Credential, OAuthClient, Revocation
from connections.oauth.dialect import Revocation as Style
from connections.sealing import Document, open_client, open_credential, seal_errand
from connections.services.events import record_connection_event
from orgs.locks import lock_version
from orgs.vault import VaultError


def revoke_connection(*, connection: Connection, reason: str, actor: Actor | None = None) -> Connection:
    """End a connection. The credential is gone from here when this returns.

    What the integration issued is revoked there by a task (RFC 7009), with back-off; `connection.revocations` keeps the
    receipt. Revoking what is revoked changes nothing.
    """
    with transaction.atomic():
        lock_version(connection.organization_id)
        row = Connection.objects.select_for_update().select_related("integration").get(pk=connection.pk)
        if row.status != Connection.Status.REVOKED:
            receipt = _give_up_credential(row, reason)
            row.status = Connection.Status.REVOKED
            row.revocation = receipt.status if receipt is not None else Connection.Revocation.NONE
            # A refresh that is under way finds another generation, and what it brings is revoked as well.
            row.generation += 1
            row.revoked_at = timezone.now()
            row.expires_at = row.refresh_owner = row.refresh_deadline = row.refresh_retry_at = None
            row.error = ""
            row.save()
            record_connection_event(
                EventType.CONNECTION_REVOKED, row, actor=actor, reason=reason, revocation=row.revocation
            )
    connection.refresh_from_db()
    return connection


def revoke_at_integration(
    connection: Connection, document: Document, *, reason: str, client: OAuthClient | None = None
) -> Revocation:
    """Write the receipt for a credential that is no longer ours to use, and have its tokens revoked.

    Runs in the caller's transaction: the errand is durable together with the end of the credential. An unsaved
    connection stands for one that never came to be.
    """
    rows = OAuthClient.objects.select_related("integration").filter(integration=connection.integration_id)
    client = client or rows.first()
    style = get_dialect(client).oauth.revocation if client is not None else None
    tokens = get_tokens(document)
    if style is not None:
        by_hint = {hint: token for token, hint in tokens}
        tokens = [(by_hint[hint], hint) for hint in style.tokens if hint in by_hint]
    if not tokens or client is None or not client.revocation_endpoint or client.issuer != connection.issuer:
        return _new_receipt(connection, reason, status=Revocation.Status.UNSUPPORTED)
    errand = _describe_errand(document, client, tokens, style)
    receipt = _new_receipt(connection, reason, status=Revocation.Status.PENDING, errand=errand)
    transaction.on_commit(_nudge)
    return receipt


def get_tokens(document: Document) -> list[tuple[str, str]]:
    """Return the tokens with their RFC 7009 hints; the refresh token first, since its end should end the rest."""
    names = ("refresh_token", "access_token")
    return [(str(document[name]), name) for name in names if document.get(name)]


def _give_up_credential(connection: Connection, reason: str) -> Revocation | None:
    credential = Credential.objects.select_for_update().filter(connection=connection).first()
    if credential is None:
        return None
    try:
        document = open_credential(credential)
    except VaultError as error:
        # Nobody can use it any more; that it could not be revoked at the integration must be seen all the same.
        credential.delete()
        return _new_receipt(connection, reason, status=Revocation.Status.FAILED, error=str(error)[:255])
    credential.delete()
    return revoke_at_integration(connection, document, reason=reason)


def _new_receipt(
    connection: Connection, reason: str, *, status: str, error: str = "", errand: Document | None = None
) -> Revocation:
    now = timezone.now()
    receipt = Revocation(
        organization_id=connection.organization_id,
        connection=None if connection._state.adding else connection,
        integration=connection.integration.name,
        account=connection.account,
        reason=reason[:120],
        status=status,
        error=error,
        next_attempt_at=now if errand else None,
        settled_at=None if errand else now,
    )
    if errand:
        seal_errand(receipt, errand)
    receipt.save(force_insert=True)
    return receipt


def _describe_errand(
    document: Document, client: OAuthClient, tokens: list[tuple[str, str]], style: Style | None
) -> Document:
    current = open_client(client)
    is_same = document.get("client_id", current.client_id) == current.client_id
    return {
        "endpoint": client.revocation_endpoint,
        "client_id": current.client_id if is_same else document["client_id"],
        "client_secret": current.client_secret if is_same else document.get("client_secret", ""),
        "auth_method": current.auth_method if is_same else document.get("auth_method", "none"),
        "tokens": tokens,
        **({"style": write_table(style), "values": document.get("values") or {}} if style is not None else {}),
    }


def _nudge() -> None:
    from connections.tasks import confirm_revocations

    confirm_revocations.delay()


__all__ = ["get_tokens", "revoke_at_integration", "revoke_connection"]
