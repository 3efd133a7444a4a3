"""Put a credential into its connection: the one place where a connection becomes active."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from connections.errors import ConnectLinkError
from connections.models import Connection, Credential, Integration
from connections.oauth.clients import Client
from connections.oauth.tokens import Tokens
from connections.sealing import Document, seal_credential
from connections.services.events import record_connection_event
from connections.services.tell_of_connection import tell_of_change
from orgs.locks import hold_still, lock_version
from orgs.models import Membership, User


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """What was just obtained, and from whom. `issuer` is empty for a key."""

    document: Document = field(repr=False)
    account: str = ""
    scopes: tuple[str, ...] = ()
    issuer: str = ""
    expires_at: dt.datetime | None = None


def activate_connection(
    *, integration: Integration, user: User | None, new: NewCredential, actor: Actor | None = None, **details: Any
) -> Connection:
    """Make or renew the one connection of this person (or of the organization) with a new credential.

    Raises ConnectLinkError when person or integration may no longer connect, whatever held when this began.
    """
    with transaction.atomic():
        check_may_connect(user, integration)
        lock_version(integration.organization_id)
        connection, _ = Connection.objects.get_or_create(
            integration=integration, user=user, defaults={"organization_id": integration.organization_id}
        )
        connection = Connection.objects.select_for_update().get(pk=connection.pk)
        connection.integration = integration
        former = connection.status
        connection.account, connection.scopes = new.account[:255], list(new.scopes)
        connection.issuer, connection.connected_at = new.issuer, timezone.now()
        connection.revocation, connection.revoked_at = Connection.Revocation.NONE, None
        store_credential(connection, new.document, expires_at=new.expires_at)
        record_connection_event(EventType.CONNECTION_ACTIVATED, connection, actor=actor, former=former, **details)
        tell_of_change(connection, former)
        if integration.auth_mode != Integration.AuthMode.NONE:
            transaction.on_commit(lambda: _nudge(integration))
    return connection


def store_credential(connection: Connection, document: Document, *, expires_at: dt.datetime | None) -> None:
    """Write the next generation of a locked connection's credential and make the connection active."""
    connection.generation += 1
    connection.status, connection.error = Connection.Status.ACTIVE, ""
    connection.expires_at, connection.is_renewable = expires_at, bool(document.get("refresh_token"))
    connection.refresh_owner = connection.refresh_deadline = connection.refresh_retry_at = None
    connection.refresh_failures = 0
    connection.save()
    credential = Credential.objects.filter(connection=connection).first() or Credential(connection=connection)
    credential.organization_id, credential.generation = connection.organization_id, connection.generation
    credential.expires_at = expires_at
    seal_credential(credential, document)
    credential.save()


def describe_tokens(
    tokens: Tokens, client: Client, *, refresh_token: str = "", values: Mapping[str, str] | None = None
) -> Document:
    """Return the plaintext to keep: the tokens with the client they belong to, since another one can't renew them.

    `refresh_token` is the former one, which stays good where the server sends no new one (RFC 6749 §6). `values` are
    the parameters of this account that its calls need.
    """
    kept = tokens.refresh_token or refresh_token
    document: Document = {"access_token": tokens.access_token, "client_id": client.client_id}
    if kept:
        document |= {"refresh_token": kept, "client_secret": client.client_secret}
    if values:
        document["values"] = dict(values)
    return {**document, "auth_method": client.auth_method}


def check_may_connect(user: User | None, integration: Integration) -> None:
    """Let nobody be suspended and nothing be switched off until we commit. Raises ConnectLinkError."""
    if user is not None and not hold_still(
        Membership.objects.active().filter(user=user, organization=integration.organization_id)
    ):
        raise ConnectLinkError("only an active member of the integration's organization can connect it")
    expected = Integration.objects.filter(pk=integration.pk, auth_mode=integration.auth_mode, url=integration.url)
    if not hold_still(expected.exclude(status=Integration.Status.DISABLED)):
        raise ConnectLinkError("the integration was changed or switched off in the meantime")


def _nudge(integration: Integration) -> None:
    from connections.tasks import discover

    if not integration.capabilities.exists():
        discover.delay(str(integration.pk))
