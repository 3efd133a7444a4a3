"""What an integration can do, from its own mouth, and what changed since somebody looked at it."""

from __future__ import annotations

import time
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from connections.definitions import classify_definition, digest_definition, get_title
from connections.errors import ReauthorizationRequiredError
from connections.mcp.client import list_tools
from connections.models import Capability, Connection, Integration
from connections.services.events import record_capability_event, record_integration_event
from connections.services.refresh import get_credential

_SECONDS = 30.0


def discover_capabilities(
    *, integration: Integration, connection: Connection | None = None, actor: Actor | None = None
) -> list[Capability]:
    """Ask the integration for its tools and store them; returns those that are offered now.

    A tool seen for the first time is active. One whose definition is another than the pinned one is held, it alone,
    until accept_capability. One that is gone is kept as removed. Without `connection`, the organization's key or some
    active connection is used. Raises ReauthorizationRequiredError when there is none, EgressError and MCPError.
    """
    headers = _get_headers(integration, connection)
    definitions = {tool["name"]: tool for tool in list_tools(integration.url, headers=headers)}
    with transaction.atomic():
        # Two discoveries at the same moment wait for each other here.
        Integration.objects.select_for_update().get(pk=integration.pk)
        changes = _store(integration, definitions, actor)
        Integration.objects.filter(pk=integration.pk).update(discovered_at=timezone.now())
        record_integration_event(
            EventType.CAPABILITIES_DISCOVERED, integration, actor=actor, tools=len(definitions), changes=changes
        )
    return list(Capability.objects.offered().filter(integration=integration))


def find_connection(integration: Integration) -> Connection | None:
    """Return a connection that can be used to ask on behalf of the organization, or None."""
    active = Connection.objects.filter(integration=integration, status=Connection.Status.ACTIVE)
    # The organization's own first; of people's, the one that was made last.
    return active.order_by(F("user").asc(nulls_first=True), "-connected_at").first()


def _get_headers(integration: Integration, connection: Connection | None) -> dict[str, str]:
    if integration.auth_mode == Integration.AuthMode.NONE:
        return {}
    chosen = connection or find_connection(integration)
    if chosen is None or chosen.integration_id != integration.pk:
        raise ReauthorizationRequiredError("nobody has connected this integration yet: its tools can't be listed")
    return get_credential(connection_id=chosen.pk, deadline=time.monotonic() + _SECONDS).headers


def _store(integration: Integration, definitions: dict[str, Any], actor: Actor | None) -> dict[str, list[str]]:
    known = {row.name: row for row in integration.capabilities.filter(kind=Capability.Kind.TOOL)}
    changes: dict[str, list[str]] = {"added": [], "held": [], "removed": []}
    for name, definition in definitions.items():
        row = known.get(name)
        if row is None:
            _add(integration, name, definition)
            changes["added"].append(name)
        elif _compare(row, definition, actor):
            changes["held"].append(name)
    for name, row in known.items():
        if name not in definitions and row.status != Capability.Status.REMOVED:
            row.status = Capability.Status.REMOVED
            row.save(update_fields=["status"])
            changes["removed"].append(name)
    return {kind: names[:200] for kind, names in changes.items()}


def _add(integration: Integration, name: str, definition: dict[str, Any]) -> None:
    row = Capability(organization_id=integration.organization_id, integration=integration, name=name)
    adopt_definition(row, definition)
    row.save(force_insert=True)


def _compare(row: Capability, definition: dict[str, Any], actor: Actor | None) -> bool:
    """Bring a known capability up to date; True when it is newly held."""
    if not row.digest:  # declared by hand, or made before definitions were pinned
        adopt_definition(row, definition)
        row.save()
        return False
    if digest_definition(definition) == row.digest:
        if row.status != Capability.Status.ACTIVE or row.held_definition is not None:
            row.status, row.held_definition = Capability.Status.ACTIVE, None
            row.save(update_fields=["status", "held_definition"])
        return False
    is_new = row.status != Capability.Status.HELD or row.held_definition != definition
    if is_new:
        row.status, row.held_definition = Capability.Status.HELD, definition
        row.save(update_fields=["status", "held_definition"])
        record_capability_event(
            EventType.CAPABILITY_HELD, row, actor=actor, digest=row.digest, held_digest=digest_definition(definition)
        )
    return is_new


def adopt_definition(row: Capability, definition: dict[str, Any]) -> None:
    """Make this the pinned definition. A class that a person confirmed stays."""
    description, schema = definition.get("description"), definition.get("inputSchema")
    row.definition, row.digest = definition, digest_definition(definition)
    row.title = get_title(definition)
    row.description = description if isinstance(description, str) else ""
    row.input_schema = schema if isinstance(schema, dict) else {}
    row.held_definition, row.status = None, Capability.Status.ACTIVE
    if not row.klass_confirmed:
        row.klass = classify_definition(definition)
