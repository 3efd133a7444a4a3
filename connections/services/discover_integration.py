"""Find out how an integration wants to be spoken to: its authorization server, who we are there, and its tools.

RFC 9728 → RFC 8414, then a client: the one we have, else Kontext's client ID metadata document where the server takes
those and can fetch it, else dynamic registration (RFC 7591), else one that an administrator enters.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from connections.catalogue.adopt import get_dialect, read_dialect
from connections.errors import ConnectionsError, RegistrationError
from connections.models import Integration, OAuthClient
from connections.oauth.clients import Client, register_client
from connections.oauth.discovery import Discovery, discover, fetch_authorization_server
from connections.oauth.metadata import AuthorizationServer
from connections.sealing import seal_client_secret
from connections.services.change_server import activate_integration, get_redirect_uri, leave_server
from connections.services.discover_capabilities import discover_capabilities, find_connection
from connections.services.events import record_integration_event

_NO_SIGN_IN = "the integration asks nobody to sign in: choose the auth mode without a credential, or a key"
_NO_CLIENT = "the authorization server has no registration: enter the client ID (and secret) that it gave you"


@dataclass(frozen=True, slots=True)
class _Registration:
    kind: str
    client: Client = field(repr=False)


def discover_integration(*, integration: Integration, actor: Actor | None = None) -> Integration:
    """Discover an integration and take it into use. What goes wrong is kept in `discovery_error`, and raises nothing.

    An integration that is in use stays so when a later discovery fails. When its authorization server has become
    another one, every connection has to be made again (DESIGN 5).
    """
    try:
        if integration.auth_mode == Integration.AuthMode.OAUTH:
            _discover_server(integration, actor)
        else:
            _keep(integration, actor)
        _list_tools(integration, actor)
    except ConnectionsError as error:
        _note_failure(integration, error, actor)
    integration.refresh_from_db()
    return integration


def get_metadata_document_url() -> str:
    """Return Kontext's client ID at servers that take metadata documents: the address of the document."""
    return f"{settings.PUBLIC_URL}/oauth/client.json"


def _discover_server(integration: Integration, actor: Actor | None) -> None:
    former = OAuthClient.objects.filter(integration=integration).first()
    if integration.category == Integration.Category.INTERNAL_MCP_CREDENTIALS and former and former.client_id:
        _keep(integration, actor)  # a plain API publishes nothing: what an administrator entered stands
        return
    found = _find_server(integration, former)
    if found.server is None:
        raise RegistrationError(_NO_SIGN_IN)
    scopes = _choose_scopes(found, found.server)
    is_known = _is_known(found.server, former)
    client = None if is_known else _register(found.server, scopes)
    _store(integration, found, found.server, scopes, client, actor)
    if not is_known and client is None:
        raise RegistrationError(_NO_CLIENT)


def _find_server(integration: Integration, former: OAuthClient | None) -> Discovery:
    """Ask the integration, or the issuer that the catalogue or an administrator named."""
    oauth = read_dialect(integration).oauth
    if integration.category == Integration.Category.INTERNAL_MCP_CREDENTIALS:
        if oauth.issuer:
            return Discovery(fetch_authorization_server(oauth.issuer), resource="", scopes=oauth.scopes)
        if former is not None:
            raise RegistrationError(_NO_CLIENT)
    return discover(integration.url)


def _choose_scopes(found: Discovery, server: AuthorizationServer) -> tuple[str, ...]:
    """Ask for what the resource names, and to go on while the person is away where that is a scope of its own."""
    wanted = list(found.scopes)
    if "offline_access" in server.scopes and "offline_access" not in wanted:
        wanted.append("offline_access")
    return tuple(wanted)


def _is_known(server: AuthorizationServer, former: OAuthClient | None) -> bool:
    """Tell whether we are a client of this very server already, under the address that answers come to."""
    if former is None or former.issuer != server.issuer or not former.client_id:
        return False
    return former.registration == OAuthClient.Registration.MANUAL or former.redirect_uri == get_redirect_uri()


def _register(server: AuthorizationServer, scopes: tuple[str, ...]) -> _Registration | None:
    if server.takes_metadata_documents and "none" in server.auth_methods and settings.PUBLIC_URL.startswith("https:"):
        return _Registration(OAuthClient.Registration.METADATA_DOCUMENT, Client(get_metadata_document_url()))
    if not server.registration_endpoint:
        return None
    client = register_client(server, redirect_uri=get_redirect_uri(), scopes=scopes, client_uri=settings.PUBLIC_URL)
    return _Registration(OAuthClient.Registration.DYNAMIC, client)


def _store(
    integration: Integration,
    found: Discovery,
    server: AuthorizationServer,
    scopes: tuple[str, ...],
    registration: _Registration | None,
    actor: Actor | None,
) -> None:
    with transaction.atomic():
        locked = Integration.objects.select_for_update().get(pk=integration.pk)
        former = OAuthClient.objects.filter(integration=locked).first()
        row = copy(former) if former else OAuthClient(organization_id=locked.organization_id, integration=locked)
        row.issuer, row.resource = server.issuer, found.resource
        row.authorization_endpoint, row.token_endpoint = server.authorization_endpoint, server.token_endpoint
        known = get_dialect(row).oauth.revocation
        row.revocation_endpoint = server.revocation_endpoint or (known.url if known else "")
        row.scopes, row.metadata = [scope[:255] for scope in scopes], dict(server.document)
        if not _is_known(server, former):
            _adopt(row, registration)
        # The issuer vouches for its endpoints: these may move, and what it issued stays good there.
        is_other = former is not None and former.issuer != row.issuer
        ended = leave_server(locked, former, actor) if former is not None and is_other else 0
        row.save()
        locked.discovered_at, locked.discovery_error = timezone.now(), ""
        locked.save(update_fields=["discovered_at", "discovery_error"])
        if row.client_id:
            activate_integration(locked)
        record_integration_event(
            EventType.INTEGRATION_DISCOVERED,
            locked,
            actor=actor,
            issuer=row.issuer,
            resource=row.resource,
            registration=row.registration,
            client_id=row.client_id,
            former_issuer=former.issuer if former else None,
            connections_ended=ended,
        )


def _adopt(row: OAuthClient, registration: _Registration | None) -> None:
    """Take over who we are at the server; what we were at another one is forgotten, its secret first of all."""
    client = registration.client if registration else Client("")
    row.client_id, row.token_endpoint_auth_method = client.client_id, client.auth_method
    row.registration = registration.kind if registration else OAuthClient.Registration.MANUAL
    row.redirect_uri = get_redirect_uri()
    row.registered_at = timezone.now() if registration else None
    seal_client_secret(row, client.client_secret)


def _keep(integration: Integration, actor: Actor | None) -> None:
    """Take an integration into use that needs no authorization server, or has one already."""
    with transaction.atomic():
        locked = Integration.objects.select_for_update().get(pk=integration.pk)
        locked.discovered_at, locked.discovery_error = timezone.now(), ""
        locked.save(update_fields=["discovered_at", "discovery_error"])
        activate_integration(locked)
        record_integration_event(EventType.INTEGRATION_DISCOVERED, locked, actor=actor, auth_mode=locked.auth_mode)


def _list_tools(integration: Integration, actor: Actor | None) -> None:
    if integration.category != Integration.Category.GATEWAY_REMOTE_MCP:
        return
    connection = find_connection(integration)
    if integration.auth_mode == Integration.AuthMode.NONE or connection is not None:
        discover_capabilities(integration=integration, connection=connection, actor=actor)


def _note_failure(integration: Integration, error: ConnectionsError, actor: Actor | None) -> None:
    with transaction.atomic():
        Integration.objects.filter(pk=integration.pk).update(discovery_error=str(error)[:1000])
        record_integration_event(
            EventType.INTEGRATION_DISCOVERED,
            integration,
            actor=actor,
            outcome="error_remote",
            error=str(error)[:255],
            code=error.code,
        )
