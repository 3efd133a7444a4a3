from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import transaction
from oauth2_provider.generators import generate_client_secret

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Application, Membership, Organization, User
from orgs.oauth.grants import get_grant_types

OWN_GRANTS = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True, slots=True)
class RegisteredApplication:
    """An application and its secret, which is kept hashed: this is the one moment at which it can be shown."""

    application: Application
    client_secret: str = field(repr=False)


def register_application(
    *,
    organization: Organization,
    name: str,
    owner: User | None = None,
    client_type: str = Application.CLIENT_CONFIDENTIAL,
    redirect_uris: Collection[str] = (),
    grant_types: Collection[str] = ("authorization_code", "refresh_token"),
    description: str = "",
    homepage: str = "",
    actor: Actor | None = None,
) -> RegisteredApplication:
    """Register an active application. A public one gets no secret. Raises ValidationError, keyed by field."""
    is_public = client_type == Application.CLIENT_PUBLIC
    secret = "" if is_public else generate_client_secret()
    application = Application(
        organization=organization,
        name=name.strip(),
        owner=owner,
        client_type=client_type,
        client_secret=secret,
        redirect_uris=" ".join(redirect_uris),
        grant_types=list(grant_types),
        description=description,
        homepage=homepage,
    )
    check_application(application)
    with transaction.atomic():
        application.save()
        _record(application, actor)
    return RegisteredApplication(application, secret)


def check_application(application: Application) -> None:
    """Raise ValidationError, keyed by field, for what the model's own validation can't know."""
    problems: dict[str, str] = {}
    unknown = set(application.grant_types) - {*OWN_GRANTS, *get_grant_types()}
    if not application.name:
        problems["name"] = "Give the application a name that people will recognize on the consent page."
    if unknown or not application.grant_types:
        problems["grant_types"] = f"Choose from {', '.join([*OWN_GRANTS, *get_grant_types()])}."
    elif "client_credentials" in application.grant_types and application.client_type == Application.CLIENT_PUBLIC:
        problems["grant_types"] = "client_credentials needs a confidential application: a public one has no secret."
    owner = application.owner
    if owner is not None and not _is_member(owner, application):
        problems["owner"] = "The owner must be an active member of the organization."
    if problems:
        raise ValidationError({name: [text] for name, text in problems.items()})
    application.full_clean(exclude=["client_secret"])


def _is_member(owner: User, application: Application) -> bool:
    return Membership.objects.active().filter(organization=application.organization_id, user=owner).exists()


def _record(application: Application, actor: Actor | None) -> None:
    record_event(
        type=EventType.APPLICATION_REGISTERED,
        organization_id=application.organization_id,
        actor=actor or make_actor(application=application),
        details={
            "client_id": application.client_id,
            "name": application.name,
            "source": application.registration_source,
            "status": application.status,
            "grant_types": application.grant_types,
            "redirect_uris": application.redirect_uris.split(),
        },
    )
