"""The log's partitions: one for each month of calls, made months ahead, and one as a net for whatever fits none.

The key is `call`: a UUIDv7, so it names its month, and the phases of a call stay together, which keeps (call, phase)
unique in the whole log. An event without a call has its own identifier there. A partition is found by what PostgreSQL
says of it, never by its name.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from audit.keys import make_key
from audit.models import AuditEvent

TABLE = "audit_auditevent"
NET = f"{TABLE}_default"
# How many whole months ahead there are partitions, and how few are a reason to worry.
MONTHS_AHEAD = 3
FEWEST_AHEAD = 2

FIRST = UUID(int=0)
LAST = UUID(int=2**128 - 1)
_BOUNDS = re.compile(r"FROM \((MINVALUE|'[0-9a-f-]{36}')\) TO \((MAXVALUE|'[0-9a-f-]{36}')\)")
_LOCK = 0x6B6F6E74_BA27
# Whoever reads the log waits behind a lock that waits. Another time is as good.
_LOCK_TIMEOUT = "500ms"


@dataclass(frozen=True, order=True)
class Partition:
    """The calls from `lower` up to, not including, `upper` are in table `name`."""

    lower: UUID
    upper: UUID
    name: str

    def includes(self, key: UUID) -> bool:
        return self.lower <= key < self.upper


def begin_month(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def add_months(month: dt.datetime, count: int) -> dt.datetime:
    """Return the beginning of the month that is so many later, or earlier."""
    year, index = divmod(month.year * 12 + month.month - 1 + count, 12)
    return month.replace(year=year, month=index + 1)


def is_partitioned() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = to_regclass(%s))", [TABLE])
        return bool(cursor.fetchone()[0])


def read_partitions() -> list[Partition]:
    """Return the partitions of a range of time, the oldest first: all but the net."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass",
            [TABLE],
        )
        found = [(name, _BOUNDS.search(bounds)) for name, bounds in cursor.fetchall()]
    return sorted(Partition(_read(bounds[1]), _read(bounds[2]), name) for name, bounds in found if bounds is not None)


def count_ahead(partitions: Sequence[Partition], now: dt.datetime) -> int:
    """Return for how many months after this one, without a gap, there are partitions."""
    month = begin_month(now)
    count = 0
    while any(partition.includes(make_key(add_months(month, count))) for partition in partitions):
        count += 1
    return count - 1


def has_caught() -> bool:
    """Tell whether events fell into the net."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {NET})")  # noqa: S608 (a name of our own)
        return bool(cursor.fetchone()[0])


def make_partitions(now: dt.datetime | None = None) -> list[str]:
    """Make what is missing for this month and those to come, and return the names.

    Events that the net has caught meanwhile move to where they belong. Several processes may do this at once.
    """
    month = begin_month(now or timezone.now())
    made = []
    for start in (add_months(month, count) for count in range(MONTHS_AHEAD + 1)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s), set_config('lock_timeout', %s, true)", [_LOCK, _LOCK_TIMEOUT]
            )
            if not any(partition.includes(make_key(start)) for partition in read_partitions()):
                made.append(_make_partition(start))
    return made


def _make_partition(start: dt.datetime) -> str:
    name = f"{TABLE}_{start:%Y_%m}"
    lower, upper = make_key(start), make_key(add_months(start, 1))
    columns = ", ".join(f'"{field.column}"' for field in AuditEvent._meta.concrete_fields)
    with connection.cursor() as cursor:
        # Attached rather than made in place, which would keep calls from being written meanwhile.
        cursor.execute(
            f"""
            LOCK TABLE {NET} IN ACCESS EXCLUSIVE MODE;
            CREATE TABLE {name} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (id));
            ALTER TABLE {NET} DISABLE TRIGGER audit_append_only;
            WITH moved AS (DELETE FROM {NET} WHERE call >= '{lower}' AND call < '{upper}' RETURNING {columns})
            INSERT INTO {name} ({columns}) SELECT {columns} FROM moved;
            ALTER TABLE {NET} ENABLE TRIGGER audit_append_only;
            ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{lower}') TO ('{upper}');
            CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {name}
                FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
            """  # noqa: S608 (names of our own)
        )
    return name


def _read(bound: str) -> UUID:
    return {"MINVALUE": FIRST, "MAXVALUE": LAST}.get(bound) or UUID(bound.strip("'"))
