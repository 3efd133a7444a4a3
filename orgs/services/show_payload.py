from __future__ import annotations

from audit.models import AuditEvent
from audit.services.record import Actor, Subject, record_event
from audit.types import EventType
from orgs.payloads import OpenedPayload, open_payload


def show_payload(*, event: AuditEvent, actor: Actor) -> OpenedPayload:
    """Return what was kept of the content at an event, and record that it was looked at.

    Whether this one may is the caller's to say. Raises what orgs.payloads.open_payload does; nothing was seen then.
    """
    opened = open_payload(event)
    record_event(
        type=EventType.PAYLOAD_VIEWED,
        organization_id=event.organization_id,
        actor=actor,
        subject=Subject(
            integration_id=event.integration_id, integration=event.integration, capability=event.capability
        ),
        details={
            "event": str(event.pk),
            "call": str(event.call),
            "phase": event.phase,
            "level": opened.level,
            "of_user": str(event.user_id) if event.user_id is not None else None,
        },
    )
    return opened
