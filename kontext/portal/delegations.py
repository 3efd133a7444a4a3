"""Who acts for one person: consents with what they reach and when they were last used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Max, Q
from django.utils import timezone

from connections.models import ApplicationIntegration, Integration
from connections.resources import get_joined_resource
from kontext.portal.calls import get_events
from orgs.models import Delegation, Membership

RECENT = dt.timedelta(days=30)
WEEK = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Use:
    """How an application was used for this person: when last, if within RECENT, and how often within WEEK."""

    last: dt.datetime | None = None
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Acting:
    """One consent that counts. `integrations` are those that both the consent and the application reach."""

    delegation: Delegation
    integrations: tuple[Integration, ...]
    use: Use

    @property
    def is_paused(self) -> bool:
        return self.delegation.is_paused

    @property
    def status(self) -> str:
        return "paused" if self.is_paused else self.delegation.application.status


def read_acting(membership: Membership, delegations: Sequence[Delegation]) -> list[Acting]:
    """Read what the pages show of consents of one person in one organization."""
    reach = read_reach(delegations)
    uses = _read_uses(membership, delegations)
    return [
        Acting(delegation, tuple(reach[delegation.pk]), uses.get(delegation.application_id, Use()))
        for delegation in delegations
    ]


def get_delegations(membership: Membership) -> list[Delegation]:
    """Return this person's consents that count now, by the application's name."""
    mine = Delegation.objects.for_organization(membership.organization_id).filter(user=membership.user).usable()
    return list(mine.select_related("application__owner", "application__organization").order_by("application__name"))


def get_ended(membership: Membership, acting: Iterable[Delegation]) -> list[Delegation]:
    """Return the applications that acted for this person until recently: their last consents."""
    again = {delegation.application_id for delegation in acting}
    mine = Delegation.objects.for_organization(membership.organization_id).filter(user=membership.user)
    since = timezone.now() - RECENT
    ended = mine.filter(Q(revoked_at__gt=since) | Q(revoked_at__isnull=True, expires_at__gt=since))
    ended = ended.exclude(application__in=again).select_related("application")
    latest = ended.order_by("application_id", "-granted_at").distinct("application_id")
    return sorted(latest, key=get_end, reverse=True)


def get_end(delegation: Delegation) -> dt.datetime:
    """Return when a consent that no longer counts ended."""
    end = delegation.revoked_at or delegation.expires_at
    assert end is not None
    return end


def read_reach(delegations: Sequence[Delegation]) -> dict[UUID, list[Integration]]:
    """Return the active integrations each consent reaches: the application may use them, and it was for them."""
    allowed = ApplicationIntegration.objects.filter(
        application__in=[delegation.application_id for delegation in delegations], integration__status="active"
    )
    found: dict[UUID, list[Integration]] = {}
    for link in allowed.select_related("integration").order_by("integration__name"):
        found.setdefault(link.application_id, []).append(link.integration)
    return {
        delegation.pk: [one for one in found.get(delegation.application_id, []) if _covers(delegation, one)]
        for delegation in delegations
    }


def _covers(delegation: Delegation, integration: Integration) -> bool:
    return get_joined_resource() in delegation.resources or integration.resource in delegation.resources


def _read_uses(membership: Membership, delegations: Sequence[Delegation]) -> dict[UUID, Use]:
    now = timezone.now()
    calls = get_events(membership).since(now - RECENT).calls()
    counted = (
        calls.filter(application_id__in=[delegation.application_id for delegation in delegations])
        .order_by()
        .values("application_id")
        .annotate(last=Max("occurred_at"), calls=Count("pk", filter=Q(occurred_at__gte=now - WEEK)))
    )
    return {row["application_id"]: Use(row["last"], row["calls"]) for row in counted if row["application_id"]}
