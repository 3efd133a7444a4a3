"""The fence around a refresh, and what is written when it ends.

The fence is two columns of the connection: an owner, and a deadline by the database's clock. Every write checks the
generation that was read when the fence was taken, so a credential that was replaced or revoked meanwhile is never
overwritten. An owner whose deadline has passed has died or could not store its answer; that is recorded when the next
one takes over.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from django.db import DatabaseError, transaction
from django.db import connection as django_connection
from django.db.models.functions import Now

from audit.types import EventType
from connections.catalogue.adopt import get_dialect
from connections.errors import CredentialUnavailableError, TokenRequestError
from connections.journal import Entry, remove_entry, write_entry
from connections.models import Connection, Integration, OAuthClient
from connections.oauth.clients import Client
from connections.oauth.dialect import Dialect
from connections.oauth.tokens import Tokens
from connections.sealing import Document, open_client, open_credential
from connections.services.events import record_connection_event
from connections.services.revoke import revoke_at_integration
from connections.services.store_credential import describe_tokens, store_credential
from connections.services.tell_of_connection import tell_of_change
from orgs.locks import lock_version
from orgs.vault import Key, VaultError, get_sealing_key

log = logging.getLogger(__name__)

# Longer than a token request may take (connections.oauth.tokens), so that only a dead owner's fence is ever passed.
FENCE_SECONDS = 30
_STORE_AGAIN_SECONDS = 0.5
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """The right to refresh, and everything the request needs, read when it was taken."""

    organization_id: UUID
    connection_id: UUID
    owner: UUID
    generation: int
    token_endpoint: str
    resource: str
    client: Client
    dialect: Dialect
    scopes: tuple[str, ...]
    refresh_token: str = field(repr=False)
    values: Mapping[str, str] = field(repr=False)
    # Read before the network is used: what comes back must be sealed even if the database is away by then.
    key: Key = field(repr=False)
    was_interrupted: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Another process is refreshing."""


@dataclass(frozen=True, slots=True)
class BackingOff:
    """It failed a moment ago; the time for the next attempt has not come."""

    error: str


@dataclass(frozen=True, slots=True)
class Unrenewable:
    """There is nothing to refresh with."""

    reason: str


def read_connection(connection_id: UUID) -> Connection | None:
    """Return the connection, annotated with the database's time as `read_at`."""
    rows = Connection.objects.select_related("integration", "credential").annotate(read_at=Now())
    return rows.filter(pk=connection_id).first()


def take_fence(connection: Connection) -> Fence | Held | BackingOff | Unrenewable:
    """Take the fence of a connection that was just read, or say why not. Raises CredentialUnavailableError."""
    with transaction.atomic():
        row = _lock(connection.pk)
        if row is None or row.generation != connection.generation or row.status != connection.status:
            return Held()  # it has just changed: read it again
        now: dt.datetime = row.read_at  # type: ignore[attr-defined]
        if row.refresh_deadline is not None and row.refresh_deadline > now:
            return Held()
        if row.refresh_retry_at is not None and row.refresh_retry_at > now:
            return BackingOff(row.error)
        return _take(row, connection, now)


def store_refreshed(fence: Fence, tokens: Tokens) -> None:
    """Store what a refresh brought. The answer comes only once: it is in the journal before the database is asked.

    Raises CredentialUnavailableError when the database did not take it before the fence ended; whoever sweeps the
    journal does it then.
    """
    entry = Entry(
        organization_id=fence.organization_id,
        connection_id=fence.connection_id,
        generation=fence.generation,
        document=describe_tokens(tokens, fence.client, refresh_token=fence.refresh_token, values=fence.values),
        scopes=tokens.scopes,
        expires_at=tokens.expires_at,
    )
    kept = write_entry(entry, key=fence.key)
    give_up = time.monotonic() + FENCE_SECONDS / 2
    while True:
        try:
            settle_entry(entry)
        except DatabaseError as error:
            django_connection.close()  # it may be the connection that is broken, not the database
            if time.monotonic() > give_up:
                log.error("connection %s: renewed, but not stored (%s)", fence.connection_id, type(error).__name__)
                raise CredentialUnavailableError("the renewed credential could not be stored yet") from None
            time.sleep(_STORE_AGAIN_SECONDS)
        else:
            remove_entry(kept)
            return


def settle_entry(entry: Entry) -> bool:
    """Store a renewed credential if the connection is still the one it was for; have it revoked if that ended."""
    with transaction.atomic():
        lock_version(entry.organization_id)
        row = _lock(entry.connection_id)
        if row is None:
            return False
        if row.generation == entry.generation:
            _store(row, entry)
            return True
        if row.status == Connection.Status.REVOKED:
            revoke_at_integration(row, entry.document, reason="revoked during a refresh")
        return False


def release_fence(fence: Fence, *, status: str | None, error: TokenRequestError) -> None:
    """Note a failed refresh. `status` is the state it leads to; None changes nothing but the time of the next try."""
    with transaction.atomic():
        lock_version(fence.organization_id)
        row = _lock(fence.connection_id)
        if row is None or row.generation != fence.generation or row.refresh_owner != fence.owner:
            return  # somebody else's word counts by now
        former = row.status
        row.refresh_owner = row.refresh_deadline = None
        row.refresh_failures = min(row.refresh_failures + 1, 1000)
        row.status, row.error = status or row.status, str(error)[:255]
        row.refresh_retry_at = row.read_at + _get_back_off(row.refresh_failures)  # type: ignore[attr-defined]
        row.save()
        # Failures that change nothing are told once, not with every attempt.
        if row.status != former or row.refresh_failures == 1:
            _record_failure(row, fence, error, former)
            tell_of_change(row, former)


def require_reauthorization(connection: Connection, *, cause: str) -> None:
    """Say that only the person can mend this connection, unless it has changed since it was read."""
    with transaction.atomic():
        lock_version(connection.organization_id)
        row = _lock(connection.pk)
        if row is None or row.generation != connection.generation or row.status != connection.status:
            return
        former = row.status
        row.status, row.error = Connection.Status.REAUTHORIZATION_REQUIRED, cause[:255]
        row.refresh_owner = row.refresh_deadline = row.refresh_retry_at = None
        row.save()
        record_connection_event(EventType.CONNECTION_FAILED, row, outcome="error_auth", cause=cause, status=row.status)
        tell_of_change(row, former)


def _lock(connection_id: UUID) -> Connection | None:
    rows = Connection.objects.select_for_update(of=("self",)).select_related("integration").annotate(read_at=Now())
    return rows.filter(pk=connection_id).first()


def _take(row: Connection, connection: Connection, now: dt.datetime) -> Fence | Unrenewable:
    refresh = _find_refresh(connection)
    if isinstance(refresh, Unrenewable):
        return refresh
    client, server, document = refresh
    was_interrupted = row.refresh_owner is not None
    if was_interrupted:
        log.warning("connection %s: an earlier refresh was never finished", row.pk)
        record_connection_event(
            EventType.CONNECTION_FAILED, row, outcome="error_proxy", cause="refresh interrupted", status=row.status
        )
    row.refresh_owner = uuid4()
    row.refresh_deadline = now + dt.timedelta(seconds=FENCE_SECONDS)
    row.save(update_fields=["refresh_owner", "refresh_deadline"])
    return Fence(
        organization_id=row.organization_id,
        connection_id=row.pk,
        owner=row.refresh_owner,
        generation=row.generation,
        token_endpoint=server.token_endpoint,
        resource=server.resource,
        client=client,
        dialect=get_dialect(server),
        scopes=tuple(connection.scopes),
        refresh_token=str(document["refresh_token"]),
        values=document.get("values") or {},
        key=get_sealing_key(row.organization_id),
        was_interrupted=was_interrupted,
    )


def _find_refresh(connection: Connection) -> tuple[Client, OAuthClient, Document] | Unrenewable:
    if connection.integration.auth_mode != Integration.AuthMode.OAUTH:
        return Unrenewable("the integration refused the key")
    server = OAuthClient.objects.select_related("integration").filter(integration=connection.integration_id).first()
    if server is None or server.issuer != connection.issuer:
        return Unrenewable("the integration has another authorization server now")
    try:
        document = open_credential(connection.credential)
        client = _choose_client(document, server)
    except VaultError as error:
        return Unrenewable(str(error))
    if not document.get("refresh_token"):
        return Unrenewable("the access token has ended and came without a refresh token")
    return client, server, document


def _choose_client(document: Document, server: OAuthClient) -> Client:
    """Return the client that the tokens belong to: the present one, with its present secret, or a former one."""
    if document.get("client_id", server.client_id) == server.client_id:
        return open_client(server)
    return Client(document["client_id"], document.get("client_secret", ""), document.get("auth_method", "none"))


def _store(row: Connection, entry: Entry) -> None:
    former, failures = row.status, row.refresh_failures
    if entry.scopes is not None:
        row.scopes = list(entry.scopes)
    row.last_refreshed_at = row.read_at  # type: ignore[attr-defined]
    store_credential(row, entry.document, expires_at=entry.expires_at)
    record_connection_event(
        EventType.CONNECTION_REFRESHED, row, generation=row.generation, former=former, failures_before=failures
    )
    tell_of_change(row, former)


def _get_back_off(failures: int) -> dt.timedelta:
    longest = min(_FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 16), _LAST_RETRY_SECONDS)
    # Spread: connections that failed together must not come back together.
    return dt.timedelta(seconds=longest * random.uniform(0.5, 1))  # noqa: S311


def _record_failure(row: Connection, fence: Fence, error: TokenRequestError, former: str) -> None:
    record_connection_event(
        EventType.CONNECTION_FAILED,
        row,
        outcome="error_remote",
        cause=str(error)[:255],
        provider_error=error.provider_error,
        former=former,
        status=row.status,
        after_interruption=fence.was_interrupted,
    )
