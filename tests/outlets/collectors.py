"""Events that are sealed, and collectors that take, refuse or break as they are told, and remember what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from audit.models import Leaf, OutletPosition
from audit.services.seal import seal_events
from orgs.outbound import OutboundError, OutboundResponse
from orgs.outlets.base import Batch, OutletError
from tests.audit.trees import ACME, record, sign


@dataclass
class Memory:
    """An outlet that keeps what it is given. `failures` are raised, one a batch, before anything is taken."""

    name: str = "memory"
    failures: list[OutletError | None] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)

    def send(self, batch: Batch) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        self.batches.append(batch)

    def received(self, organization_id: UUID = ACME) -> list[str]:
        mine = [batch for batch in self.batches if batch.log == str(organization_id)]
        return [str(event.pk) for batch in mine for event in batch.events]


@dataclass
class Transport:
    """What stands where the egress client stands. `answers` are given one after the other, then 200; 0 is no answer."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> OutboundResponse:
        self.requests.append((method, url, dict(headers), body or b""))
        status, answer = self.answers.pop(0) if self.answers else (200, b"{}")
        if not status:
            raise OutboundError("no answer")
        return OutboundResponse(status, {}, answer)


def seal(count: int, organization_id: UUID = ACME, **changes: Any) -> None:
    record(count, organization_id=organization_id, **changes)
    seal_events(sign=sign)


def sealed(organization_id: UUID = ACME) -> list[str]:
    leaves = Leaf.objects.filter(tree__organization_id=organization_id).order_by("index")
    return [str(key) for key in leaves.values_list("event_id", flat=True)]


def retry_now() -> None:
    """Let no back-off stand any more."""
    OutletPosition.objects.update(retry_at=None)
    OutletPosition.outlet.field.related_model._default_manager.update(busy_until=None)


def make_batch(count: int = 2, **changes: Any) -> Batch:
    """Return sealed events of Acme as an outlet gets them."""
    events = record(count, **changes)
    return Batch(str(ACME), 7, events)
