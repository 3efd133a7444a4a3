"""Starting sets where a person agrees to an application, or connects an integration that it asked for."""

from __future__ import annotations

from collections.abc import Sequence

from connections.models import Integration
from connections.resources import get_joined_resource
from orgs.http import make_actor
from orgs.models import Application, Membership, Organization, User
from orgs.oauth.consent import Beginning
from orgs.oauth.resources import Resource
from policy.describe import describe_rule
from policy.services.choose_starting_set import choose_starting_set
from policy.starting_sets import STARTING_SETS, find_class_rules, find_unanswered, plan_starting_set


class StartingSets:
    """What orgs.oauth.consent asks of the floor that knows rules."""

    def offer(
        self, *, user: User, organization: Organization, application: Application, resources: Sequence[Resource]
    ) -> list[Beginning]:
        """Return what may be begun with; nothing for resources that no rules are about, or where some were chosen."""
        integrations = _find_integrations(resources)
        if integrations is not None and not integrations:
            return []
        if find_class_rules(organization=organization, user=user, application=application, among=None).exists():
            return []
        is_stuck = bool(find_unanswered(organization=organization, user=user, applications=[application]))
        return [
            Beginning(
                key=one.key,
                name=one.name,
                words=one.words,
                sentences=tuple(
                    describe_rule(rule)
                    for rule in plan_starting_set(
                        organization=organization,
                        user=user,
                        application=application,
                        integrations=integrations,
                        key=one.key,
                    ).added
                ),
                is_proposed=is_stuck and n == 0,
            )
            for n, one in enumerate(STARTING_SETS.values())
        ]

    def begin(
        self,
        *,
        user: User,
        organization: Organization,
        application: Application,
        resources: Sequence[Resource],
        key: str,
    ) -> None:
        choose_starting_set(
            membership=Membership.objects.get(organization=organization, user=user),
            application=application,
            integrations=_find_integrations(resources),
            key=key,
            actor=make_actor(user=user),
        )


def _find_integrations(resources: Sequence[Resource]) -> list[Integration] | None:
    """Return the integrations that rules are to be about; None where the consent is for all there will be."""
    if any(resource.url == get_joined_resource() for resource in resources):
        return None
    keys = {key for resource in resources for key in resource.integration_ids}
    return list(Integration.objects.filter(pk__in=keys).order_by("name"))
