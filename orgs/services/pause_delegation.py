from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.errors import DelegationEndedError
from orgs.http import make_actor
from orgs.models import Delegation


def pause_delegation(*, delegation: Delegation, actor: Actor | None = None) -> bool:
    """Have everything refused that the application asks for this person, until it is resumed. Nothing is revoked.

    Tokens stay, and are renewed, so that the application goes on by itself afterwards. Returns whether anything
    changed. Raises DelegationEndedError where the consent counts no more.
    """
    return _set(delegation, timezone.now(), EventType.DELEGATION_PAUSED, actor)


def resume_delegation(*, delegation: Delegation, actor: Actor | None = None) -> bool:
    """Take a pause back. Returns whether there was one. Raises DelegationEndedError."""
    return _set(delegation, None, EventType.DELEGATION_RESUMED, actor)


def _set(delegation: Delegation, paused_at: dt.datetime | None, event: EventType, actor: Actor | None) -> bool:
    with transaction.atomic():
        # Whoever pauses, resumes or revokes at the same moment waits here, and then sees what the other one did.
        current = Delegation.objects.usable().select_for_update().filter(pk=delegation.pk).first()
        if current is None:
            raise DelegationEndedError("this consent has ended: there is nothing to pause or resume")
        if current.is_paused is (paused_at is not None):
            return False
        Delegation.objects.filter(pk=delegation.pk).update(paused_at=paused_at)
        record_event(
            type=event,
            organization_id=delegation.organization_id,
            actor=actor or make_actor(user=delegation.user, application=delegation.application),
            details={
                "delegation": str(delegation.pk),
                "of_user": str(delegation.user_id),
                "application": delegation.application.client_id,
            },
        )
    delegation.paused_at = paused_at
    return True
