"""Take a rule away."""

from __future__ import annotations

from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from policy.access import check_may_author
from policy.describe import describe_rule
from policy.models import Rule
from policy.state import get_state


def delete_rule(*, rule: Rule, author: User | None = None, actor: Actor | None = None) -> None:
    """Delete a rule. The audit trail keeps what it said. Raises NotAllowedToAuthorError where `author` may not.

    Nothing happens to a rule that is gone already.
    """
    if author is not None:
        check_may_author(author, rule)
    with transaction.atomic():
        stored = Rule.objects.select_for_update(of=("self",)).with_names().filter(pk=rule.pk).first()
        if stored is None:
            return
        record_event(
            type=EventType.RULE_DELETED,
            organization_id=stored.organization_id,
            actor=actor or make_actor(user=author),
            details={"rule": str(stored.pk), "sentence": describe_rule(stored), "state": get_state(stored)},
        )
        stored.delete()
