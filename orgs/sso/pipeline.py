"""Who is it that signed in? Steps of social-auth's pipeline (settings.SOCIAL_AUTH_PIPELINE), in this order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Identity, IdentityProvider, Membership, User
from orgs.services.synchronize_groups import synchronize_groups
from orgs.sso.backend import OrganizationBackend
from orgs.sso.errors import ForeignDomainError, SuspendedError, UnverifiedEmailError

Claims = Mapping[str, Any]


def find_person(*args: Any, backend: OrganizationBackend, **kwargs: Any) -> dict[str, Any]:
    """Find the person by issuer and subject, compared byte for byte. E-mail never identifies anybody."""
    identity = Identity.objects.select_related("user").filter(**_get_key(backend)).first()
    return {"user": identity.user if identity is not None else None, "is_new": identity is None}


def check_domain(*args: Any, backend: OrganizationBackend, response: Claims, **kwargs: Any) -> None:
    """Let in only e-mail domains of the organization, where it named any: many share one public issuer."""
    domains = backend.provider.email_domains
    if not domains:
        return
    if response.get("email_verified") is False:
        raise UnverifiedEmailError("the identity provider says that this e-mail address is not verified")
    if _get_email(response).rpartition("@")[2] not in domains:
        raise ForeignDomainError("this e-mail address is not of a domain of the organization")


def check_not_suspended(*args: Any, backend: OrganizationBackend, user: User | None, **kwargs: Any) -> None:
    if user is None:
        return
    membership = Membership.objects.filter(user=user, organization=backend.provider.organization_id).first()
    if not user.is_active or (membership is not None and membership.status != Membership.Status.ACTIVE):
        raise SuspendedError("this person is suspended in the organization")


def save_person(
    *args: Any, backend: OrganizationBackend, response: Claims, user: User | None, **kwargs: Any
) -> dict[str, Any]:
    """Create the person at their first sign-in, make them a member, and take over name, e-mail and groups."""
    with transaction.atomic():
        person = user or _create_person(backend)
        person.name = str(response.get("name") or person.name)[:255]
        person.email = _get_email(response)[:254] or person.email
        person.save(update_fields=["name", "email"])
        _make_member(person, backend.provider)
        Identity.objects.filter(**_get_key(backend)).update(last_used_at=timezone.now())
        groups = backend.get_user_groups(response)
        if groups is not None:
            synchronize_groups(organization=backend.provider.organization, user=person, names=groups)
    return {"user": person}


def _get_key(backend: OrganizationBackend) -> dict[str, str]:
    # From the ID token, whose signature, issuer, audience and nonce are verified; userinfo can't replace it.
    assert backend.id_token is not None
    return {"issuer": backend.provider.issuer, "subject": str(backend.id_token["sub"])}


def _create_person(backend: OrganizationBackend) -> User:
    key = _get_key(backend)
    try:
        with transaction.atomic():
            user = User.objects.create_user()
            Identity.objects.create(user=user, **key)
    except IntegrityError:
        # Two first sign-ins at the same moment: the other one made the person.
        return Identity.objects.select_related("user").get(**key).user
    record_event(
        type=EventType.PERSON_CREATED,
        organization_id=backend.provider.organization_id,
        actor=make_actor(user=user),
        details={**key, "identity_provider": backend.provider.name},
    )
    return user


def _make_member(user: User, provider: IdentityProvider) -> None:
    _, created = Membership.objects.get_or_create(organization=provider.organization, user=user)
    if created:
        record_event(
            type=EventType.MEMBERSHIP_CHANGED,
            organization_id=provider.organization_id,
            actor=make_actor(user=user),
            details={"user": str(user.pk), "role": Membership.Role.MEMBER, "source": provider.name},
        )


def _get_email(response: Claims) -> str:
    email = response.get("email")
    return email.strip().lower() if isinstance(email, str) else ""
