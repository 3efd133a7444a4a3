"""Bring a rule back to what it said after one of its changes, or before it was deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.dateparse import parse_datetime

from audit.services.record import Actor
from connections.models import Integration
from orgs.models import Application, Group, Organization, User
from policy.history import find_revision
from policy.models import Rule
from policy.services.create_rule import create_rule
from policy.services.update_rule import update_rule
from policy.state import REFERENCES

_MODELS = {"user": User, "group": Group, "application": Application, "integration": Integration}


def restore_rule(*, organization: Organization, event: UUID, author: User | None, actor: Actor | None = None) -> Rule:
    """Return the rule as it is again. One that was deleted is written anew, and is then another rule.

    `event` is the audit event of the change. Raises ValidationError where there is none, or where what the rule was
    about is gone, and NotAllowedToAuthorError where `author` may not write such a rule.
    """
    revision = find_revision(organization=organization, event=event)
    if revision is None:
        raise ValidationError({"event": ["There is no such change of a rule in this organization."]})
    fields = _read_fields(revision.state)
    with transaction.atomic():
        rule = Rule.objects.for_organization(organization).filter(pk=revision.rule).first()
        if rule is not None:
            return update_rule(rule=rule, author=author, actor=actor, **fields)
        return create_rule(organization=organization, author=author, actor=actor, **fields)


def _read_fields(state: dict[str, Any]) -> dict[str, Any]:
    # What was written down before rules could have limits says that there was none.
    state = {"limit_count": None, "limit_period": "", "limit_per": "", **state}
    times = {name: parse_datetime(state[name]) if state[name] else None for name in ("valid_from", "valid_until")}
    return {**state, **times, **{name: _get_referred(name, state[name]) for name in REFERENCES}}


def _get_referred(name: str, key: str | None) -> Any:
    """Whose it is, the rule's own checks look at: every one of them holds references to its organization."""
    if key is None:
        return None
    found = _MODELS[name]._default_manager.filter(pk=key).first()
    if found is None:
        raise ValidationError({name: [f"The {name} that the rule was about is gone."]})
    return found
