"""Write a rule."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from connections.models import Integration
from orgs.http import make_actor
from orgs.models import Application, Group, Organization, User
from policy.access import check_may_author
from policy.checks import check_rule
from policy.describe import describe_rule
from policy.models import Rule
from policy.state import get_state


def create_rule(
    *,
    organization: Organization,
    layer: str,
    effect: str,
    user: User | None = None,
    group: Group | None = None,
    application: Application | None = None,
    integration: Integration | None = None,
    capability: str = "",
    klass: str = "",
    conditions: Any = None,
    reason: str = "",
    valid_from: dt.datetime | None = None,
    valid_until: dt.datetime | None = None,
    limit_count: int | None = None,
    limit_period: str = "",
    limit_per: str = "",
    mode: str = Rule.Mode.ENFORCE,
    is_enabled: bool = True,
    author: User | None,
    actor: Actor | None = None,
) -> Rule:
    """Store a rule, which then holds in every gateway within a second.

    Raises ValidationError, keyed by field, and NotAllowedToAuthorError where `author` (None: the system) may not.
    """
    rule = Rule(
        organization=organization,
        layer=layer,
        effect=effect,
        user=user,
        group=group,
        application=application,
        integration=integration,
        capability=capability.strip(),
        klass=klass,
        conditions=conditions,
        reason=reason.strip(),
        valid_from=valid_from,
        valid_until=valid_until,
        limit_count=limit_count,
        limit_period=limit_period,
        limit_per=limit_per,
        mode=mode,
        is_enabled=is_enabled,
        created_by=author,
    )
    if author is not None:
        check_may_author(author, rule)
    check_rule(rule)
    with transaction.atomic():
        rule.save(force_insert=True)
        record_event(
            type=EventType.RULE_CREATED,
            organization_id=rule.organization_id,
            actor=actor or make_actor(user=author),
            details={"rule": str(rule.pk), "sentence": describe_rule(rule), "state": get_state(rule)},
        )
    return rule
