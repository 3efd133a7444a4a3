"""Say yes to a call that a layer asks about."""

from __future__ import annotations

import datetime as dt

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from orgs.vault import VaultError
from policy.approvals import LIFETIMES, ONCE, check_may_answer, make_rule, open_arguments, record_approval_event
from policy.errors import SettledError
from policy.models import Approval, Rule
from policy.services.create_rule import create_rule

_Scope = Approval.Scope


def approve_call(
    *, approval: Approval, approver: User, scope: str, lifetime: str = "", actor: Actor | None = None
) -> Approval:
    """Approve once, these arguments or any for a `lifetime` (a key of LIFETIMES), or for good, and return what is so.

    As a rule, it writes one that allows the capability in the layer that asked; the approval holds for calls that the
    rule is about, and as long as it is there. The call itself is decided anew when it is repeated.

    Raises ValidationError, NotAllowedToAnswerError, NotAllowedToAuthorError, and SettledError where somebody else was
    faster or the time is over.
    """
    with transaction.atomic():
        row = lock_waiting(approval)
        check_may_answer(approver, row)
        _check_readable(row)
        row.status, row.scope, row.arguments = Approval.Status.APPROVED, _read_scope(scope), b""
        row.settled_by, row.settled_at = approver, timezone.now()
        row.expires_at = _get_end(scope, lifetime, row.settled_at)
        if scope == _Scope.RULE:
            row.rule = _write_rule(row, approver, actor)
        row.save()
        record_approval_event(
            EventType.APPROVAL_APPROVED,
            row,
            actor or make_actor(user=approver),
            scope=row.scope,
            until=row.expires_at.isoformat() if row.expires_at is not None else None,
            rule=str(row.rule_id) if row.rule_id is not None else None,
        )
    return row


def lock_waiting(approval: Approval) -> Approval:
    """Return the row as it is now, in nobody else's hands. Raises SettledError unless it waits for an answer."""
    row = Approval.objects.with_names().select_for_update(of=("self",)).filter(pk=approval.pk).first()
    if row is None or row.status != Approval.Status.PENDING:
        raise SettledError("this has been answered already")
    if row.expires_at is None or row.expires_at <= timezone.now():
        raise SettledError("the time to answer this is over: the application has to ask again")
    return row


def _check_readable(row: Approval) -> None:
    """Refuse a yes to what nobody can have read."""
    try:
        open_arguments(row)
    except VaultError:
        raise SettledError("the arguments were changed in the database and can't be opened: deny this") from None


def _read_scope(scope: str) -> str:
    if scope not in _Scope.values:
        raise ValidationError({"scope": [f"Choose one of: {', '.join(_Scope.values)}."]})
    return scope


def _get_end(scope: str, lifetime: str, now: dt.datetime) -> dt.datetime | None:
    if scope == _Scope.RULE:
        return None
    if scope == _Scope.ONCE:
        return now + ONCE
    if lifetime not in LIFETIMES:
        raise ValidationError({"lifetime": [f"Choose one of: {', '.join(LIFETIMES)}."]})
    return now + LIFETIMES[lifetime]


def _write_rule(approval: Approval, author: User, actor: Actor | None) -> Rule:
    rule = make_rule(approval)
    return create_rule(
        organization=approval.organization,
        layer=rule.layer,
        effect=rule.effect,
        user=rule.user,
        application=rule.application,
        integration=rule.integration,
        capability=rule.capability,
        author=author,
        actor=actor,
    )
