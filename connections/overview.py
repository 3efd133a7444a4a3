"""What a person sees of their connections: one card per integration of the organization."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Max, Q
from django.utils import timezone

from audit.models import AuditEvent
from connections.models import ApplicationIntegration, ConnectInvitation, Connection, Integration
from orgs.models import Delegation, Membership

_SOON = dt.timedelta(days=7)
_WORDS_OF_REVOCATION = {
    "pending": "{name} has not confirmed the end yet; Kontext goes on asking.",
    "revoked": "{name} confirmed that the access ended there, too.",
    "unsupported": "{name} has no way to be told: remove Kontext in your settings there, too.",
    "failed": "{name} did not confirm: remove Kontext in your settings there, too.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    integration: Integration
    connection: Connection | None
    applications: tuple[str, ...] = ()
    last_used_at: dt.datetime | None = None
    is_personal: bool = True

    @property
    def is_connected(self) -> bool:
        return self.connection is not None and self.connection.status not in ("revoked", "pending")

    @property
    def status(self) -> str:
        if not self.is_personal:
            return self._get_shared_status()
        if self.connection is None or self.connection.status == Connection.Status.PENDING:
            return "not_connected"
        return "expiring" if self.expires_soon else self.connection.status

    @property
    def expires_soon(self) -> bool:
        """Tell whether it ends in days and nothing but the person can renew it."""
        connection = self.connection
        if connection is None or connection.status != "active" or connection.expires_at is None:
            return False
        return not connection.is_renewable and connection.expires_at < timezone.now() + _SOON

    @property
    def needs_person(self) -> bool:
        return self.is_personal and (self.status in ("reauthorization_required", "expiring", "error"))

    @property
    def receipt(self) -> str:
        """Return what became of the credential at the integration after a disconnect."""
        if self.connection is None or self.connection.status != "revoked":
            return ""
        return _WORDS_OF_REVOCATION.get(self.connection.revocation, "").format(name=self.integration.name)

    @property
    def shared_words(self) -> str:
        if self.integration.auth_mode == Integration.AuthMode.NONE:
            return "Needs no account."
        if not self.is_connected:
            return "Waits for a key of your organization, which an administrator enters. Calls fail until then."
        return "Used with a key of your organization: you need no account of your own."

    def _get_shared_status(self) -> str:
        needs_key = self.integration.auth_mode == Integration.AuthMode.SERVER_TOKEN
        return "not_connected" if needs_key and not self.is_connected else "active"


def get_cards(membership: Membership) -> list[Card]:
    """Return a card for each integration in use; those that wait for this person come first."""
    integrations = list(Integration.objects.for_organization(membership.organization_id).active())
    rows = Connection.objects.filter(integration__in=integrations)
    mine = Q(user=membership.user_id) | Q(user__isnull=True)
    connections = {(row.integration_id, row.user_id): row for row in rows.filter(mine)}
    applications = find_applications(membership)
    used = _find_last_uses(membership)
    cards = [_make_card(integration, membership, connections, applications, used) for integration in integrations]
    return sorted(cards, key=lambda card: (not card.needs_person, not card.is_connected, card.integration.name.lower()))


def get_invited_cards(invitation: ConnectInvitation) -> list[Card]:
    """Return the cards of what an application asks its person to connect."""
    rows = ApplicationIntegration.objects.filter(application=invitation.application)
    if invitation.integration is not None:
        rows = rows.filter(integration=invitation.integration)
    wanted = set(rows.values_list("integration_id", flat=True))
    membership = Membership.objects.get(user=invitation.user, organization=invitation.organization)
    return [card for card in get_cards(membership) if card.integration.pk in wanted]


def find_applications(membership: Membership) -> dict[UUID, tuple[str, ...]]:
    """Return, by integration, the applications that may act for this person there."""
    delegations = Delegation.objects.usable().filter(
        user=membership.user_id, organization=membership.organization_id, application__status="active"
    )
    rows = ApplicationIntegration.objects.filter(
        organization=membership.organization_id, application__in=delegations.values("application")
    )
    found: dict[UUID, tuple[str, ...]] = {}
    for key, name in rows.order_by("application__name").values_list("integration_id", "application__name"):
        found[key] = (*found.get(key, ()), name)
    return found


def _make_card(
    integration: Integration,
    membership: Membership,
    connections: dict[tuple[UUID, UUID | None], Connection],
    applications: dict[UUID, tuple[str, ...]],
    used: dict[UUID, dt.datetime],
) -> Card:
    is_personal = integration.auth_mode in (Integration.AuthMode.OAUTH, Integration.AuthMode.USER_TOKEN)
    owner = membership.user_id if is_personal else None
    return Card(
        integration=integration,
        connection=connections.get((integration.pk, owner)),
        applications=applications.get(integration.pk, ()),
        last_used_at=used.get(integration.pk),
        is_personal=is_personal,
    )


def _find_last_uses(membership: Membership) -> dict[UUID, dt.datetime]:
    events = AuditEvent.objects.for_organization(membership.organization_id).of_user(membership.user_id)
    month = timezone.now() - dt.timedelta(days=30)
    rows = events.filter(type="capability.invoked", phase="completed", occurred_at__gt=month)
    found = rows.order_by().values("integration_id").annotate(last=Max("occurred_at"))
    return {row["integration_id"]: row["last"] for row in found if row["integration_id"] is not None}
