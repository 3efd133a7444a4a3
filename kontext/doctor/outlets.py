"""The outlets of the audit trail: does everything that is sealed arrive where it is sent?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.utils import timezone

from audit.models import Checkpoint, OutletPosition, Tree
from kontext.doctor.findings import Finding, error, ok
from orgs.outlets.checkpoints import get_checkpoint_outlets
from orgs.outlets.configured import get_outlets
from orgs.services.witness_key import get_witness_key
from orgs.witness.logs import read_trusted_logs

SUBJECT = "Outlets"
_PATIENCE = dt.timedelta(minutes=2)


def examine_outlets() -> Iterable[Finding]:
    of_checkpoints = max(_PATIENCE, 10 * dt.timedelta(seconds=settings.CHECKPOINT_SECONDS))
    try:
        patience = dict.fromkeys(get_outlets(), _PATIENCE) | dict.fromkeys(get_checkpoint_outlets(), of_checkpoints)
        witnessed = len(read_trusted_logs())
    except ImproperlyConfigured as wrong:
        yield error(SUBJECT, str(wrong), "correct the setting and restart web and worker; see docs/audit.md")
        return
    try:
        for name, longest in patience.items():
            yield _examine(name, longest)
        if settings.WITNESS_LOGS:
            yield ok("Witness", f"cosigns {witnessed} logs as {get_witness_key()}")
    except DatabaseError:
        return  # said elsewhere


def _examine(name: str, patience: dt.timedelta) -> Finding:
    now = timezone.now()
    behind = [position for position in _find_behind(name) if _waits_since(position) < now - patience]
    if not behind:
        return ok(SUBJECT, f"{name}: everything that is sealed has arrived")
    count = sum(position.tree.size - position.size for position in behind)
    failing = min((position for position in behind if position.error), key=_waits_since, default=None)
    if failing is None:
        return error(SUBJECT, f"{name} is behind by {count} events", "is the worker running?")
    text = f"{name} is behind by {count} events since {_waits_since(failing):%Y-%m-%d %H:%M:%S} UTC: {failing.error}"
    return error(SUBJECT, text, "mend the destination, or unset it; nothing is lost, and it goes on by itself")


def _find_behind(name: str) -> list[OutletPosition]:
    known = {position.tree_id: position for position in OutletPosition.objects.filter(outlet=name)}
    behind = []
    for tree in Tree.objects.all():
        position = known.get(tree.pk, OutletPosition(outlet_id=name, tree=tree))
        position.tree = tree
        if tree.size > position.size:
            behind.append(position)
    return behind


def _waits_since(position: OutletPosition) -> dt.datetime:
    """Return when the oldest event that has not arrived was sealed, or when it was first refused."""
    first = Checkpoint.objects.filter(tree=position.tree_id, size__gt=position.size).order_by("size").first()
    sealed_at = first.sealed_at if first is not None else timezone.now()
    return min(sealed_at, position.failing_since or sealed_at)
