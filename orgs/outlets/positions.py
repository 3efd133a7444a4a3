"""How far an outlet is in each tree, who sends to it now, and when it is tried again: what survives a kill."""

from __future__ import annotations

import datetime as dt
import logging

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from audit.models import Outlet as OutletRow
from audit.models import OutletPosition, Tree
from orgs.outlets.base import OutletError

logger = logging.getLogger(__name__)

# Longer than any outlet takes for one sending. Whoever dies in it is followed by another after this.
_LEASE = dt.timedelta(seconds=60)
_SHORTEST_REST = dt.timedelta(seconds=5)
_LONGEST_REST = dt.timedelta(minutes=5)


class Lease:
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


def find_behind(name: str) -> list[OutletPosition]:
    """Return where this outlet is in each tree that has grown beyond, and is due; whoever waited longest first."""
    new = Tree.objects.filter(size__gt=0).exclude(outletposition__outlet=name)
    OutletPosition.objects.bulk_create(
        [OutletPosition(outlet_id=name, tree=tree) for tree in new], ignore_conflicts=True
    )
    behind = OutletPosition.objects.filter(outlet=name, tree__size__gt=F("size")).select_related("tree")
    due = behind.filter(Q(retry_at=None) | Q(retry_at__lte=timezone.now()))
    return list(due.order_by(F("delivered_at").asc(nulls_first=True), "pk"))


def move_on(position: OutletPosition, size: int) -> bool:
    """Note that everything before leaf `size` has arrived. Of two that sent the same one moves on, and gets True."""
    was, position.size = position.size, size
    position.failures, position.failing_since, position.retry_at, position.error = 0, None, None, ""
    moved = OutletPosition.objects.filter(pk=position.pk, size=was).update(
        size=size, delivered_at=timezone.now(), failures=0, failing_since=None, retry_at=None, error=""
    )
    return bool(moved)


def note_failure(position: OutletPosition, error: OutletError) -> None:
    """Note what is wrong, and rest ever longer before the next try."""
    now = timezone.now()
    if not position.failures:
        logger.warning(
            "the audit trail of %s does not arrive at outlet %s: %s", position.tree, position.outlet_id, error
        )
    rest = min(_SHORTEST_REST * 2 ** min(position.failures, 10), _LONGEST_REST)
    position.failures, position.retry_at = position.failures + 1, now + rest
    position.failing_since, position.error = position.failing_since or now, str(error)[:255]
    position.save(update_fields=["failures", "failing_since", "retry_at", "error"])
