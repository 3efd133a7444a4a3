"""Count events by the hour, so that charts of a long log need not read it.

What is counted is what is sealed, in the order of each tree: the counts and how many leaves they are of change in one
transaction, so a kill loses nothing and counts nothing twice, and an event that was sealed late is counted late.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from audit.keys import make_key, read_moment
from audit.models import ApplicationHour, CapabilityHour, Leaf, RollupPosition, Tree
from audit.querysets import LONGEST_CALL

MOST_EVENTS = 10_000
# Eight buckets for each doubling: what is told from them is right to within 5 %.
BUCKETS_PER_DOUBLING = 8
BUCKET = f"floor({BUCKETS_PER_DOUBLING} * ln(greatest(latency_us, 1)::float8) / ln(2::float8))::int"
# Events are sealed in the order of their keys, but for what committed late or by a clock that is behind.
_LATE = dt.timedelta(minutes=1)

_KEYS = {
    CapabilityHour: "organization_id, hour, type, phase, outcome, integration, capability",
    ApplicationHour: "organization_id, hour, type, phase, outcome, application_id, application_name",
}
_ADD = """
    INSERT INTO {table} AS known ({keys}, events, latencies)
    SELECT {keys}, sum(events),
        coalesce(jsonb_object_agg(bucket, events) FILTER (WHERE bucket IS NOT NULL), jsonb_build_object())
    FROM (SELECT {keys}, bucket, %(sign)s * count(*) AS events FROM batch GROUP BY {keys}, bucket) AS counted
    GROUP BY {keys}
    ON CONFLICT ({keys}) DO UPDATE SET events = known.events + EXCLUDED.events, latencies = (
        SELECT coalesce(jsonb_object_agg(key, number), jsonb_build_object()) FROM (
            SELECT key, sum(value::bigint) AS number FROM (
                SELECT * FROM jsonb_each_text(known.latencies)
                UNION ALL SELECT * FROM jsonb_each_text(EXCLUDED.latencies)
            ) AS both_of_them GROUP BY key HAVING sum(value::bigint) <> 0
        ) AS added
    )"""
_COUNT = f"""
    WITH batch AS MATERIALIZED (
        SELECT organization_id, date_trunc('hour', occurred_at, 'UTC') AS hour, type, phase, outcome, integration,
            capability, application_id, application_name,
            CASE WHEN latency_us IS NOT NULL THEN {BUCKET} END AS bucket
        FROM {{events}}
    ),
    by_capability AS ({_ADD.format(table=CapabilityHour._meta.db_table, keys=_KEYS[CapabilityHour])}),
    by_application AS ({_ADD.format(table=ApplicationHour._meta.db_table, keys=_KEYS[ApplicationHour])})
    SELECT count(*), min(hour), max(hour) FROM batch"""  # noqa: S608 (names of our own)
_LIVE_SINCE = """
    SELECT coalesce(
        (SELECT event_id FROM audit_leaf WHERE tree_id = t.id AND "index" = coalesce(p.size, 0)),
        (SELECT event_id FROM audit_leaf ORDER BY event_id DESC LIMIT 1)
    )
    FROM audit_tree t LEFT JOIN audit_rollupposition p ON p.tree_id = t.id
    WHERE t.size > 0 AND (%(all)s OR t.organization_id = ANY(%(organizations)s))"""


def roll_up(*, seconds: float) -> int:
    """Count what is sealed and not counted yet, for about so long. Returns how many events that were."""
    ends, count = time.monotonic() + seconds, 0
    behind = _find_behind()
    # A batch of each tree in turn: one that is busy does not keep the others waiting.
    while behind:
        busy = []
        for tree in behind:
            counted = _count_batch(tree)
            count += counted
            if counted == MOST_EVENTS:
                busy.append(tree)
            if time.monotonic() >= ends:
                return count
        behind = busy
    return count


def recount(*, organization_id: UUID | None) -> None:
    """Forget the counts of an organization, or of the installation itself (None): roll_up makes them anew."""
    with transaction.atomic():
        positions = RollupPosition.objects.filter(tree__organization_id=organization_id)
        list(positions.select_for_update())
        for model in _KEYS:
            model._default_manager.filter(organization_id=organization_id).delete()
        positions.update(size=0)


def forget_partition(name: str) -> None:
    """Take what is in a partition of the log out of the counts, in the transaction that drops it."""
    list(RollupPosition.objects.select_for_update())
    source = f"""{name} e JOIN audit_leaf l ON l.event_id = e.id
        JOIN audit_rollupposition p ON p.tree_id = l.tree_id AND l."index" < p.size"""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(events=source), {"sign": -1})
        _, first, last = cursor.fetchone()
    if first is not None:
        for model in _KEYS:
            model._default_manager.filter(hour__range=(first, last), events=0).delete()


def find_live_since(organizations: Collection[UUID] | None) -> dt.datetime | None:
    """Return the hour from which on the counts of any of these are not complete yet, the present one at the latest.

    None where nothing was ever counted. Without `organizations`, of all, and of the installation itself.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LIVE_SINCE, {"all": organizations is None, "organizations": list(organizations or ())})
        keys = [key for (key,) in cursor.fetchall()]
    if not keys:
        return None
    since = min(read_moment(min(keys)) - _LATE, timezone.now())
    return since.replace(minute=0, second=0, microsecond=0)


def _find_behind() -> list[Tree]:
    new = Tree.objects.filter(size__gt=0, rollupposition=None)
    RollupPosition.objects.bulk_create([RollupPosition(tree=tree) for tree in new], ignore_conflicts=True)
    return list(Tree.objects.filter(size__gt=F("rollupposition__size")))


@transaction.atomic
def _count_batch(tree: Tree) -> int:
    """Count the next leaves of a tree. What retention dropped counts nothing."""
    position = RollupPosition.objects.select_for_update().get(tree=tree)
    leaves = Leaf.objects.filter(tree=tree, index__gte=position.size, index__lt=position.size + MOST_EVENTS)
    keys = list(leaves.order_by("index").values_list("event_id", flat=True))
    if keys:
        _count_events(keys)
        position.size += len(keys)
        position.save(update_fields=["size"])
    return len(keys)


def _count_events(keys: list[UUID]) -> None:
    lower, upper = make_key(read_moment(min(keys)) - LONGEST_CALL), make_key(read_moment(max(keys)) + _LATE)
    usual = "call >= %(lower)s AND call < %(upper)s"
    values: dict[str, Any] = {"sign": 1, "keys": keys, "lower": lower, "upper": upper}
    with connection.cursor() as cursor:
        counted = 0
        for where in (usual, f"NOT ({usual})"):
            if counted < len(keys):
                events = f"audit_auditevent WHERE id = ANY(%(keys)s) AND {where}"
                cursor.execute(_COUNT.format(events=events), values)
                counted += cursor.fetchone()[0]
