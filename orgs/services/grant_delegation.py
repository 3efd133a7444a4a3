from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from django.db import transaction
from django.utils import timezone

from audit.services.record import record_event
from audit.types import EventType
from orgs.errors import NotAMemberError
from orgs.http import make_actor
from orgs.models import Application, Delegation, Membership, User
from orgs.services.revoke_delegation import revoke_delegation


def grant_delegation(
    *,
    user: User,
    application: Application,
    scopes: Collection[str],
    resources: Collection[str],
    redirect_host: str,
    expires_at: dt.datetime | None = None,
) -> Delegation:
    """Record a person's consent. What they consented to before, for the same redirect host, stays part of it.

    With another redirect host the former consent ends, and its tokens with it: it was given to somewhere else.
    What is paused stays so: only resuming it ends a pause.
    """
    with transaction.atomic():
        # Two consents at the same moment wait for each other here.
        Application.objects.select_for_update().get(pk=application.pk)
        _check_member(user, application)
        former = Delegation.objects.filter(user=user, application=application, revoked_at__isnull=True).first()
        paused_at = former.paused_at if former is not None else None
        if former is not None and not _can_be_extended(former, redirect_host):
            revoke_delegation(delegation=former, reason="replaced")
            former = None
        delegation = former or Delegation(
            organization=application.organization,
            user=user,
            application=application,
            redirect_host=redirect_host,
            paused_at=paused_at,
        )
        # To the second, as tokens count: one issued within this second must not look older than the consent.
        delegation.granted_at = delegation.granted_at or timezone.now().replace(microsecond=0)
        delegation.scopes = sorted({*delegation.scopes, *scopes})
        delegation.resources = sorted({*delegation.resources, *resources})
        delegation.expires_at = expires_at
        delegation.save()
        _record(delegation)
    return delegation


def _check_member(user: User, application: Application) -> None:
    memberships = Membership.objects.active().filter(user=user, organization=application.organization_id)
    if application.organization_id is None or not memberships.exists():
        raise NotAMemberError("only an active member of the application's organization can consent to it")


def _can_be_extended(former: Delegation, redirect_host: str) -> bool:
    is_live = former.expires_at is None or former.expires_at > timezone.now()
    return is_live and former.redirect_host == redirect_host


def _record(delegation: Delegation) -> None:
    record_event(
        type=EventType.DELEGATION_GRANTED,
        organization_id=delegation.organization_id,
        actor=make_actor(user=delegation.user, application=delegation.application),
        details={
            "delegation": str(delegation.pk),
            "scopes": delegation.scopes,
            "resources": delegation.resources,
            "redirect_host": delegation.redirect_host,
            "expires_at": delegation.expires_at.isoformat() if delegation.expires_at else None,
        },
    )
