"""Change a rule."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from policy.access import check_may_author
from policy.checks import check_rule
from policy.describe import describe_rule
from policy.models import Rule
from policy.state import FIELDS, get_difference, get_state


def update_rule(*, rule: Rule, author: User | None = None, actor: Actor | None = None, **changes: Any) -> Rule:
    """Change the given fields (those of create_rule) and return the rule as it is now stored.

    Raises ValidationError, keyed by field; NotAllowedToAuthorError where `author` may write neither the rule nor what
    it would become; Rule.DoesNotExist when somebody deleted it meanwhile.
    """
    if unknown := sorted(set(changes) - set(FIELDS)):
        raise ValidationError({name: ["This can't be changed."] for name in unknown})
    with transaction.atomic():
        # Locked, so that what the event says changed is what changed.
        stored = Rule.objects.select_for_update(of=("self",)).with_names().get(pk=rule.pk)
        former = get_state(stored)
        _check_author(author, stored)
        for name, value in changes.items():
            setattr(stored, name, value.strip() if isinstance(value, str) else value)
        difference = get_difference(former, get_state(stored))
        if not difference:
            return stored
        _check_author(author, stored)
        check_rule(stored)
        stored.save()
        record_event(
            type=EventType.RULE_CHANGED,
            organization_id=stored.organization_id,
            actor=actor or make_actor(user=author),
            details={
                "rule": str(stored.pk),
                "sentence": describe_rule(stored),
                "changed": difference,
                "state": get_state(stored),
            },
        )
    return stored


def _check_author(author: User | None, rule: Rule) -> None:
    if author is not None:
        check_may_author(author, rule)
