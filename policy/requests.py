"""What requests for rules are made of: proposals out of an explanation, and who may say yes to them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from audit.services.record import Actor, Subject, record_event
from orgs.models import Membership, User
from orgs.querysets import OrganizationOwnedQuerySet
from policy.access import answers_for, is_policy_author, may_author
from policy.errors import NotAllowedToAnswerError
from policy.models import Layer, Rule, RuleRequest

LIFETIME = dt.timedelta(days=30)
# Who has this many open requests is asking for a policy, not for a rule.
MOST_OPEN = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change that an explanation proposes. `number` is its place there; `rule` is as the engine writes it."""

    number: int
    action: str
    layer: str
    sentence: str
    rule: Mapping[str, Any]

    def digest(self) -> str:
        parts = [self.action, self.layer, sorted((key, str(value)) for key, value in self.rule.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_proposals(explanation: object) -> Iterator[Proposal]:
    """Yield the changes proposed by an explanation. Events outlive the code that wrote them: odd ones are left out."""
    fix = explanation.get("fix") if isinstance(explanation, Mapping) else None
    changes = fix.get("changes") if isinstance(fix, Mapping) else None
    for number, change in enumerate(changes if isinstance(changes, list) else []):
        rule = change.get("rule") if isinstance(change, Mapping) else None
        action = _ACTIONS.get(str(change.get("action"))) if isinstance(change, Mapping) else None
        if action is not None and isinstance(rule, Mapping) and change.get("layer") in Layer.values:
            yield Proposal(number, action, change["layer"], str(change.get("sentence", "")), rule)


def is_own(proposal: Proposal, user: User) -> bool:
    """Tell whether a change is in the person's own layer, which they need ask nobody about."""
    if proposal.layer != Layer.USER:
        return False
    if proposal.action == RuleRequest.Action.ADD:
        return True
    return Rule.objects.filter(pk=str(proposal.rule.get("id")), user=user).exists()


def make_rule(request: RuleRequest) -> Rule:
    """Return the rule that a request proposes, not stored; or the stored one that it wants removed."""
    if request.action == RuleRequest.Action.REMOVE and request.rule is not None:
        return request.rule
    return Rule(
        organization=request.organization,
        layer=request.layer,
        effect="allow",
        application=request.application,
        integration=request.integration,
        capability=request.capability,
    )


def may_answer(user: User, request: RuleRequest) -> bool:
    """Tell whether a person may accept or decline: who may write, or remove, the rule in question."""
    return may_author(user, make_rule(request))


def check_may_answer(user: User, request: RuleRequest) -> None:
    if not may_answer(user, request):
        raise NotAllowedToAnswerError("this is for somebody else to decide")


def find_answerable(membership: Membership) -> OrganizationOwnedQuerySet[RuleRequest]:
    """Return the requests that this person answers, or could have answered."""
    mine = answers_for(membership.user, membership.role)
    if is_policy_author(membership.user, membership.role):
        # What a group hands down is said in the user layer, and is theirs to change.
        mine |= Q(layer=Layer.USER, rule__user__isnull=True)
    return find_all(membership.organization_id).filter(mine)


def find_visible(membership: Membership) -> OrganizationOwnedQuerySet[RuleRequest]:
    """Return what this person answers, and what they have asked for."""
    visible = Q(pk__in=find_answerable(membership).values("pk")) | Q(asker=membership.user)
    return find_all(membership.organization_id).filter(visible)


def find_open_requests(membership: Membership) -> OrganizationOwnedQuerySet[RuleRequest]:
    """Return the requests that wait for this person."""
    return find_answerable(membership).filter(status=RuleRequest.Status.PENDING, expires_at__gt=timezone.now())


def find_all(organization_id: UUID) -> OrganizationOwnedQuerySet[RuleRequest]:
    rows = RuleRequest.objects.for_organization(organization_id)
    named = (f"rule__{name}" for name in ("user", "group", "application", "integration"))
    return rows.select_related("organization", "asker", "application", "integration", "settled_by", *named)


def name_answerer(request: RuleRequest) -> str:
    """Return who can answer, in words that name nobody."""
    who = "an administrator or policy author"
    return f"the owner of {request.application}, or {who}" if request.layer == Layer.APPLICATION else who


def record_request_event(type: str, request: RuleRequest, actor: Actor, outcome: str = "ok", **details: Any) -> None:
    record_event(
        type=type,
        organization_id=request.organization_id,
        outcome=outcome,
        actor=actor,
        subject=Subject(
            integration_id=request.integration_id,
            integration=request.integration.slug,
            capability=request.capability,
        ),
        details={
            "request": str(request.pk),
            "sentence": request.sentence,
            "action": request.action,
            "layer": request.layer,
            "application": str(request.application),
            "asker": str(request.asker_id),
            "call": str(request.call),
            **details,
        },
    )


_ACTIONS = {"add_rule": RuleRequest.Action.ADD.value, "remove_rule": RuleRequest.Action.REMOVE.value}
