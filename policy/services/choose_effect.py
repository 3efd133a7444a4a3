"""A person's short answer about one capability of an application: allow, ask or never."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from audit.services.record import Actor
from connections.models import Capability
from orgs.models import Application, Membership
from orgs.querysets import OrganizationOwnedQuerySet
from policy.models import Layer, Rule
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule
from policy.services.update_rule import update_rule


def choose_effect(
    *,
    membership: Membership,
    application: Application,
    capability: Capability,
    effect: str | None,
    actor: Actor | None = None,
) -> None:
    """Keep exactly one unconditional rule of this person for this application, or none when `effect` is None.

    Rules with conditions, and those about more than this one capability, are left alone.
    """
    with transaction.atomic():
        # Two answers at the same moment wait for each other here.
        Membership.objects.select_for_update().get(pk=membership.pk)
        found = list(_find_choices(membership, application, capability))
        for rule in found if effect is None else found[1:]:
            delete_rule(rule=rule, actor=actor)
        if effect is None:
            return
        if not found:
            _create(membership, application, capability, effect, actor)
        elif found[0].effect != effect:
            update_rule(rule=found[0], effect=effect, actor=actor)


def read_choices(*, membership: Membership, application: Application) -> dict[tuple[UUID, str], str]:
    """Return the effects a person chose for an application, by integration and capability name."""
    rules = _choices(membership).filter(application=application, integration__isnull=False).exclude(capability="")
    return {(rule.integration_id, rule.capability): rule.effect for rule in rules if rule.integration_id}


def _create(
    membership: Membership,
    application: Application,
    capability: Capability,
    effect: str,
    actor: Actor | None,
) -> None:
    create_rule(
        organization=membership.organization,
        layer=Layer.USER,
        effect=effect,
        user=membership.user,
        application=application,
        integration=capability.integration,
        capability=capability.name,
        author=membership.user,
        actor=actor,
    )


def _find_choices(
    membership: Membership, application: Application, capability: Capability
) -> OrganizationOwnedQuerySet[Rule]:
    mine = _choices(membership).filter(application=application)
    return mine.filter(integration=capability.integration, capability=capability.name)


def _choices(membership: Membership) -> OrganizationOwnedQuerySet[Rule]:
    """Return the person's rules about one application each that hold always: nothing but a target narrows them."""
    mine = Rule.objects.for_organization(membership.organization_id).filter(layer=Layer.USER, user=membership.user)
    return mine.filter(
        application__isnull=False,
        klass="",
        conditions__isnull=True,
        valid_from__isnull=True,
        valid_until__isnull=True,
        mode=Rule.Mode.ENFORCE,
        is_enabled=True,
    ).order_by("created_at")
