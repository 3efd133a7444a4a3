"""Write one audit event in the caller's transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone

from audit.models import AuditEvent


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acted, as the log keeps it: identifiers and the names they had then."""

    user_id: UUID | None = None
    user_name: str = ""
    application_id: UUID | None = None
    application_name: str = ""
    source_address: str | None = None
    request_id: str = ""
    session: str = ""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What was acted on, beyond what `details` says."""

    integration_id: UUID | None = None
    integration: str = ""
    capability: str = ""
    connection_id: UUID | None = None
    account: str = ""


NOBODY = Actor()
NOTHING = Subject()


@dataclass(frozen=True, kw_only=True)
class Call:
    """The place of an event in a capability invocation; absent for everything else."""

    call: UUID
    phase: str
    policy_version: int | None = None
    decision: Mapping[str, Any] | None = None
    arguments_digest: str = ""
    latency_us: int | None = None
    trace_id: str = ""


def record_event(
    *,
    type: str,
    organization_id: UUID | None,
    outcome: str = "ok",
    actor: Actor = NOBODY,
    subject: Subject = NOTHING,
    call: Call | None = None,
    details: Mapping[str, Any] | None = None,
    occurred_at: dt.datetime | None = None,
) -> AuditEvent:
    """Append an event and return it. It becomes durable with the caller's transaction.

    `type` is one of audit.types.EventType; `details` is JSON without secrets.
    """
    event = AuditEvent(
        type=type,
        organization_id=organization_id,
        outcome=outcome,
        occurred_at=occurred_at or timezone.now(),
        details=dict(details or {}),
        **vars(actor),
        **vars(subject),
        **(vars(call) if call else {}),
    )
    event.save(force_insert=True)
    return event


__all__ = ["NOBODY", "NOTHING", "Actor", "Call", "Subject", "record_event"]
