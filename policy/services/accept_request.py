"""Say yes to somebody's request for a rule."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from policy.errors import SettledError
from policy.models import Rule, RuleRequest
from policy.requests import check_may_answer, make_rule, record_request_event
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule

# What may be said otherwise than it was proposed. Whose layer it is may not: that would be another request.
CHANGEABLE = frozenset(
    {"user", "group", "application", "capability", "klass", "conditions", "reason", "valid_from", "valid_until"}
)


def accept_request(*, request: RuleRequest, acceptor: User, actor: Actor | None = None, **changes: Any) -> RuleRequest:
    """Write the proposed rule, with these fields (of CHANGEABLE) said otherwise, or remove the rule that denies.

    Everybody who asks for the same is answered. Raises ValidationError, NotAllowedToAnswerError,
    NotAllowedToAuthorError, and SettledError where it has been answered already.
    """
    if unknown := sorted(set(changes) - CHANGEABLE):
        raise ValidationError({name: ["This can't be changed."] for name in unknown})
    with transaction.atomic():
        row = lock_open(request)
        check_may_answer(acceptor, row)
        actor = actor or make_actor(user=acceptor)
        rule = _carry_out(row, acceptor, actor, changes)
        for one in _find_same(row):
            one.status, one.settled_by, one.settled_at = RuleRequest.Status.ACCEPTED, acceptor, timezone.now()
            one.rule = rule
            one.save()
            record_request_event(
                EventType.RULE_REQUEST_ACCEPTED, one, actor, rule=str(rule.pk) if rule is not None else None
            )
        row.refresh_from_db()
    return row


def lock_open(request: RuleRequest) -> RuleRequest:
    """Return the row as it is now, in nobody else's hands. Raises SettledError unless it waits for an answer."""
    rows = RuleRequest.objects.select_related("organization", "asker", "application", "integration", "rule")
    row = rows.select_for_update(of=("self",)).filter(pk=request.pk).first()
    if row is None or row.status != RuleRequest.Status.PENDING or row.expires_at <= timezone.now():
        raise SettledError("this has been answered already, or its time is over")
    return row


def _find_same(row: RuleRequest) -> list[RuleRequest]:
    """Return the open requests for this very change, whoever asks."""
    same = RuleRequest.objects.for_organization(row.organization_id).filter(
        proposal=row.proposal, status=RuleRequest.Status.PENDING
    )
    return list(same.select_related("application", "integration").select_for_update(of=("self",)).order_by("pk"))


def _carry_out(row: RuleRequest, acceptor: User, actor: Actor, changes: dict[str, Any]) -> Rule | None:
    if row.action == RuleRequest.Action.REMOVE:
        if changes:
            raise ValidationError("A rule that is removed can't be changed at the same time.")
        if row.rule is not None:
            delete_rule(rule=row.rule, author=acceptor, actor=actor)
        return None
    proposed = make_rule(row)
    fields = {name: getattr(proposed, name) for name in ("user", "application", "capability")} | changes
    return create_rule(
        organization=row.organization,
        layer=row.layer,
        effect=proposed.effect,
        integration=row.integration,
        author=acceptor,
        actor=actor,
        **fields,
    )
