"""Let a call pass that is approved, or ask."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from orgs.models import Organization
from policy.approvals import (
    WAITING,
    digest_question,
    is_asked_by,
    make_code,
    make_grant,
    record_approval_event,
    seal_arguments,
)
from policy.engine import Question, Scope
from policy.errors import ApprovalDeniedError, ApprovalImpossibleError
from policy.models import Approval
from policy.querysets import ApprovalQuerySet
from policy.services.expire_approvals import expire

# What is larger is nothing that a person reads before saying yes.
MAX_ARGUMENTS_BYTES = 64 * 1024
# Who asks about more than these at a time is not being answered, but tires whoever should answer.
MOST_WAITING = 20
_MAX_NAME = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCall:
    """A call that layers ask about. `arguments` is JSON, `arguments_digest` what binds an answer to it.

    `user_id` is None where the application acts for itself. `since` is when the person last let the application act
    for them, in unix seconds: answers from before that are forgotten, as the consent of then is.
    """

    organization_id: UUID
    user_id: UUID | None
    application_id: UUID
    integration_id: UUID
    kind: str
    capability: str
    klass: str
    arguments: bytes = field(repr=False)
    arguments_digest: str
    questions: tuple[Question, ...]
    policy_version: int
    call: UUID
    since: float
    actor: Actor


def use_approvals(*, asked: AskedCall) -> Sequence[Approval]:
    """Return the approvals by which the call passes, or those that somebody has to give first (`status` pending).

    An approval for one call is used up here, by exactly one call, however many processes have calls that it would
    cover: it is locked, and what was found used up by then covers nothing. It is all or nothing: where one layer has
    no answer, those of the others are kept.

    Raises ApprovalDeniedError where somebody lately refused this call, ApprovalImpossibleError where nobody can be
    asked about it.
    """
    if not asked.questions:
        raise ValueError("nothing is asked about this call, so nothing can have been answered")
    _check_name(asked.capability)
    with transaction.atomic():
        found = _find_covering(asked, list(_lock_in_force(asked)))
        if all(approval is not None for _, approval in found):
            used = [approval for _, approval in found if approval is not None]
            for approval in used:
                _use(approval, asked)
            return used
        open_questions = [question for question, approval in found if approval is None]
        _check_not_denied(asked, open_questions)
        return [_ask(asked, question) for question in open_questions]


def _check_name(name: str) -> None:
    """Resources may be called anything; what can't be stored or read can't be asked about."""
    if len(name) > _MAX_NAME or "\0" in name:
        raise ApprovalImpossibleError("what has such a name can't be put before anybody", reason="bad_name")


def _about(asked: AskedCall) -> ApprovalQuerySet[Approval]:
    rows = Approval.objects.for_organization(asked.organization_id).filter(
        application=asked.application_id, user=asked.user_id, integration=asked.integration_id
    )
    return rows.filter(kind=asked.kind, capability=asked.capability)


def _lock_in_force(asked: AskedCall) -> Iterable[Approval]:
    """Return what may cover the call. Whoever would use the same waits for us, and then sees it as it is by then."""
    rules = [UUID(rule) for question in asked.questions for rule in question.allowed_by]
    by_rule = Approval.objects.for_organization(asked.organization_id).filter(scope=Scope.RULE, rule__in=rules)
    keys = [*_about(asked).in_force().values_list("pk", flat=True), *by_rule.in_force().values_list("pk", flat=True)]
    rows = Approval.objects.filter(pk__in=keys).in_force().select_related("application", "integration")
    return rows.select_for_update(of=("self",)).order_by("pk")


def _find_covering(asked: AskedCall, rows: list[Approval]) -> list[tuple[Question, Approval | None]]:
    """Find an answer to each question: one that stays before one that is used up."""
    rows.sort(key=lambda row: row.scope == Scope.ONCE)
    found = (next((row for row in rows if _covers(row, question, asked)), None) for question in asked.questions)
    return list(zip(asked.questions, found, strict=True))


def _covers(row: Approval, question: Question, asked: AskedCall) -> bool:
    now = timezone.now().timestamp()
    return make_grant(row).covers(question, arguments_digest=asked.arguments_digest, now=now, since=asked.since)


def _use(approval: Approval, asked: AskedCall) -> None:
    if approval.scope != Scope.ONCE:
        return
    approval.status = Approval.Status.USED
    approval.used_at = timezone.now()
    approval.save(update_fields=("status", "used_at"))
    record_approval_event(EventType.APPROVAL_USED, approval, asked.actor, used_by=str(asked.call))


def _check_not_denied(asked: AskedCall, questions: list[Question]) -> None:
    """A no holds for a while: an application that asks again at once would only wear people down."""
    denied = _about(asked).filter(
        status=Approval.Status.DENIED, arguments_digest=asked.arguments_digest, expires_at__gt=timezone.now()
    )
    for row in denied.order_by("-settled_at"):
        if any(is_asked_by(row, question) for question in questions):
            until = _write(row.expires_at)
            why = f": {row.answer}" if row.answer else ""
            text = f"this call was refused when somebody was asked about it{why} (not asked again until {until})"
            raise ApprovalDeniedError(text, answer=row.answer, layer=row.layer)


def _ask(asked: AskedCall, question: Question) -> Approval:
    """Return the one open question about this call for this layer, asking it unless it is asked already."""
    row = _make_row(asked, question)
    same = Approval.objects.for_organization(asked.organization_id).filter(question=row.question)
    expire(same.filter(status=Approval.Status.PENDING, expires_at__lte=timezone.now()))
    known = same.waiting().with_names().first()
    if known is not None:
        return known
    _check_can_ask(asked)
    row.arguments = seal_arguments(row, asked.arguments)
    # Of several calls that ask at the same moment, one stores the question, and all get that one.
    Approval.objects.bulk_create([row], ignore_conflicts=True)
    stored = same.waiting().with_names().first()
    if stored is None:
        raise ApprovalImpossibleError("the question could not be put just now: try again", reason="busy")
    if stored.pk == row.pk:
        record_approval_event(EventType.APPROVAL_REQUESTED, stored, asked.actor, until=_write(stored.expires_at))
    return stored


def _write(moment: dt.datetime | None) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else ""


def _check_can_ask(asked: AskedCall) -> None:
    if len(asked.arguments) > MAX_ARGUMENTS_BYTES:
        text = f"a call with more than {MAX_ARGUMENTS_BYTES // 1024} KiB of arguments can't be put before anybody"
        raise ApprovalImpossibleError(text, reason="too_large")
    waiting = Approval.objects.for_organization(asked.organization_id).filter(application=asked.application_id)
    if waiting.filter(user=asked.user_id).waiting().count() >= MOST_WAITING:
        text = f"{MOST_WAITING} calls of this application wait for an answer already: it has to wait for those first"
        raise ApprovalImpossibleError(text, reason="too_many")


def _make_row(asked: AskedCall, question: Question) -> Approval:
    row = Approval(
        organization=Organization(pk=asked.organization_id),
        layer=question.layer.value,
        user_id=asked.user_id,
        application_id=asked.application_id,
        integration_id=asked.integration_id,
        kind=asked.kind,
        capability=asked.capability,
        klass=asked.klass,
        arguments_digest=asked.arguments_digest,
        asked_by=sorted(question.asked_by),
        policy_version=asked.policy_version,
        call=asked.call,
        code=make_code(),
        expires_at=timezone.now() + WAITING,
    )
    row.question = digest_question(row)
    return row
