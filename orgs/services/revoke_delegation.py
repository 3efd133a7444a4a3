from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Delegation
from orgs.services.end_tokens import end_tokens


def revoke_delegation(*, delegation: Delegation, actor: Actor | None = None, reason: str = "revoked") -> int:
    """End a consent and, at once, every code, access token and refresh token that rests on it.

    Returns how many access tokens were live. Revoking what is revoked changes nothing and returns 0.
    """
    with transaction.atomic():
        changed = Delegation.objects.filter(pk=delegation.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
        if not changed:
            return 0
        ended = end_tokens(application=delegation.application, user=delegation.user)
        record_event(
            type=EventType.DELEGATION_REVOKED,
            organization_id=delegation.organization_id,
            actor=actor or make_actor(user=delegation.user, application=delegation.application),
            details={
                "delegation": str(delegation.pk),
                "of_user": str(delegation.user_id),
                "application": delegation.application.client_id,
                "reason": reason,
                "access_tokens_ended": ended,
            },
        )
    delegation.refresh_from_db(fields=["revoked_at"])
    return ended
