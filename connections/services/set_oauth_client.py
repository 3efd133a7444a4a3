"""Kontext's registration at an integration's authorization server, entered by an administrator."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from connections.errors import DiscoveryError
from connections.models import Integration, OAuthClient
from connections.oauth.clients import AUTH_METHODS
from connections.oauth.metadata import check_endpoint
from connections.sealing import seal_client_secret
from connections.services.change_server import activate_integration, get_redirect_uri, is_same_server, leave_server
from connections.services.events import record_integration_event


def set_oauth_client(
    *,
    integration: Integration,
    client_id: str,
    client_secret: str = "",
    issuer: str = "",
    authorization_endpoint: str = "",
    token_endpoint: str = "",
    revocation_endpoint: str = "",
    resource: str | None = None,
    scopes: Collection[str] | None = None,
    token_endpoint_auth_method: str = "",
    actor: Actor | None = None,
) -> OAuthClient:
    """Store a client ID (and secret) that the authorization server gave, and take the integration into use.

    Endpoints that are left out stay as discovery found them; without an issuer it is the authorization endpoint's
    origin. Another server ends every connection: no credential is sent to another one than it came from. Connections
    made with a former client at the same server go on with that one until they are made anew. Raises ValidationError.
    """
    if integration.auth_mode != Integration.AuthMode.OAUTH:
        raise ValidationError({"client_id": "This integration is not connected through OAuth."})
    with transaction.atomic():
        locked = Integration.objects.select_for_update().get(pk=integration.pk)
        former = OAuthClient.objects.filter(integration=locked).first()
        row = copy(former) if former else OAuthClient(organization_id=locked.organization_id, integration=locked)
        row.authorization_endpoint = authorization_endpoint or row.authorization_endpoint
        row.token_endpoint = token_endpoint or row.token_endpoint
        row.revocation_endpoint = revocation_endpoint or row.revocation_endpoint
        row.issuer = issuer or _find_issuer(row, former)
        row.client_id, row.registration = client_id.strip(), OAuthClient.Registration.MANUAL
        row.token_endpoint_auth_method = _choose_method(row, client_secret, token_endpoint_auth_method)
        row.resource = row.resource if resource is None else resource
        row.scopes = row.scopes if scopes is None else list(scopes)
        row.redirect_uri, row.registered_at = get_redirect_uri(), timezone.now()
        _check_endpoints(row)
        _check_client(row)
        seal_client_secret(row, client_secret)
        ended = _store(locked, former, row, actor)
        record_integration_event(
            EventType.INTEGRATION_CHANGED,
            locked,
            actor=actor,
            client_id=row.client_id,
            issuer=row.issuer,
            secret_changed=bool(client_secret),
            connections_ended=ended,
        )
    integration.refresh_from_db()
    return row


def _store(integration: Integration, former: OAuthClient | None, row: OAuthClient, actor: Actor | None) -> int:
    """Store the client and take the integration into use; returns how many connections ended with another server."""
    ended = 0
    if former is not None and not is_same_server(former, row):
        row.metadata = {}
        ended = leave_server(integration, former, actor)
    row.save()
    activate_integration(integration)
    return ended


def _find_issuer(row: OAuthClient, former: OAuthClient | None) -> str:
    origin = urlsplit(row.authorization_endpoint)
    if former is not None and urlsplit(former.authorization_endpoint)[:2] == origin[:2]:
        return former.issuer
    return f"{origin.scheme}://{origin.netloc}"


def _check_endpoints(row: OAuthClient) -> None:
    names = ["authorization_endpoint", "token_endpoint", *(["revocation_endpoint"] if row.revocation_endpoint else [])]
    for name in names:
        if not getattr(row, name):
            raise ValidationError({name: "Discovery has not found this endpoint: enter it."})
        try:
            check_endpoint(getattr(row, name))
        except DiscoveryError as error:
            raise ValidationError({name: f"This endpoint can't be used: {error}."}) from None


def _choose_method(row: OAuthClient, secret: str, wanted: str) -> str:
    if wanted:
        if wanted not in AUTH_METHODS or (wanted == "none") == bool(secret):
            raise ValidationError({"token_endpoint_auth_method": "This doesn't fit: a secret needs basic or post."})
        return wanted
    if not secret:
        return "none"
    if row.token_endpoint_auth_method != "none":  # noqa: S105
        return row.token_endpoint_auth_method
    offered = row.metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"


def _check_client(row: OAuthClient) -> None:
    if not row.client_id:
        raise ValidationError({"client_id": "Enter the client ID that the integration gave you."})
    row.full_clean(exclude=["metadata", "integration", "organization"], validate_unique=False)
