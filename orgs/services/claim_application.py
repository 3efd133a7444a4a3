from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from audit.services.record import record_event
from audit.types import EventType
from orgs.errors import AlreadyClaimedError, RegistrationClosedError
from orgs.http import make_actor
from orgs.models import Application, Organization, User
from orgs.signals import application_claimed


def claim_application(
    *, application: Application, organization: Organization, user: User, resources: Sequence[Any]
) -> Application:
    """Take an application that registered itself into the organization of the first person who wants to use it.

    It is active at once where the organization says so, else it waits for an administrator. Floors above hear of it,
    with the resources it asked for, before anybody can use it.
    """
    if organization.client_registration == Organization.ClientRegistration.CLOSED:
        raise RegistrationClosedError("this organization takes in no applications that register themselves")
    with transaction.atomic():
        locked = Application.objects.select_for_update().get(pk=application.pk)
        if locked.organization_id is not None:
            return _check_same(locked, organization)
        is_open = organization.client_registration == Organization.ClientRegistration.OPEN
        locked.organization = organization
        locked.owner = user
        locked.status = Application.Status.ACTIVE if is_open else Application.Status.PENDING
        locked.save(update_fields=["organization", "owner", "status", "updated"])
        application_claimed.send(
            Application, application=locked, organization=organization, user=user, resources=resources
        )
        _record(locked, user)
    return locked


def _check_same(application: Application, organization: Organization) -> Application:
    if application.organization_id != organization.pk:
        raise AlreadyClaimedError("this application belongs to another organization")
    return application


def _record(application: Application, user: User) -> None:
    record_event(
        type=EventType.APPLICATION_REGISTERED,
        organization_id=application.organization_id,
        actor=make_actor(user=user, application=application),
        details={
            "client_id": application.client_id,
            "source": application.registration_source,
            "status": application.status,
            "redirect_uris": application.redirect_uris.split(),
        },
    )
