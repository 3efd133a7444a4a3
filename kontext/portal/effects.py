"""What the rules come to for one application and one person, capability by capability."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from connections.models import Capability, Connection, Integration
from kontext.portal.errands import is_personal
from orgs.models import Application, Membership
from policy.compile import load_policy
from policy.effective import Effective, read_effective
from policy.engine import Call
from policy.services.choose_effect import read_choices
from policy.services.simulate import load_groups


@dataclass(frozen=True, slots=True)
class CapabilityLine:
    """One capability: the effect this person chose for it, if any, and what all layers together come to."""

    capability: Capability
    choice: str
    effective: Effective


@dataclass(frozen=True, slots=True)
class IntegrationLines:
    """What an application may do at one integration, and this person's connection there, if one is needed."""

    integration: Integration
    lines: list[CapabilityLine]
    connection: Connection | None
    needs_connection: bool


def read_effects(
    *, membership: Membership, application: Application, capabilities: Sequence[Capability]
) -> list[CapabilityLine]:
    policy = load_policy(membership.organization_id)
    choices = read_choices(membership=membership, application=application)
    groups = load_groups(membership.organization, membership.user)
    lines = []
    for capability in capabilities:
        effective = read_effective(policy, _make_call(membership, groups, application, capability))
        choice = choices.get((capability.integration_id, capability.name), "")
        lines.append(CapabilityLine(capability, choice, effective))
    return lines


def group_by_integration(
    integrations: Sequence[Integration], lines: Sequence[CapabilityLine], connections: Mapping[UUID, Connection]
) -> list[IntegrationLines]:
    return [
        IntegrationLines(
            integration,
            [line for line in lines if line.capability.integration_id == integration.pk],
            connections.get(integration.pk),
            is_personal(integration),
        )
        for integration in integrations
    ]


def _make_call(
    membership: Membership, groups: frozenset[str], application: Application, capability: Capability
) -> Call:
    return Call(
        user=str(membership.user_id),
        groups=groups,
        application=str(application.pk),
        integration=str(capability.integration_id),
        capability=capability.name,
        klass=capability.klass,
        arguments={},
        now=time.time(),
    )
