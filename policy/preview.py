"""What a person's rule would change, before it is saved."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connections.models import Capability
from orgs.models import Application, Membership
from policy import engine
from policy.compile import load_policy, make_draft
from policy.effective import read_effective
from policy.models import Rule
from policy.services.simulate import load_groups

# Enough to see what a rule does; the pages about each application show everything.
_MOST_APPLICATIONS, _MOST_CAPABILITIES = 3, 3


@dataclass(frozen=True, slots=True)
class Preview:
    """One kind of call that the rule is about, as it is decided now and as it would be."""

    application: Application
    capability: Capability
    before: str
    after: str
    explanation: Mapping[str, Any]


def preview_rule(
    *,
    membership: Membership,
    draft: Rule,
    applications: Sequence[Application],
    capabilities: Sequence[Capability],
    arguments: Mapping[str, Any],
) -> list[Preview]:
    """Decide some of the calls that `draft` is about, without it (or with what it replaces) and with it.

    `draft` need not be stored; where a stored rule has its key, it takes that one's place.
    """
    now = load_policy(membership.organization_id)
    then = load_policy(membership.organization_id, draft=make_draft(draft))
    groups = load_groups(membership.organization, membership.user)
    previews = []
    for application in applications[:_MOST_APPLICATIONS]:
        for capability in capabilities[:_MOST_CAPABILITIES]:
            call = engine.Call(
                user=str(membership.user_id),
                groups=groups,
                application=str(application.pk),
                integration=str(capability.integration_id),
                capability=capability.name,
                klass=capability.klass,
                arguments=arguments,
                now=time.time(),
            )
            after = read_effective(then, call)
            previews.append(
                Preview(application, capability, read_effective(now, call).effect, after.effect, after.explanation)
            )
    return previews
