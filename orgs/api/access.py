"""Who a request of the management API comes from: a person, through an application, in one organization."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from audit.services.record import Actor
from orgs.administration.access import READERS, WRITERS
from orgs.http import make_actor
from orgs.models import Application, Membership, Organization, User

EVERYONE = frozenset(Membership.Role)
POLICY_WRITERS = WRITERS | {Membership.Role.POLICY_AUTHOR}
LOG_READERS = WRITERS | {Membership.Role.AUDITOR}


@dataclass(frozen=True, slots=True)
class Access:
    """What a valid management token says. Its role is the person's own: an application can't do more than they may."""

    user: User
    organization: Organization
    role: str
    application: Application

    def has(self, roles: Collection[str]) -> bool:
        return self.role in roles

    @property
    def actor(self) -> Actor:
        return make_actor(user=self.user, application=self.application)


__all__ = ["EVERYONE", "LOG_READERS", "POLICY_WRITERS", "READERS", "WRITERS", "Access"]
