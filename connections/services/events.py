"""The audit events of this floor, all with the same subject and without a secret."""

from __future__ import annotations

from typing import Any

from audit.services.record import Actor, Subject, record_event
from connections.models import Capability, Connection, Integration
from orgs.http import make_actor


def record_connection_event(
    type: str, connection: Connection, *, actor: Actor | None = None, outcome: str = "ok", **details: Any
) -> None:
    """Record what became of a connection; `integration` must be loaded or loadable."""
    subject = Subject(
        integration_id=connection.integration_id,
        integration=connection.integration.slug,
        connection_id=connection.pk,
        account=connection.account,
    )
    owner = {"of_user": str(connection.user_id) if connection.user_id else None}
    _record(type, connection.organization_id, subject, actor, outcome, {**owner, **details})


def record_integration_event(
    type: str, integration: Integration, *, actor: Actor | None = None, outcome: str = "ok", **details: Any
) -> None:
    subject = Subject(integration_id=integration.pk, integration=integration.slug)
    _record(type, integration.organization_id, subject, actor, outcome, details)


def record_capability_event(type: str, capability: Capability, *, actor: Actor | None = None, **details: Any) -> None:
    integration = capability.integration
    subject = Subject(integration_id=integration.pk, integration=integration.slug, capability=str(capability)[:255])
    _record(type, capability.organization_id, subject, actor, "ok", details)


def _record(
    type: str, organization_id: Any, subject: Subject, actor: Actor | None, outcome: str, details: dict[str, Any]
) -> None:
    record_event(
        type=type,
        organization_id=organization_id,
        outcome=outcome,
        actor=actor or make_actor(),
        subject=subject,
        details=details,
    )
