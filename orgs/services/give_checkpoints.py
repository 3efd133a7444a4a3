"""Give the newest checkpoint of each tree to one outlet: only that one counts, since it binds all before it."""

from __future__ import annotations

import time

from audit.models import OutletPosition
from audit.proofs import get_newest_checkpoint
from orgs.outlets.base import OutletError, UnreachableError
from orgs.outlets.checkpoints import CheckpointOutlet
from orgs.outlets.positions import Lease, find_behind, move_on, note_failure


def give_checkpoints(outlet: CheckpointOutlet, *, seconds: float) -> int:
    """Give what is new, for about so long. Returns how many arrived; 0 while another process does the same."""
    lease = Lease(outlet.name)
    if not lease.take():
        return 0
    ends, count = time.monotonic() + seconds, 0
    try:
        for position in find_behind(outlet.name):
            if time.monotonic() >= ends or not lease.extend():
                break
            count += _give(outlet, position)
    except UnreachableError:
        lease.rest_until(position.retry_at)
    finally:
        lease.release()
    return count


def _give(outlet: CheckpointOutlet, position: OutletPosition) -> bool:
    checkpoint = get_newest_checkpoint(position.tree)
    if checkpoint is None:
        return False
    try:
        outlet.give(position.tree, checkpoint, position.size)
    except OutletError as error:
        note_failure(position, error)
        if isinstance(error, UnreachableError):
            raise
        return False
    return move_on(position, checkpoint.size)
