"""Where an organization's people sign in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_domain_name
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import IdentityProvider, Organization
from orgs.vault import decrypt, encrypt


def set_identity_provider(
    *,
    organization: Organization,
    name: str,
    issuer: str,
    client_id: str,
    client_secret: str | None = None,
    email_domains: Collection[str] = (),
    scopes: str = "openid email profile",
    group_claim: str = "groups",
    is_enabled: bool = True,
    provider: IdentityProvider | None = None,
    actor: Actor | None = None,
) -> IdentityProvider:
    """Add an identity provider, or change the one given. Without a client secret, the one stored stays.

    Raises ValidationError, keyed by field.
    """
    domains = sorted({domain.strip().lower().removeprefix("@") for domain in email_domains if domain.strip()})
    row = provider or IdentityProvider(organization=organization)
    _check_issuer(issuer)
    _check_secret(row, issuer, client_secret)
    _check_domains(domains, row)
    row.name, row.issuer, row.client_id, row.email_domains = name, issuer, client_id, domains
    row.scopes, row.group_claim, row.is_enabled = _with_openid(scopes), group_claim, is_enabled
    if client_secret is not None:
        row.client_secret = seal_client_secret(row, client_secret)
    with transaction.atomic():
        row.full_clean()
        row.save()
        _record(row, actor, secret_changed=client_secret is not None)
    return row


def delete_identity_provider(*, provider: IdentityProvider, actor: Actor | None = None) -> None:
    """Delete an identity provider: nobody signs in there any more. People and their memberships stay."""
    with transaction.atomic():
        _record(provider, actor, deleted=True)
        provider.delete()


def seal_client_secret(provider: IdentityProvider, secret: str) -> bytes:
    return encrypt(provider.organization_id, secret.encode(), associated_data=_bind(provider)) if secret else b""


def open_client_secret(provider: IdentityProvider) -> str:
    """Return the client secret, or an empty string for a public client."""
    sealed = bytes(provider.client_secret)
    return decrypt(provider.organization_id, sealed, associated_data=_bind(provider)).decode() if sealed else ""


def _bind(provider: IdentityProvider) -> bytes:
    # With the issuer: a secret must not be sent to another provider than the one it was entered for.
    return f"identity-provider:{provider.pk}:{provider.issuer}".encode()


def _check_issuer(issuer: str) -> None:
    try:
        parts = urlsplit(issuer)
        _ = parts.port
    except ValueError:
        raise ValidationError({"issuer": "Enter the issuer's URL."}) from None
    schemes = ("https", "http") if settings.ALLOW_PRIVATE_NETWORKS else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValidationError({"issuer": "The issuer must be an https URL without query, fragment or user name."})


def _check_secret(row: IdentityProvider, issuer: str, client_secret: str | None) -> None:
    if client_secret is None and row.client_secret and issuer != row.issuer:
        problem = "Enter the client secret again: the former one is never sent to another issuer."
        raise ValidationError({"client_secret": problem})


def _check_domains(domains: list[str], row: IdentityProvider) -> None:
    for domain in domains:
        try:
            validate_domain_name(domain)
        except ValidationError:
            raise ValidationError({"email_domains": f"{domain} is not a domain name."}) from None
    if IdentityProvider.objects.exclude(pk=row.pk).filter(email_domains__overlap=domains).exists():
        raise ValidationError({"email_domains": "One of these domains is already used by another identity provider."})


def _with_openid(scopes: str) -> str:
    return " ".join(dict.fromkeys(["openid", *scopes.split()]))


def _record(row: IdentityProvider, actor: Actor | None, **details: Any) -> None:
    described = {"name": row.name, "issuer": row.issuer, "client_id": row.client_id, "enabled": row.is_enabled}
    record_event(
        type=EventType.IDENTITY_PROVIDER_CHANGED,
        organization_id=row.organization_id,
        actor=actor or make_actor(),
        details={**described, "email_domains": row.email_domains, **details},
    )
