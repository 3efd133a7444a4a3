"""Rules that go because something else does: what they were about is deleted, and they with it."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import make_actor
from policy.describe import describe_rule
from policy.models import Rule
from policy.state import get_state


def record_cascade(sender: type[Rule], instance: Rule, origin: Model | QuerySet[Model], **_: Any) -> None:
    """Record that a rule went with its group, application, integration or person: a deny ends with it, too."""
    model = origin.model if isinstance(origin, QuerySet) else type(origin)
    if model is Rule:
        return  # the service that deletes rules records it, with who did it
    record_event(
        type=EventType.RULE_DELETED,
        organization_id=instance.organization_id,
        actor=make_actor(),
        details={
            "rule": str(instance.pk),
            "sentence": describe_rule(instance),
            "state": get_state(instance),
            "because": f"the {model._meta.verbose_name} was deleted",
        },
    )
