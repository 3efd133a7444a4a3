"""Tokens as they go out: access tokens by RFC 9068, ID tokens by OpenID Connect, both ES256."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from joserfc import jwt

from orgs.ids import uuid7
from orgs.models import Application, Organization, User
from orgs.oauth.keys import get_signing_key

LIFETIME = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What an access token says. `user` is None where the application acts for itself."""

    jti: UUID
    application: Application
    organization: Organization
    user: User | None
    resource: str
    scopes: tuple[str, ...]
    issued_at: dt.datetime
    expires_at: dt.datetime

    def get_claims(self) -> dict[str, Any]:
        return {
            "iss": settings.PUBLIC_URL,
            "aud": self.resource,
            "sub": str(self.user.pk if self.user is not None else self.application.pk),
            "client_id": self.application.client_id,
            "org": str(self.organization.pk),
            "scope": " ".join(self.scopes),
            "jti": str(self.jti),
            "iat": int(self.issued_at.timestamp()),
            "exp": int(self.expires_at.timestamp()),
        }


def make_access_token(
    *, application: Application, organization: Organization, user: User | None, resource: str, scopes: tuple[str, ...]
) -> AccessToken:
    now = timezone.now().replace(microsecond=0)
    return AccessToken(uuid7(), application, organization, user, resource, scopes, now, now + LIFETIME)


def sign_access_token(token: AccessToken) -> str:
    return _sign("at+jwt", token.get_claims())


def sign_id_token(claims: dict[str, Any]) -> str:
    return _sign("JWT", claims)


def get_checksum(token: str) -> str:
    """Return the toolkit's name for a token whose text is not kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def generate_refresh_token(request: Any, refresh_token: bool = True) -> str:
    return secrets.token_urlsafe(48)


def _sign(typ: str, claims: dict[str, Any]) -> str:
    key = get_signing_key()
    return jwt.encode({"alg": "ES256", "typ": typ, "kid": key.kid}, claims, key, algorithms=["ES256"])
