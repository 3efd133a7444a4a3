from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from connections.catalogue.adopt import adopt, find_way
from connections.catalogue.entries import Entry
from connections.errors import DiscoveryError
from connections.models import Integration, OAuthClient
from connections.oauth.dialect import Dialect
from connections.oauth.metadata import check_endpoint
from connections.services.add_integration import add_integration
from connections.services.change_server import get_redirect_uri
from orgs.models import Organization


def add_from_catalogue(
    *,
    organization: Organization,
    entry: Entry,
    use: str = "",
    auth_mode: str = "",
    parameters: Mapping[str, str] | None = None,
    slug: str = "",
    name: str = "",
    scopes: Collection[str] | None = None,
    actor: Actor | None = None,
) -> Integration:
    """Add a service of the catalogue as a draft; nothing is asked of it yet.

    `use` is `mcp` or `api`; what is left out is as the entry proposes. What the entry says is kept with the
    integration: another version of it, later, changes nothing here.

    Raises ValidationError, keyed by field or parameter.
    """
    adoption = adopt(entry, find_way(entry, use=use, auth_mode=auth_mode), parameters or {})
    with transaction.atomic():
        integration = add_integration(
            organization=organization,
            slug=slug or entry.slug,
            name=name or entry.name,
            actor=actor,
            **adoption.fields,
        )
        if adoption.dialect is not None:
            _store_server(integration, adoption.dialect, scopes)
    return integration


def _store_server(integration: Integration, dialect: Dialect, scopes: Collection[str] | None) -> None:
    """Keep where the authorization server is; who Kontext is there, an administrator enters."""
    oauth = dialect.oauth
    for url in (oauth.authorization_url, oauth.token_url, oauth.refresh_url):
        try:
            if url:
                check_endpoint(url)
        except DiscoveryError as error:
            raise ValidationError({"parameters": f"With these parameters no endpoint comes about: {error}."}) from None
    origin = urlsplit(oauth.authorization_url)
    OAuthClient.objects.create(
        organization_id=integration.organization_id,
        integration=integration,
        issuer=f"{origin.scheme}://{origin.netloc}",
        authorization_endpoint=oauth.authorization_url,
        token_endpoint=oauth.token_url,
        revocation_endpoint=oauth.revocation.url if oauth.revocation else "",
        scopes=list(oauth.scopes if scopes is None else scopes),
        token_endpoint_auth_method=oauth.client_auth or "client_secret_basic",
        redirect_uri=get_redirect_uri(),
    )
