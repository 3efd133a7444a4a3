"""Drop months of the log that are older than they are to be kept, each whole, and say so under a signature.

Leaves and tree stay, so what remains still verifies, and what is gone can be told from what was taken away.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from audit.keys import make_key, read_moment
from audit.models import OutletPosition, RetentionStatement, Tree
from audit.notes import NoteError, VerifierKey, parse_checkpoint
from audit.partitions import FIRST, Partition, add_months, begin_month, read_partitions
from audit.proofs import get_newest_checkpoint
from audit.services.record import Actor, record_event
from audit.services.roll_up import forget_partition
from audit.statements import Dropped, Statement, open_statement
from audit.types import EventType

# Returns the signed note of a text, given also the origin of the log that it is about.
Sign = Callable[[str, str], str]

_LEAVES = """
    SELECT tree_id, min("index"), max("index") FROM (
        SELECT l.tree_id, l."index", l."index" - row_number() OVER (PARTITION BY l.tree_id ORDER BY l."index") AS run
        FROM {} e JOIN audit_leaf l ON l.event_id = e.id
    ) AS found GROUP BY tree_id, run ORDER BY 1, 2"""
# A lock that waits holds up every call that is to be written: rather not for long, and again.
_LOCK_TIMEOUT = "150ms"
_ATTEMPTS = 100
_PAUSE = 0.3


class RetentionError(Exception):
    """This month can't be dropped now. Nothing was changed."""


@dataclass(frozen=True)
class Month:
    """A partition that is due. `leaves` are the runs of each tree, first and last."""

    partition: Partition
    events: int
    leaves: dict[UUID, list[tuple[int, int]]]
    bytes: int

    @property
    def name(self) -> str:
        return name_month(self.partition)


def name_month(partition: Partition) -> str:
    """Return `2026-03`, or of the first partition of a log that was converted, `before 2026-12`."""
    if partition.lower == FIRST:
        return f"before {read_moment(partition.upper):%Y-%m}"
    return f"{read_moment(partition.lower):%Y-%m}"


def find_due(months: int, now: dt.datetime | None = None) -> list[Partition]:
    """Return the partitions whose calls all began before the month that is so many before this one."""
    limit = make_key(add_months(begin_month(now or timezone.now()), -months))
    return [partition for partition in read_partitions() if partition.upper <= limit]


def describe(partition: Partition) -> Month:
    """Read what is in a partition. Takes seconds for each million events."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), pg_total_relation_size(%s::regclass) FROM {partition.name}",  # noqa: S608 (a catalog's name)
            [partition.name],
        )
        events, size = cursor.fetchone()
        cursor.execute(_LEAVES.format(partition.name))
        leaves = defaultdict(list)
        for tree, first, last in cursor.fetchall():
            leaves[tree].append((first, last))
    return Month(partition, events, dict(leaves), size)


def drop_month(
    *, partition: Partition, months: int, sign: Sign, actor: Actor, outlets: Collection[str] = ()
) -> list[Statement]:
    """Drop a partition, with what was kept of its calls' content, and return a statement for each tree.

    `outlets` are those that must have got the events before. Raises RetentionError.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', '5s', true)")
            cursor.execute(f"LOCK TABLE {partition.name} IN SHARE ROW EXCLUSIVE MODE")  # what is counted, is all
        month = describe(partition)
        _check_sealed(month)
        statements = [_state(tree, month, months, sign, actor) for tree in _find_trees(month, outlets)]
        forget_partition(partition.name)
        _drop_table(partition.name)
    delete_payloads()
    return statements


def delete_payloads() -> None:
    """Delete what was kept of the content of calls whose month was dropped: also what a crash has left."""
    with connection.cursor() as cursor:
        for lower, upper in RetentionStatement.objects.order_by().values_list("lower", "upper").distinct():
            cursor.execute("DELETE FROM audit_payload WHERE call >= %s AND call < %s", [lower, upper])


def read_dropped(tree: Tree, keys: Collection[VerifierKey]) -> tuple[Dropped, list[Statement], list[NoteError]]:
    """Return which leaves the kept statements stand for, these, and what is wrong with those that can't be trusted."""
    statements, errors = [], []
    for note in RetentionStatement.objects.filter(tree=tree).order_by("pk").values_list("note", flat=True):
        try:
            statements.append(open_statement(note, tree.origin, list(keys)))
        except NoteError as error:
            errors.append(error)
    return Dropped(run for statement in statements for run in statement.leaves), statements, errors


def _check_sealed(month: Month) -> None:
    sealed = sum(last - first + 1 for runs in month.leaves.values() for first, last in runs)
    if sealed != month.events:
        raise RetentionError(f"{month.events - sealed} events of {month.name} are in no tree: let the sealer run first")


def _find_trees(month: Month, outlets: Collection[str]) -> Iterator[Tree]:
    for tree in Tree.objects.filter(pk__in=month.leaves).order_by("origin"):
        end = month.leaves[tree.pk][-1][1] + 1
        arrived = OutletPosition.objects.filter(tree=tree, outlet__in=outlets, size__gte=end).count()
        if arrived < len(set(outlets)):
            raise RetentionError(f"not every outlet has got the events of {month.name} in {tree.origin} yet")
        yield tree


def _state(tree: Tree, month: Month, months: int, sign: Sign, actor: Actor) -> Statement:
    checkpoint = get_newest_checkpoint(tree)
    if checkpoint is None:
        raise RetentionError(f"{tree.origin} has no checkpoint")
    statement = Statement(
        head=parse_checkpoint(checkpoint.note.partition("\n\n")[0] + "\n"),
        month=month.name,
        leaves=tuple(month.leaves[tree.pk]),
        kept=f"{months} months",
        by=actor.user_name,
        at=f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}",
    )
    note = sign(str(statement), tree.origin)
    bounds = {"lower": month.partition.lower, "upper": month.partition.upper}
    RetentionStatement.objects.create(tree=tree, month=month.name, note=note, **bounds)
    details = {"name": month.name, "events": statement.events, "statement": note}
    record_event(type=EventType.AUDIT_DROPPED, organization_id=tree.organization_id, actor=actor, details=details)
    return statement


def _drop_table(name: str) -> None:
    for _ in range(_ATTEMPTS):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
                cursor.execute(f"DROP TABLE {name}")
        except OperationalError:
            time.sleep(_PAUSE)
        else:
            return
    raise RetentionError(f"{name} is being read all the time: try again later")
