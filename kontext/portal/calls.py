"""What applications did for one person, as the pages show it: one line a call."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from audit.models import AuditEvent, Outcome
from audit.querysets import AuditEventQuerySet
from orgs.models import Membership
from orgs.ui.status import get_status

# No call lives this long in the gateway: what has no outcome by then will never have one.
_LONGEST_CALL = dt.timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call: the event that opened it, and what became of it (an audit Outcome)."""

    event: AuditEvent
    result: str
    account: str
    latency_us: int | None

    @property
    def name(self) -> str:
        """Return the capability with its integration, as rules write it."""
        event = self.event
        if not event.capability:
            return f"A credential for {event.integration}"
        prefix = f"{event.integration}:"
        return event.capability if event.capability.startswith(prefix) else prefix + event.capability

    @property
    def words(self) -> str:
        is_lost = not self.result and timezone.now() - self.event.occurred_at > _LONGEST_CALL
        return "Outcome not recorded" if is_lost else describe_outcome(self.result)

    @property
    def reason(self) -> str:
        """Return what a refused caller was told."""
        return str(self.event.details.get("reason") or "")

    @property
    def code(self) -> str:
        return str(self.event.details.get("code") or "")

    @property
    def latency(self) -> str:
        if self.latency_us is None:
            return ""
        milliseconds = self.latency_us / 1000
        return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def describe_outcome(outcome: str) -> str:
    """Return what an outcome means to the person a call was made for."""
    # The application's own token was good, or the call would not be this person's.
    return "Connection needed" if outcome == Outcome.ERROR_AUTH else get_status(outcome).words


def get_events(membership: Membership) -> AuditEventQuerySet:
    """Return what was done by or for this person in this organization, and nothing of anyone else."""
    return AuditEvent.objects.for_organization(membership.organization_id).of_user(membership.user_id)


def read_lines(events: Iterable[Any]) -> list[CallLine]:
    """Read events of `AuditEventQuerySet.calls().with_results()`."""
    return [CallLine(event, event.result, event.result_account, event.result_latency_us) for event in events]
