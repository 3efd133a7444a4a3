"""Begin with a starting set, change to another one, or take it back."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from connections.models import Integration
from orgs.models import Application, Membership
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule
from policy.starting_sets import STARTING_SETS, Plan, plan_starting_set


def choose_starting_set(
    *,
    membership: Membership,
    application: Application,
    integrations: Sequence[Integration] | None,
    key: str | None,
    actor: Actor | None = None,
) -> Plan:
    """Make a person's rules about an application's classes those of a set (None: none), and return what changed.

    `integrations` None means every one. A second time, nothing changes. Raises ValidationError for an unknown set.
    """
    if key is not None and key not in STARTING_SETS:
        raise ValidationError({"key": [f"Choose one of {', '.join(STARTING_SETS)}."]})
    with transaction.atomic():
        # Two choices at the same moment wait for each other here.
        Membership.objects.select_for_update().get(pk=membership.pk)
        plan = plan_starting_set(
            organization=membership.organization,
            user=membership.user,
            application=application,
            integrations=integrations,
            key=key,
        )
        for rule in plan.removed:
            delete_rule(rule=rule, author=membership.user, actor=actor)
        for rule in plan.added:
            create_rule(
                organization=membership.organization,
                layer=rule.layer,
                effect=rule.effect,
                user=membership.user,
                application=application,
                integration=rule.integration,
                klass=rule.klass,
                author=membership.user,
                actor=actor,
            )
    return plan
