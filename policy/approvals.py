"""What approvals are made of: sealed arguments, a code to compare, a page, and the rule that would be the answer."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import Q

from audit.services.record import Actor, Subject, record_event
from orgs.models import Membership, User
from orgs.vault import decrypt, encrypt
from policy.access import answers_for, may_author
from policy.describe import describe_rule
from policy.engine import Grant, Question, Scope, Topic
from policy.engine import Layer as EngineLayer
from policy.engine.questions import BASELINE
from policy.errors import NotAllowedToAnswerError
from policy.models import Approval, Layer, Rule
from policy.querysets import ApprovalQuerySet

# Until when somebody can answer. Until then the arguments are kept.
WAITING = dt.timedelta(days=1)
# Until when an approval for one call has to be used.
ONCE = dt.timedelta(hours=1)
# For how long the same call is not asked about again after a no.
REFUSED = dt.timedelta(hours=1)
LIFETIMES: Mapping[str, dt.timedelta] = {
    "quarter": dt.timedelta(minutes=15),
    "hour": dt.timedelta(hours=1),
    "day": dt.timedelta(hours=8),
    "week": dt.timedelta(days=7),
}
LIFETIME_NAMES: Mapping[str, str] = {
    "quarter": "15 minutes",
    "hour": "an hour",
    "day": "8 hours",
    "week": "7 days",
}
# Letters that nobody takes for another one, and that make no words.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


def make_code() -> str:
    """Return what people compare between their application and the page: no secret, but nobody else's, either."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def get_link(approval: Approval) -> str:
    """Return the page where it is answered: by whom it is for, and nobody else."""
    return f"{settings.PUBLIC_URL}/approvals/{approval.pk}/"


def digest_question(approval: Approval) -> str:
    """Return a digest of everything an answer is bound to."""
    keys = (approval.user_id, approval.application_id, approval.integration_id)
    what = (approval.kind, approval.capability, approval.arguments_digest, sorted(approval.asked_by))
    return hashlib.sha256(json.dumps([approval.layer, *map(str, keys), *what]).encode()).hexdigest()


def seal_arguments(approval: Approval, arguments: bytes) -> bytes:
    """Seal the JSON of a call's arguments: it opens for this row and these arguments alone."""
    return encrypt(approval.organization_id, arguments, associated_data=_bind(approval))


def open_arguments(approval: Approval) -> Any:
    """Return a call's arguments while they are kept, else None. Raises VaultError when they were moved or changed."""
    if not approval.arguments:
        return None
    return json.loads(decrypt(approval.organization_id, approval.arguments, associated_data=_bind(approval)))


def make_rule(approval: Approval) -> Rule:
    """Return the rule, not stored, that would be the answer for good: as narrow as the layer can say it."""
    rule = Rule(
        organization=approval.organization,
        layer=approval.layer,
        effect="allow",
        integration=approval.integration,
        capability=approval.capability,
    )
    if approval.layer == Layer.USER or (approval.layer == Layer.ORG and approval.user_id is not None):
        rule.user = approval.user
    if approval.layer != Layer.ORG or approval.user_id is None:
        rule.application = approval.application
    return rule


def may_answer(user: User, approval: Approval) -> bool:
    """Tell whether a person may answer: who may write the rule that would, may also say yes or no to one call."""
    return may_author(user, make_rule(approval))


def check_may_answer(user: User, approval: Approval) -> None:
    if not may_answer(user, approval):
        raise NotAllowedToAnswerError("this is for somebody else to decide")


def find_answerable(membership: Membership) -> ApprovalQuerySet[Approval]:
    """Return the approvals that this person answers, or could have answered."""
    own = Q(layer=Layer.USER, user=membership.user)
    rows = Approval.objects.for_organization(membership.organization_id).with_names()
    return rows.filter(own | answers_for(membership.user, membership.role))


def find_visible(membership: Membership) -> ApprovalQuerySet[Approval]:
    """Return what this person answers, and what is asked about calls made for them."""
    rows = Approval.objects.for_organization(membership.organization_id).with_names()
    return rows.filter(Q(user=membership.user) | answers_for(membership.user, membership.role))


def name_answerer(approval: Approval) -> str:
    """Return who can answer, in words that name nobody."""
    if approval.layer == Layer.USER:
        return str(approval.user)
    who = "an administrator or policy author"
    return who if approval.layer == Layer.ORG else f"the owner of {approval.application}, or {who}"


def get_topic(approval: Approval) -> Topic:
    """Return what an approval is about, as the engine names it."""
    user = str(approval.user_id) if approval.user_id is not None else None
    return user, str(approval.application_id), str(approval.integration_id), approval.kind, approval.capability


def describe_answer_rule(approval: Approval) -> str:
    return describe_rule(make_rule(approval))


def describe_questioners(approval: Approval) -> list[str]:
    """Return what asks, as sentences: what somebody can see who is asked by it, or for whom it asks."""
    keys = [one.partition(":")[0] for one in approval.asked_by if one != BASELINE]
    rules = Rule.objects.for_organization(approval.organization_id).filter(pk__in=keys).with_names()
    sentences = [f"{describe_rule(rule)}{f' ({rule.reason})' if rule.reason else ''}" for rule in rules]
    if BASELINE in approval.asked_by:
        sentences.append("Where no rule speaks, the baseline of this layer is to ask")
    return sentences


def make_grant(approval: Approval) -> Grant:
    """Return an approval in force as the engine takes it."""
    assert approval.settled_at is not None
    return Grant(
        id=str(approval.pk),
        layer=EngineLayer(approval.layer),
        scope=Scope(approval.scope),
        asked_by=frozenset(approval.asked_by),
        arguments_digest=approval.arguments_digest,
        granted_at=approval.settled_at.timestamp(),
        expires_at=approval.expires_at.timestamp() if approval.expires_at is not None else None,
        rule=str(approval.rule_id) if approval.rule_id is not None else None,
    )


def is_asked_by(approval: Approval, question: Question) -> bool:
    """Tell whether an approval is about what this layer asks now."""
    return approval.layer == question.layer.value and question.asked_by <= set(approval.asked_by)


def record_approval_event(type: str, approval: Approval, actor: Actor, outcome: str = "ok", **details: Any) -> None:
    """Record what happened to an approval: with the arguments' digest, never with the arguments."""
    record_event(
        type=type,
        organization_id=approval.organization_id,
        outcome=outcome,
        actor=actor,
        subject=Subject(
            integration_id=approval.integration_id,
            integration=approval.integration.slug,
            capability=approval.capability[:255],
        ),
        details={
            "approval": str(approval.pk),
            "layer": approval.layer,
            "code": approval.code,
            "application": str(approval.application),
            "user": str(approval.user_id) if approval.user_id is not None else None,
            "digest": approval.arguments_digest,
            "call": str(approval.call),
            **details,
        },
    )


def _bind(approval: Approval) -> bytes:
    return f"approval:{approval.pk}:{approval.arguments_digest}".encode()
