"""One person's connections as the pages about applications need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from connections.models import Connection, Integration
from kontext.portal.delegations import get_delegations, read_reach
from orgs.models import Membership

_KINDS: Mapping[str, str] = {
    Connection.Status.REAUTHORIZATION_REQUIRED: "reconnect",
    Connection.Status.ERROR: "wait",
}


@dataclass(frozen=True, slots=True)
class Errand:
    """Something that waits for this person: an integration to connect, and the applications that wait for it."""

    integration: Integration
    applications: tuple[str, ...]
    connection: Connection | None

    @property
    def kind(self) -> str:
        """Return `connect`, `reconnect`, or `wait` where the integration refuses Kontext itself."""
        return _KINDS.get(self.connection.status if self.connection is not None else "", "connect")


def read_connections(membership: Membership) -> dict[UUID, Connection]:
    """Return this person's connections in the organization, also those that can't be used, by integration."""
    mine = Connection.objects.for_organization(membership.organization_id).of_user(membership.user)
    return {connection.integration_id: connection for connection in mine.select_related("integration")}


def is_personal(integration: Integration) -> bool:
    """Tell whether each person needs a connection of their own there."""
    return integration.auth_mode in (Integration.AuthMode.OAUTH, Integration.AuthMode.USER_TOKEN)


def read_errands(membership: Membership) -> list[Errand]:
    """Return the connections to mend, then those that an application this person allowed would find missing."""
    connections = read_connections(membership)
    wanting = _read_wanting(membership)
    integrations = {one.pk: one for one in wanting}
    for connection in connections.values():
        if connection.status in _KINDS and connection.integration.status == Integration.Status.ACTIVE:
            integrations[connection.integration_id] = connection.integration
    errands = [
        Errand(integration, tuple(wanting.get(integration, ())), connections.get(key))
        for key, integration in integrations.items()
        if not _is_usable(connections.get(key))
    ]
    return sorted(errands, key=lambda errand: (errand.kind == "connect", errand.integration.name))


def _read_wanting(membership: Membership) -> dict[Integration, list[str]]:
    """Return the personal integrations that applications acting for this person reach, and their names."""
    delegations = get_delegations(membership)
    reach = read_reach(delegations)
    wanting: dict[Integration, list[str]] = {}
    for delegation in delegations:
        for integration in filter(is_personal, reach[delegation.pk]):
            wanting.setdefault(integration, []).append(str(delegation.application))
    return wanting


def _is_usable(connection: Connection | None) -> bool:
    return connection is not None and connection.status == Connection.Status.ACTIVE
