"""Ask whoever could allow it for a rule."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.models import AuditEvent
from audit.services.record import Actor
from audit.types import EventType
from connections.models import Integration
from orgs.http import make_actor
from orgs.models import Application, Membership
from policy.models import Rule, RuleRequest
from policy.requests import LIFETIME, MOST_OPEN, Proposal, is_own, read_proposals, record_request_event

_GONE = "What this was about is no longer there."
_MAX_NOTE = 500


def request_rule(
    *, membership: Membership, call: AuditEvent, number: int, note: str = "", actor: Actor | None = None
) -> RuleRequest:
    """Ask for the change that the explanation of a refused call proposes at place `number`, and return the request.

    Only what a call of this very person was refused for can be asked for, and in its own organization. Asked again
    while it is open, it is the same request. Raises ValidationError, keyed by field.
    """
    if call.organization_id != membership.organization_id or call.user_id != membership.user_id or not call.phase:
        raise ValidationError({"call": ["You have made no such call here."]})
    proposal = _find_proposal(membership, call, number)
    note = note.strip()
    if len(note) > _MAX_NOTE or "\0" in note:
        raise ValidationError({"note": [f"Write at most {_MAX_NOTE} characters of text."]})
    with transaction.atomic():
        # Two clicks at the same moment wait for each other here.
        Membership.objects.select_for_update(no_key=True).get(pk=membership.pk)
        mine = RuleRequest.objects.for_organization(membership.organization_id).filter(
            asker=membership.user, status=RuleRequest.Status.PENDING
        )
        known = mine.filter(proposal=proposal.digest()).first()
        if known is not None:
            return known
        if mine.count() >= MOST_OPEN:
            raise ValidationError(f"You have {MOST_OPEN} open requests: wait for answers, or withdraw some.")
        request = RuleRequest.objects.create(
            organization=membership.organization,
            asker=membership.user,
            layer=proposal.layer,
            proposal=proposal.digest(),
            sentence=proposal.sentence[:1000],
            note=note,
            call=call.call,
            expires_at=timezone.now() + LIFETIME,
            **_find_rows(membership, call, proposal),
        )
        record_request_event(EventType.RULE_REQUESTED, request, actor or make_actor(user=membership.user))
    return request


def _find_proposal(membership: Membership, call: AuditEvent, number: int) -> Proposal:
    proposals = {proposal.number: proposal for proposal in read_proposals(call.decision)}
    if call.outcome != "denied" or number not in proposals:
        raise ValidationError({"call": ["The explanation of this call proposes no such change."]})
    proposal = proposals[number]
    if is_own(proposal, membership.user):
        raise ValidationError({"call": ["This is a rule of your own: change it under My rules."]})
    return proposal


def _find_rows(membership: Membership, call: AuditEvent, proposal: Proposal) -> dict[str, Any]:
    """Return what the proposal names, as rows of the asker's organization."""
    organization = membership.organization
    applications = Application.objects.for_organization(organization)
    integrations = Integration.objects.for_organization(organization)
    rows: dict[str, Any] = {
        "action": proposal.action,
        "application": applications.filter(pk=str(call.application_id)).first(),
        "integration": integrations.filter(pk=str(call.integration_id)).first(),
        "capability": call.capability,
    }
    if proposal.action == RuleRequest.Action.REMOVE:
        known = Rule.objects.for_organization(organization)
        rows["rule"] = known.filter(pk=UUID(str(proposal.rule["id"])), layer=proposal.layer).first()
    if any(value is None for value in rows.values()):
        raise ValidationError({"call": [_GONE]})
    return rows
