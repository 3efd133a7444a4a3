"""Stage 2. Where to: the integration named by the path, of the organization named by the token."""

from __future__ import annotations

from gateway.errors import NotFoundError
from gateway.facts import Principal, Snapshot
from gateway.pipeline.call import Caller

_GATEWAY_REMOTE_MCP = "gateway_remote_mcp"
_NO_GROUPS: frozenset[str] = frozenset()


def find_route(principal: Principal, snapshot: Snapshot, slug: str, source_address: str | None) -> Caller:
    """Return who calls what. One error for what isn't there and for what this application may not use at all."""
    integration = snapshot.integrations.get(slug)
    application = snapshot.applications.get(principal.client_id)
    if (
        integration is None
        or application is None
        or not integration.is_active
        or integration.category != _GATEWAY_REMOTE_MCP
        or integration.id not in application.integrations
    ):
        raise NotFoundError(
            f"there is no integration {slug} that this application may use: ask an administrator to allow it"
        )
    person = snapshot.people.get(principal.user_id) if principal.user_id is not None else None
    return Caller(
        principal=principal,
        snapshot=snapshot,
        integration=integration,
        groups=person.groups if person is not None else _NO_GROUPS,
        source_address=source_address,
    )
