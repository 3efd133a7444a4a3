"""Say no to a call that a layer asks about."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from policy.approvals import REFUSED, check_may_answer, record_approval_event
from policy.models import Approval
from policy.services.approve_call import lock_waiting

_MAX_REASON = 255


def deny_call(*, approval: Approval, approver: User, reason: str = "", actor: Actor | None = None) -> Approval:
    """Refuse, with a reason that the application is told, and return what is so.

    The same call is not asked about for a while. Raises ValidationError, NotAllowedToAnswerError, and SettledError as
    approve_call does.
    """
    reason = reason.strip()
    if len(reason) > _MAX_REASON or "\0" in reason:
        raise ValidationError({"reason": [f"Write at most {_MAX_REASON} characters of text."]})
    with transaction.atomic():
        row = lock_waiting(approval)
        check_may_answer(approver, row)
        row.status, row.arguments, row.answer = Approval.Status.DENIED, b"", reason
        row.settled_by, row.settled_at = approver, timezone.now()
        row.expires_at = row.settled_at + REFUSED
        row.save()
        record_approval_event(
            EventType.APPROVAL_DENIED, row, actor or make_actor(user=approver), outcome="denied", reason=reason
        )
    return row
