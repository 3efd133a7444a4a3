from __future__ import annotations

from typing import Any

from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import AlertSettings, Membership, Organization, User


def create_organization(
    *,
    name: str,
    slug: str,
    owner: User | None = None,
    client_registration: str = Organization.ClientRegistration.APPROVAL,
    actor: Actor | None = None,
) -> Organization:
    """Create an organization, with its first owner where one is given. Raises ValidationError, keyed by field."""
    organization = Organization(name=name.strip(), slug=slug, client_registration=client_registration)
    organization.full_clean()
    with transaction.atomic():
        organization.save()
        AlertSettings.objects.create(organization=organization)
        if owner is not None:
            Membership.objects.create(organization=organization, user=owner, role=Membership.Role.OWNER)
            User.objects.filter(pk=owner.pk).update(is_staff=True)
        _record(EventType.ORGANIZATION_CREATED, organization, actor, owner=str(owner.pk) if owner else None)
    return organization


def update_organization(
    *,
    organization: Organization,
    name: str | None = None,
    status: str | None = None,
    client_registration: str | None = None,
    capture_level: str | None = None,
    redacted_paths: list[str] | None = None,
    actor: Actor | None = None,
) -> Organization:
    """Change what is given. A suspended organization stops at once: sign-in, tokens, calls.

    Raises ValidationError, keyed by field.
    """
    given: dict[str, Any] = {
        "name": name,
        "status": status,
        "client_registration": client_registration,
        "capture_level": capture_level,
        "redacted_paths": redacted_paths,
    }
    changed = {key: value for key, value in given.items() if value is not None and value != getattr(organization, key)}
    if not changed:
        return organization
    former = {key: getattr(organization, key) for key in changed}
    for key, value in changed.items():
        setattr(organization, key, value)
    organization.full_clean()
    with transaction.atomic():
        organization.save()
        _record(EventType.ORGANIZATION_CHANGED, organization, actor, **changed, former=former)
    return organization


def _record(event: EventType, organization: Organization, actor: Actor | None, **details: Any) -> None:
    record_event(
        type=event,
        organization_id=organization.pk,
        actor=actor or make_actor(),
        details={"slug": organization.slug, "name": organization.name, **details},
    )
