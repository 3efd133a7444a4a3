"""What Kontext itself does with an integration of the credential-only kind, so that rules can be about it."""

from __future__ import annotations

from audit.services.record import Actor
from audit.types import EventType
from connections.models import Capability, Integration
from connections.services.events import record_capability_event

# The credential can do whatever the service lets it: as grave as anything can be, and no rule about reading allows it.
ISSUE_CREDENTIAL = "issue_credential"
_DECLARATION = {
    "title": "Issue credential",
    "description": "Hands the person's credential to the application, which then calls the service by itself.",
    "klass": Capability.Klass.DESTRUCTIVE,
    "klass_confirmed": True,
    "status": Capability.Status.ACTIVE,
}


def declare_capability(*, integration: Integration, actor: Actor | None = None) -> None:
    """Let a credential-only integration have the capability `issue_credential`, and no other kind of integration."""
    rows = Capability.objects.filter(integration=integration, name=ISSUE_CREDENTIAL, kind=Capability.Kind.TOOL)
    if integration.category != Integration.Category.INTERNAL_MCP_CREDENTIALS:
        rows.update(status=Capability.Status.REMOVED)
        return
    capability, is_new = Capability.objects.update_or_create(
        integration=integration,
        name=ISSUE_CREDENTIAL,
        kind=Capability.Kind.TOOL,
        defaults={"organization_id": integration.organization_id, **_DECLARATION},
    )
    if is_new:
        record_capability_event(EventType.CAPABILITIES_DISCOVERED, capability, actor=actor, declared=True)
