"""A product that signed its person in by itself asks for a link with which they connect their accounts here."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from django.core.cache import cache
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from connections import egress
from connections.errors import EgressError, PartnerRefusedError, PersonUnknownError, ReturnUrlError
from connections.models import ExternalAuth
from connections.sealing import digest_secret
from connections.services.begin_connect import ConnectLink
from connections.services.invite_to_connect import invite_to_connect
from orgs.http import make_actor
from orgs.models import Identity, Membership, User

_KEYS_SECONDS = 300
_LEEWAY_SECONDS = 30
_LIMITS = egress.Limits(seconds=5, body_bytes=128 * 1024)
_LONGEST_TOKEN = 16 * 1024


def invite_partner_person(*, client_id: str, api_key: str, token: str, return_url: str) -> ConnectLink:
    """Return a link for the person whom the product's token names, by issuer and subject, as at sign-in.

    Raises PartnerRefusedError for a wrong key or token (which of them, only where the key is right), ReturnUrlError,
    PersonUnknownError for who has never signed in here, EgressError where the product's keys can't be had.
    """
    auth = _authenticate(client_id, api_key)
    if return_url and return_url not in auth.allowed_return_urls:
        raise ReturnUrlError("this return URL is not among those of the application")
    claims = _verify(auth, token)
    user = _find_person(auth, str(claims["sub"]))
    actor = make_actor(user=user, application=auth.application)
    return invite_to_connect(user=user, application=auth.application, return_url=return_url, actor=actor)


def _authenticate(client_id: str, api_key: str) -> ExternalAuth:
    rows = ExternalAuth.objects.select_related("application__organization").filter(is_enabled=True)
    auth = rows.filter(application__client_id=client_id).first()
    # Compared in any case: from the time it takes, nobody learns which applications there are.
    expected = auth.partner_api_key_digest if auth is not None else ""
    is_right = hmac.compare_digest(expected or digest_secret(""), digest_secret(api_key)) and bool(api_key)
    if auth is None or not is_right or not auth.application.is_active:
        raise PartnerRefusedError("the application or its X-Api-Key is not right")
    return auth


def _verify(auth: ExternalAuth, token: str) -> dict[str, Any]:
    if not token or len(token) > _LONGEST_TOKEN:
        raise PartnerRefusedError("this needs the product's token for its person, as a bearer token")
    keys = _fetch_keys(auth.jwks_url)
    try:
        claims = jwt.decode(token, keys, algorithms=list(auth.allowed_algorithms)).claims
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": auth.issuer},
            aud={"essential": True, "value": auth.audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        registry.validate(claims)
    except (JoseError, ValueError, TypeError, KeyError):
        # Not which check failed: that would help whoever tries tokens.
        raise PartnerRefusedError("the product's token is not valid here") from None
    _check_further(auth, claims)
    return claims


def _check_further(auth: ExternalAuth, claims: dict[str, Any]) -> None:
    if time.time() - float(claims["iat"]) > auth.max_token_age_seconds + _LEEWAY_SECONDS:
        raise PartnerRefusedError("the product's token is too old: get a fresh one")
    if not isinstance(claims["sub"], str):
        raise PartnerRefusedError("the product's token is not valid here")
    if any(claims.get(name) != value for name, value in auth.required_claims.items()):
        raise PartnerRefusedError("the product's token lacks a claim that is required")


def _fetch_keys(url: str) -> KeySet:
    name = "partner-keys:" + hashlib.sha256(url.encode()).hexdigest()
    kept = cache.get(name)
    if kept is None:
        response = egress.request("GET", url, headers={"Accept": "application/json"}, limits=_LIMITS)
        if not response.is_success:
            raise EgressError(f"{egress.describe(url)} answered {response.status} in place of the product's keys")
        keys = [key for key in response.json().get("keys", []) if isinstance(key, dict) and key.get("kty") != "oct"]
        kept = json.dumps({"keys": keys})
        cache.set(name, kept, _KEYS_SECONDS)
    try:
        return KeySet.import_key_set(json.loads(kept))
    except (JoseError, ValueError, TypeError, KeyError):
        raise EgressError(f"{egress.describe(url)} holds no keys that can be used") from None


def _find_person(auth: ExternalAuth, subject: str) -> User:
    identity = Identity.objects.select_related("user").filter(issuer=auth.issuer, subject=subject).first()
    if identity is not None:
        members = Membership.objects.active().filter(user=identity.user, organization=auth.organization_id)
        if members.exists():
            return identity.user
    raise PersonUnknownError("this person is no member here: they sign in to Kontext once, with the same provider")
