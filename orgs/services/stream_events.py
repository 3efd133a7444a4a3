"""Send the audit trail to where others collect events: in the order of each tree, at least once, and no call waits.

How far an outlet has come in a tree is written down once it has taken a batch, so a crash in between sends that batch
again. One that refuses a tree's events holds that tree up and nothing else, and is asked again ever less often.
"""

from __future__ import annotations

import time

from audit.models import AuditEvent, Leaf, OutletPosition
from audit.services.retain import read_dropped
from orgs.outlets.base import Batch, Outlet, OutletError, RefusedError, UnreachableError
from orgs.outlets.positions import Lease, find_behind, move_on, note_failure
from orgs.services.checkpoint_keys import get_verifier_keys

MOST_EVENTS = 500


def stream_events(outlet: Outlet, *, seconds: float) -> int:
    """Send what is sealed and not sent yet, for about so long. Returns how many events arrived.

    Does nothing while another process sends to this outlet.
    """
    lease = Lease(outlet.name)
    if not lease.take():
        return 0
    ends, count = time.monotonic() + seconds, 0
    behind = find_behind(outlet.name)
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


def _send_batch(outlet: Outlet, position: OutletPosition) -> int:
    try:
        batch = _read_batch(position)
        if not batch.events:
            return 0
        outlet.send(batch)
    except OutletError as error:
        note_failure(position, error)
        if isinstance(error, UnreachableError):
            raise
        return 0
    return len(batch.events) if move_on(position, batch.last + 1) else 0


def _read_batch(position: OutletPosition) -> Batch:
    start = position.size
    leaves = Leaf.objects.filter(tree=position.tree_id, index__gte=start, index__lt=start + MOST_EVENTS)
    keys = list(leaves.order_by("index").values_list("event_id", flat=True))
    found = AuditEvent.objects.in_bulk(keys)
    events = [found[key] for key in keys if key in found]
    missing = next((at for at, key in enumerate(keys) if key not in found), None)
    if missing == 0 and (end := _find_end_of_dropped(position)) > start:
        # An outlet that was set up after a month was dropped begins after it.
        move_on(position, end)
        return _read_batch(position)
    if missing == 0:
        raise RefusedError(f"event {keys[0]} is sealed and gone: see manage.py audit verify")
    return Batch(str(position.tree.organization_id or "installation"), start, events[:missing])


def _find_end_of_dropped(position: OutletPosition) -> int:
    dropped, _, _ = read_dropped(position.tree, get_verifier_keys(position.tree.origin))
    return min(dropped.find_end(position.size), position.tree.size)
