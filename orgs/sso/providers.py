"""Finding the identity provider to sign in at."""

from __future__ import annotations

from uuid import UUID

from orgs.models import IdentityProvider
from orgs.querysets import OrganizationOwnedQuerySet


def find_provider_for_email(email: str) -> IdentityProvider | None:
    """Return the enabled provider of the organization that has this e-mail domain, or None."""
    domain = email.strip().lower().rpartition("@")[2]
    if not domain or "@" not in email:
        return None
    return _usable().filter(email_domains__contains=[domain]).order_by("created_at").first()


def find_usable_provider(provider_id: UUID) -> IdentityProvider | None:
    return _usable().filter(pk=provider_id).first()


def _usable() -> OrganizationOwnedQuerySet[IdentityProvider]:
    return IdentityProvider.objects.select_related("organization").filter(
        is_enabled=True, organization__status="active"
    )
