"""Calls as the search for alerts reads them, and where they came from."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID

from audit.keys import make_key, read_moment
from audit.models import AuditEvent, Leaf, Outcome, Phase, Tree
from audit.querysets import CLOCKS_DIFFER
from audit.types import EventType

_CALLS = (EventType.CAPABILITY_INVOKED, EventType.CREDENTIAL_ISSUED)
_BEGINNINGS = (Phase.REQUESTED, Phase.DENIED)
_COLUMNS = (
    "pk",
    "occurred_at",
    "application_id",
    "application_name",
    "user_id",
    "user_name",
    "integration",
    "capability",
    "source_address",
    "phase",
    "outcome",
)


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One call, by the event that opened it or that denied it."""

    event: UUID
    at: dt.datetime
    application_id: UUID
    application_name: str
    user_id: UUID | None
    user_name: str
    integration: str
    capability: str
    source_address: str | None
    phase: str
    outcome: str

    @property
    def is_denied(self) -> bool:
        return self.phase == Phase.DENIED and self.outcome == Outcome.DENIED

    @property
    def is_let_through(self) -> bool:
        return self.phase == Phase.REQUESTED

    @property
    def target(self) -> str:
        return f"{self.integration}:{self.capability}"

    @property
    def network(self) -> str | None:
        return find_network(self.source_address)


def read_calls(tree: Tree, start: int, end: int) -> list[SeenCall]:
    """Return the calls among the leaves from `start` up to, not including, `end`, in the tree's order.

    What was dropped since is left out.
    """
    leaves = Leaf.objects.filter(tree=tree, index__gte=start, index__lt=end)
    keys = list(leaves.order_by("index").values_list("event_id", flat=True))
    if not keys:
        return []
    # The log is partitioned by when calls began: without a bound every month would be looked into.
    began = make_key(read_moment(min(keys)) - CLOCKS_DIFFER)
    events = AuditEvent.objects.filter(
        pk__in=keys, call__gte=began, type__in=_CALLS, phase__in=_BEGINNINGS, application_id__isnull=False
    )
    found = {row[0]: SeenCall(*row) for row in events.order_by().values_list(*_COLUMNS)}
    return [found[key] for key in keys if key in found]


def find_network(address: str | None) -> str | None:
    """Return the /24 or, of IPv6, the /48 that an address is in."""
    if not address:
        return None
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))
