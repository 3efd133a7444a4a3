"""Send the audit trail to where others collect events: in the order of each tree, at least once, and no call waits.

How far an outlet has come in a tree is written down once it has taken a batch, so a crash in between sends that batch
again. One that refuses a tree's events holds that tree up and nothing else, and is asked again ever less often.
"""

from __future__ import annotations

import datetime as dt
import logging
import time

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from audit.models import AuditEvent, Leaf, OutletPosition, Tree
from audit.models import Outlet as OutletRow
from orgs.outlets.base import Batch, Outlet, OutletError, RefusedError, UnreachableError

logger = logging.getLogger(__name__)

MOST_EVENTS = 500
# Longer than any outlet takes for a batch. Whoever dies while sending is followed by another after this.
_LEASE = dt.timedelta(seconds=60)
_SHORTEST_REST = dt.timedelta(seconds=5)
_LONGEST_REST = dt.timedelta(minutes=5)


def stream_events(outlet: Outlet, *, seconds: float) -> int:
    """Send what is sealed and not sent yet, for about so long. Returns how many events arrived.

    Does nothing while another process sends to this outlet.
    """
    lease = _Lease(outlet.name)
    if not lease.take():
        return 0
    ends, count = time.monotonic() + seconds, 0
    behind = _find_behind(outlet.name)
    try:
        # A batch of each tree in turn: one that is busy does not keep the others waiting.
        while behind:
            busy = []
            for position in behind:
                if time.monotonic() >= ends or not lease.extend():
                    return count
                sent = _send_batch(outlet, position)
                count += sent
                if sent == MOST_EVENTS:
                    busy.append(position)
            behind = busy
    except UnreachableError:
        lease.rest_until(position.retry_at)
    finally:
        lease.release()
    return count


class _Lease:
    """The right to send to an outlet, by compare-and-set: no connection, and no lock, is held while sending."""

    def __init__(self, name: str) -> None:
        OutletRow.objects.get_or_create(name=name)
        self._row = OutletRow.objects.filter(name=name)
        self._held: dt.datetime | None = None

    def take(self) -> bool:
        return self._set(self._row.filter(Q(busy_until=None) | Q(busy_until__lte=timezone.now())))

    def extend(self) -> bool:
        """Return False where it took so long that another took it over."""
        return self._set(self._row.filter(busy_until=self._held))

    def rest_until(self, moment: dt.datetime | None) -> None:
        self._row.filter(busy_until=self._held).update(busy_until=moment)

    def release(self) -> None:
        self._row.filter(busy_until=self._held).update(busy_until=None)

    def _set(self, rows: QuerySet[OutletRow]) -> bool:
        until = timezone.now() + _LEASE
        if not rows.update(busy_until=until):
            return False
        self._held = until
        return True


def _find_behind(name: str) -> list[OutletPosition]:
    """Return where this outlet is in each tree that has grown beyond, whoever waited longest first."""
    new = Tree.objects.filter(size__gt=0).exclude(outletposition__outlet=name)
    OutletPosition.objects.bulk_create(
        [OutletPosition(outlet_id=name, tree=tree) for tree in new], ignore_conflicts=True
    )
    behind = OutletPosition.objects.filter(outlet=name, tree__size__gt=F("size")).select_related("tree")
    due = behind.filter(Q(retry_at=None) | Q(retry_at__lte=timezone.now()))
    return list(due.order_by(F("delivered_at").asc(nulls_first=True), "pk"))


def _send_batch(outlet: Outlet, position: OutletPosition) -> int:
    try:
        batch = _read_batch(position)
        if batch.events:
            outlet.send(batch)
    except OutletError as error:
        _note_failure(position, error)
        if isinstance(error, UnreachableError):
            raise
        return 0
    return _move_on(position, len(batch.events))


def _read_batch(position: OutletPosition) -> Batch:
    start = position.size
    leaves = Leaf.objects.filter(tree=position.tree_id, index__gte=start, index__lt=start + MOST_EVENTS)
    keys = list(leaves.order_by("index").values_list("event_id", flat=True))
    found = AuditEvent.objects.in_bulk(keys)
    events = [found[key] for key in keys if key in found]
    missing = next((at for at, key in enumerate(keys) if key not in found), None)
    if missing == 0:
        raise RefusedError(f"event {keys[0]} is sealed and gone: see manage.py audit verify")
    return Batch(str(position.tree.organization_id or "installation"), start, events[:missing])


def _move_on(position: OutletPosition, count: int) -> int:
    if not count:
        return 0
    was, position.size = position.size, position.size + count
    position.failures, position.failing_since, position.retry_at, position.error = 0, None, None, ""
    # Of two that sent the same batch one moves on; the other finds it moved.
    moved = OutletPosition.objects.filter(pk=position.pk, size=was).update(
        size=position.size, delivered_at=timezone.now(), failures=0, failing_since=None, retry_at=None, error=""
    )
    return count if moved else 0


def _note_failure(position: OutletPosition, error: OutletError) -> None:
    now = timezone.now()
    if not position.failures:
        logger.warning("audit events of %s don't arrive at outlet %s: %s", position.tree, position.outlet_id, error)
    rest = min(_SHORTEST_REST * 2 ** min(position.failures, 10), _LONGEST_REST)
    position.failures, position.retry_at = position.failures + 1, now + rest
    position.failing_since, position.error = position.failing_since or now, str(error)[:255]
    position.save(update_fields=["failures", "failing_since", "retry_at", "error"])


__all__ = ["MOST_EVENTS", "stream_events"]
