"""An application asks a person to connect what it needs: one link, for one person, good once."""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor, Subject, record_event
from audit.types import EventType
from connections.errors import ConnectLinkEndedError, ConnectLinkError
from connections.models import ConnectInvitation, Integration
from connections.sealing import digest_secret
from connections.services.begin_connect import ConnectLink
from orgs.http import make_actor
from orgs.locks import hold_still
from orgs.models import Application, Membership, User

LINK_LIFETIME = dt.timedelta(minutes=15)
_ENDED = "this link was used or is too old: ask the application for another one"
_RELATED = ("organization", "user", "application", "integration")


def invite_to_connect(
    *,
    user: User,
    application: Application,
    integration: Integration | None = None,
    return_url: str = "",
    actor: Actor | None = None,
) -> ConnectLink:
    """Make a link with which this person, and nobody else, connects what the application needs, within 15 minutes.

    `return_url` is where they go when they are done: the caller has checked it. Raises ConnectLinkError when the person
    is no active member of the application's organization, ValidationError for an integration of another one.
    """
    organization = application.organization
    if organization is None or not application.is_active:
        raise ConnectLinkError("the application is not in use")
    if integration is not None and integration.organization_id != organization.pk:
        raise ValidationError({"integration": "Choose an integration of the application's own organization."})
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        memberships = Membership.objects.active().filter(user=user, organization=organization)
        if not hold_still(memberships):
            raise ConnectLinkError("only an active member of the application's organization can connect for it")
        invitation = ConnectInvitation.objects.create(
            organization=organization,
            user=user,
            application=application,
            integration=integration,
            token_digest=digest_secret(token),
            return_url=return_url,
            expires_at=timezone.now() + LINK_LIFETIME,
        )
        actor = actor or make_actor(user=user, application=application)
        _record(EventType.CONNECTION_STARTED, invitation, actor, "ok", for_user=str(user.pk))
    url = f"{settings.PUBLIC_URL}/oauth/connect?session={token}"
    return ConnectLink(url, invitation.pk, invitation.expires_at)


def open_invitation(*, token: str, user: User, browser: str, actor: Actor | None = None) -> ConnectInvitation:
    """Spend the link: the browser that comes first is the one that goes on. Raises ConnectLinkError.

    The same browser may come again. Another person's attempt is recorded, and learns nothing.
    """
    rows = ConnectInvitation.objects.select_related(*_RELATED)
    invitation = rows.filter(token_digest=digest_secret(token)).first()
    if invitation is None:
        raise ConnectLinkError("there is no such link")
    _check_person(invitation, user, actor)
    _check_live(invitation)
    unopened = ConnectInvitation.objects.filter(pk=invitation.pk, opened_at__isnull=True)
    if unopened.update(opened_at=timezone.now(), browser_digest=digest_secret(browser)):
        invitation.refresh_from_db(fields=["opened_at", "browser_digest"])
        return invitation
    invitation.refresh_from_db(fields=["browser_digest"])
    _check_browser(invitation, browser, user, actor)
    return invitation


def get_invitation(*, invitation_id: UUID, user: User, browser: str, actor: Actor | None = None) -> ConnectInvitation:
    """Return an invitation that this browser has opened, for its person. Raises ConnectLinkError."""
    invitation = ConnectInvitation.objects.select_related(*_RELATED).filter(pk=invitation_id).first()
    if invitation is None:
        raise ConnectLinkError("there is no such link")
    _check_person(invitation, user, actor)
    _check_live(invitation)
    _check_browser(invitation, browser, user, actor)
    return invitation


def finish_invitation(invitation: ConnectInvitation) -> None:
    ConnectInvitation.objects.filter(pk=invitation.pk, used_at__isnull=True).update(used_at=timezone.now())


def _check_person(invitation: ConnectInvitation, user: User, actor: Actor | None) -> None:
    memberships = Membership.objects.active().filter(user=user, organization=invitation.organization_id)
    if invitation.user_id == user.pk and memberships.exists():
        return
    _refuse(invitation, user, actor, "another person")
    raise ConnectLinkError("this link was made for another person")


def _check_live(invitation: ConnectInvitation) -> None:
    is_over = invitation.used_at is not None or invitation.expires_at <= timezone.now()
    if is_over or not invitation.application.is_active:
        raise ConnectLinkEndedError(_ENDED)


def _check_browser(invitation: ConnectInvitation, browser: str, user: User, actor: Actor | None) -> None:
    if not browser or not hmac.compare_digest(invitation.browser_digest, digest_secret(browser)):
        _refuse(invitation, user, actor, "another browser")
        raise ConnectLinkEndedError(_ENDED)


def _refuse(invitation: ConnectInvitation, user: User, actor: Actor | None, reason: str) -> None:
    details = {"made_for": str(invitation.user_id), "reason": reason}
    _record(EventType.CONNECTION_REFUSED, invitation, actor or make_actor(user=user), "denied", **details)


def _record(type: str, invitation: ConnectInvitation, actor: Actor, outcome: str, **details: str) -> None:
    integration = invitation.integration
    subject = Subject(integration_id=integration.pk, integration=integration.slug) if integration else Subject()
    record_event(
        type=type,
        organization_id=invitation.organization_id,
        outcome=outcome,
        actor=actor,
        subject=subject,
        details={"invitation": str(invitation.pk), "application": str(invitation.application_id), **details},
    )
