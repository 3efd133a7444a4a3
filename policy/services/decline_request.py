"""Say no to somebody's request for a rule, or take one's own back."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from policy.errors import NotAllowedToAnswerError
from policy.models import RuleRequest
from policy.requests import check_may_answer, record_request_event
from policy.services.accept_request import lock_open

_MAX_REASON = 500


def decline_request(*, request: RuleRequest, decliner: User, reason: str, actor: Actor | None = None) -> RuleRequest:
    """Decline, with a reason that the asker reads. Raises ValidationError, NotAllowedToAnswerError, SettledError."""
    reason = reason.strip()
    if not reason:
        raise ValidationError({"reason": ["Say why: it is all that the person who asked will read."]})
    if len(reason) > _MAX_REASON or "\0" in reason:
        raise ValidationError({"reason": [f"Write at most {_MAX_REASON} characters of text."]})
    with transaction.atomic():
        row = lock_open(request)
        check_may_answer(decliner, row)
        _settle(row, RuleRequest.Status.DECLINED, decliner, reason)
        actor = actor or make_actor(user=decliner)
        record_request_event(EventType.RULE_REQUEST_DECLINED, row, actor, outcome="denied", reason=reason)
    return row


def withdraw_request(*, request: RuleRequest, asker: User, actor: Actor | None = None) -> RuleRequest:
    """Take back what one asked for oneself. Raises NotAllowedToAnswerError, SettledError."""
    with transaction.atomic():
        row = lock_open(request)
        if row.asker_id != asker.pk:
            raise NotAllowedToAnswerError("this is somebody else's request")
        _settle(row, RuleRequest.Status.WITHDRAWN, asker, "")
        record_request_event(EventType.RULE_REQUEST_WITHDRAWN, row, actor or make_actor(user=asker))
    return row


def expire_requests() -> int:
    """Close what nobody has answered in time; return how many those were."""
    with transaction.atomic():
        over = RuleRequest.objects.filter(status=RuleRequest.Status.PENDING, expires_at__lte=timezone.now())
        rows = list(over.select_related("application", "integration").select_for_update(of=("self",), skip_locked=True))
        for row in rows:
            _settle(row, RuleRequest.Status.EXPIRED, None, "")
            record_request_event(EventType.RULE_REQUEST_EXPIRED, row, make_actor(), outcome="cancelled")
    return len(rows)


def _settle(row: RuleRequest, status: str, by: User | None, reason: str) -> None:
    row.status, row.settled_by, row.settled_at, row.answer = status, by, timezone.now(), reason
    row.save()
