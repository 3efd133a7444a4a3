"""Is this bearer token good for this resource of the control plane? (The gateway verifies by signature instead.)"""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef
from django.utils import timezone

from orgs.models import Delegation, IssuedToken, Membership
from orgs.oauth.tokens import get_checksum


def find_valid_token(bearer: str, *, resource: str) -> IssuedToken | None:
    """Return what was issued under this token if it is live, for exactly this resource, and all it names is active.

    The token's SHA-256 is what is kept of it, so finding it proves that it was issued here as it stands. Whether its
    person has paused the application is for the caller to ask (`is_paused`), who can say so.
    """
    paused = Delegation.objects.filter(
        application=OuterRef("application"), user=OuterRef("user"), revoked_at__isnull=True, paused_at__isnull=False
    )
    issued = (
        IssuedToken.objects.select_related("application__organization", "organization", "user")
        .filter(token_checksum=get_checksum(bearer), resource=resource)
        .filter(revoked_at__isnull=True, expires_at__gt=timezone.now())
        .annotate(is_paused=Exists(paused))
        .first()
    )
    if issued is None or not issued.application.is_active:
        return None
    if issued.user is not None and not _is_member(issued):
        return None
    return issued


def is_paused(issued: Any) -> bool:
    """Tell, of what `find_valid_token` returned, whether the person it stands for has paused the application."""
    paused: bool = issued.is_paused
    return paused


def find_bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _is_member(issued: IssuedToken) -> bool:
    return Membership.objects.active().filter(organization=issued.organization_id, user=issued.user_id).exists()
