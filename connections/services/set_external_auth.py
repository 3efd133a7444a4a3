from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from connections import egress
from connections.errors import DestinationRefusedError
from connections.models import ExternalAuth
from connections.models.partners import ALGORITHMS
from connections.sealing import digest_secret
from orgs.errors import say
from orgs.http import make_actor
from orgs.models import Application

_SHORTEST_KEY = 32


def set_external_auth(
    *,
    application: Application,
    issuer: str,
    jwks_url: str,
    audience: str,
    is_enabled: bool = True,
    allowed_algorithms: Collection[str] = ("ES256", "RS256"),
    required_claims: Mapping[str, str] | None = None,
    allowed_return_urls: Collection[str] = (),
    max_token_age_seconds: int = 300,
    partner_api_key: str | None = None,
    actor: Actor | None = None,
) -> ExternalAuth:
    """Say whose tokens tell who a product's people are. Without a key, the one that is stored stays.

    Raises ValidationError, keyed by field. Only for a confidential application: a public one can keep no key.
    """
    if application.client_type != Application.CLIENT_CONFIDENTIAL or application.organization_id is None:
        raise ValidationError({"application": "Choose a confidential application: another one can keep no key."})
    _check_urls(issuer, jwks_url, allowed_return_urls)
    _check_rest(allowed_algorithms, required_claims or {}, partner_api_key)
    with transaction.atomic():
        row = ExternalAuth.objects.select_for_update().filter(application=application).first()
        row = row or ExternalAuth(application=application, organization_id=application.organization_id)
        row.issuer, row.jwks_url, row.audience, row.is_enabled = issuer, jwks_url, audience, is_enabled
        row.allowed_algorithms, row.required_claims = list(allowed_algorithms), dict(required_claims or {})
        row.allowed_return_urls, row.max_token_age_seconds = list(allowed_return_urls), max_token_age_seconds
        if partner_api_key is not None:
            row.partner_api_key_digest = digest_secret(partner_api_key)
        if is_enabled and not row.partner_api_key_digest:
            raise ValidationError({"partner_api_key": "Enter a key: without one nobody could ask."})
        row.full_clean()
        row.save()
        record_event(
            type=EventType.APPLICATION_CHANGED,
            organization_id=application.organization_id,
            actor=actor or make_actor(),
            details={
                "client_id": application.client_id,
                "name": application.name,
                "external_issuer": issuer,
                "external_enabled": is_enabled,
                "partner_key_changed": partner_api_key is not None,
            },
        )
    return row


def _check_urls(issuer: str, jwks_url: str, return_urls: Collection[str]) -> None:
    for name, url in (("issuer", issuer), ("jwks_url", jwks_url)):
        try:
            egress.check_url(url)
        except DestinationRefusedError as error:
            raise ValidationError({name: say(error)}) from None
    for url in return_urls:
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or parts.fragment or parts.username or not (parts.scheme == "https" or is_local):
            raise ValidationError({"allowed_return_urls": "Each must be an https address without a fragment."})


def _check_rest(algorithms: Collection[str], claims: Mapping[str, str], key: str | None) -> None:
    if not algorithms or set(algorithms) - set(ALGORITHMS):
        raise ValidationError({"allowed_algorithms": f"Choose of {', '.join(ALGORITHMS)}."})
    if not all(isinstance(value, str | int | bool) for value in claims.values()):
        raise ValidationError({"required_claims": "Each claim must be a text, a number or a truth value."})
    if key is not None and (len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable()):
        raise ValidationError({"partner_api_key": f"Use at least {_SHORTEST_KEY} random printable characters."})
