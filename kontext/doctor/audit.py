"""The audit trail: is it sealed in time, and are its checkpoints out of reach of who could change it?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from audit.models import AuditEvent, Leaf, Tree
from audit.partitions import FEWEST_AHEAD, count_ahead, has_caught, read_partitions
from audit.services.retain import find_due, name_month
from kontext.doctor.findings import Finding, error, ok, warning
from kontext.doctor.security import is_local

SUBJECT = "Audit trail"
_PATIENCE = dt.timedelta(seconds=10)
# Looking further back would read the whole log where nothing was ever sealed; the sealer itself does.
_SPAN = dt.timedelta(days=1)


def examine_sealing() -> Iterable[Finding]:
    now = timezone.now()
    try:
        oldest = _find_oldest_unsealed(now)
    except DatabaseError:
        return  # said elsewhere
    if oldest is None:
        yield ok(SUBJECT, "every event is sealed")
        return
    seconds = int((now - oldest).total_seconds())
    text = f"sealing is behind: an event of {seconds} seconds ago is in no tree yet"
    yield error(SUBJECT, text, f"manage.py up (or manage.py seal on its own); see {settings.DATA_DIR}/logs/sealer.log")


def _find_oldest_unsealed(now: dt.datetime) -> dt.datetime | None:
    recent = AuditEvent.objects.since(now - _SPAN).filter(recorded_at__lt=now - _PATIENCE)
    unsealed = recent.exclude(Exists(Leaf.objects.filter(pk=OuterRef("pk"))))
    return unsealed.order_by("id").values_list("recorded_at", flat=True).first()


def examine_partitions() -> Iterable[Finding]:
    try:
        ahead, is_caught = count_ahead(read_partitions(), timezone.now()), has_caught()
    except DatabaseError:
        return
    if ahead < FEWEST_AHEAD:
        months = "1 month" if ahead == 1 else f"{max(ahead, 0)} months"
        text = f"there are partitions for only {months} after this one: later calls will fall into the net"
        yield error(SUBJECT, text, "is the worker running? manage.py migrate makes them, too")
    else:
        yield ok(SUBJECT, f"there are partitions for {ahead} months after this one")
    if is_caught:
        text = "events are in no month's partition: partitions were made too late, or a clock is far off"
        yield warning(SUBJECT, text, "manage.py migrate moves those of this month and the next; the others may stay")


def examine_retention() -> Iterable[Finding]:
    if settings.AUDIT_MONTHS < 1:
        return
    try:
        due = find_due(settings.AUDIT_MONTHS)
    except DatabaseError:
        return
    if due:
        names = ", ".join(name_month(partition) for partition in due[:3])
        text = f"months are still there that are to be kept no longer: {names}{', …' if len(due) > 3 else ''}"
        yield warning(
            SUBJECT, text, "manage.py audit verify, then manage.py audit retain --apply (each month, by a timer)"
        )
    else:
        yield ok(SUBJECT, f"nothing is older than {settings.AUDIT_MONTHS} months and this one")


def examine_checkpoints() -> Iterable[Finding]:
    late = timezone.now() - dt.timedelta(seconds=10 * settings.CHECKPOINT_SECONDS)
    try:
        trees = Tree.objects.filter(size__gt=0)
        unpublished = trees.filter(size__gt=F("published_size")).exclude(published_at__gte=late)
        overdue = [tree for tree in unpublished if tree.checkpoints.filter(sealed_at__lt=late).exists()]
        newest = trees.order_by("-published_at").exclude(published_at=None).first()
    except DatabaseError:
        return
    if overdue:
        text = f"no checkpoint of {overdue[0]} was published for ten times {settings.CHECKPOINT_SECONDS} seconds"
        yield error(SUBJECT, text, f"is the worker running, and may it write to {settings.CHECKPOINT_DIR}?")
    elif newest is not None:
        yield ok(SUBJECT, f"the newest checkpoint was published at {newest.published_at:%Y-%m-%d %H:%M:%S} UTC")
    given = settings.CHECKPOINT_WEBHOOK or settings.CHECKPOINT_S3 or settings.WITNESSES
    if newest is not None and not (given or _is_elsewhere() or is_local()):
        yield warning(
            SUBJECT,
            "checkpoints are kept only in the data folder: who owns this machine could rewrite both",
            "set KONTEXT_WITNESSES, KONTEXT_CHECKPOINT_S3 or KONTEXT_CHECKPOINT_WEBHOOK; see docs/audit.md#publish",
        )


def _is_elsewhere() -> bool:
    return not settings.CHECKPOINT_DIR.resolve().is_relative_to(settings.DATA_DIR)
