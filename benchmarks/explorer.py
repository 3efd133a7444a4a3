"""How soon pages of the audit trail are there when it is long, and what an event takes on disk.

    python -m benchmarks.explorer [--events 10000000] [--months 6] [--repeat 5] [--folder FOLDER]

Makes events of three organizations, spread over some months, on a PostgreSQL of its own that does not wait for the
disk: of ten million, in about 16 GB. Then it asks for first pages as the explorer in the admin does, through Django
with everything that belongs to a page, and for lists as the API does, without HTTP. With `--folder` the events are
kept there, and found again the next time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from kontext.embedded.postgres import PostgresOptions, PostgresServer

_LIMIT_MS = 200
_STEP = 100_000
_RARE = 1_000_003  # one call in so many is of a capability, and from an address, that no other is of
_SHARES = (0.8, 0.95)  # what the first organization has of all events, and the first two
# A call is made by some person through some application; few make most. Everything comes from its number, so that
# the same events are made each time.
_INSERT = """
    INSERT INTO audit_auditevent (id, organization_id, type, occurred_at, recorded_at, call, phase, outcome, user_id,
        user_name, application_id, application_name, integration_id, integration, capability, connection_id, account,
        session, request_id, trace_id, source_address, policy_version, decision, arguments_digest, latency_us, details)
    SELECT
        key, organization, type, moment, moment, CASE WHEN phase = '' THEN key ELSE call END, phase, outcome,
        md5(concat('user', organization, person))::uuid, 'Person ' || person,
        md5(concat('application', organization, application))::uuid, 'Application ' || application,
        md5(concat('integration', organization, integration))::uuid, (%(integrations)s::text[])[integration + 1],
        CASE WHEN phase = '' THEN '' WHEN n %% %(rare)s = 0 THEN 'tool_rare' ELSE 'tool_' || (n / 7) %% 12 END,
        md5(concat('connection', person, integration))::uuid, 'account-' || person,
        md5(concat('session', n / 200)), request::text, md5(concat('trace', n / 3)),
        CASE WHEN n %% %(rare)s = 0 THEN '192.0.2.7' ELSE ('10.' || person %% 250 || '.0.' || n %% 250)::inet END, 7,
        CASE WHEN phase IN ('requested', 'denied') THEN %(decision)s::jsonb END,
        CASE WHEN phase = '' THEN '' ELSE md5(n::text) || md5(n::text) END,
        CASE WHEN phase = 'completed' THEN 2000 + n %% 90000 END, '{"method": "tools/call"}'
    FROM (
        SELECT n, kind, call, person, application, integration, organization, request,
            uuidv7(age + step * interval '40 ms') AS key, now() + age + step * interval '40 ms' AS moment,
            CASE WHEN kind < 4 THEN 'person.signed_in' ELSE 'capability.invoked' END AS type,
            CASE WHEN kind < 4 THEN '' WHEN kind < 8 THEN 'denied' WHEN step = 0 THEN 'requested' ELSE 'completed' END
                AS phase,
            CASE WHEN kind < 4 THEN 'ok' WHEN kind < 8 THEN 'denied' WHEN step = 0 THEN ''
                WHEN kind < 10 THEN 'error_remote' ELSE 'ok' END AS outcome
        FROM (
            SELECT n, n * 7919 %% 100 AS kind, uuidv7(age) AS call, uuidv7(age) AS request, age,
                floor(2000 * chance ^ 3)::int AS person,
                floor(50 * chance ^ 2)::int AS application, n %% 8 AS integration,
                (%(organizations)s::uuid[])[1 + (share >= %(first)s)::int + (share >= %(second)s)::int] AS organization
            FROM (
                SELECT n, make_interval(secs => -(%(all)s - n)::float8 * %(seconds)s / %(all)s) AS age,
                    (hashint8(n)::float8 + 2147483648) / 4294967296 AS chance,
                    (hashint8(n + 7)::float8 + 2147483648) / 4294967296 AS share
                FROM generate_series(%(from)s::bigint, %(to)s::bigint) AS n
            ) AS numbers OFFSET 0
        ) AS calls, generate_series(0, CASE WHEN kind < 8 THEN 0 ELSE 1 END) AS step
    ) AS events
    ORDER BY key"""
_TABLES = ("audit_leaf", "audit_capabilityhour", "audit_applicationhour")
_LAYER = {"layer": "org", "verdict": "allow", "rules": [{"id": "0" * 36, "sentence": "All may read."}]}
_INTEGRATIONS = ("github", "slack", "linear", "notion", "jira", "gmail", "stripe", "postgres")


@dataclass(frozen=True)
class _Options(PostgresOptions):
    """More memory for writing than an embedded server needs: the generator would wait for checkpoints."""

    def as_arguments(self) -> list[str]:
        return [*super().as_arguments(), "--max_wal_size=4GB", "--shared_buffers=512MB", "--wal_level=minimal",
                "--max_wal_senders=0"]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    if options.folder is not None:
        _serve(options.folder, options)
        return
    with tempfile.TemporaryDirectory(prefix="kontext-bench-") as folder:
        _serve(Path(folder), options)


def _serve(folder: Path, options: argparse.Namespace) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    server = PostgresServer(folder, _Options(durable=False))
    server.start()
    os.environ |= {"DATABASE_URL": server.url, "DJANGO_SETTINGS_MODULE": "kontext.settings"}
    os.environ |= {"KONTEXT_DATA_DIR": str(folder), "KONTEXT_SECRET_KEY": os.urandom(24).hex()}
    try:
        _run(options)
    finally:
        server.stop()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the events are kept for another time")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from orgs.models import Organization

    call_command("migrate", verbosity=0)
    if not Organization.objects.exists():
        organizations = [Organization.objects.create(slug=f"org-{n}", name=f"Organization {n}").pk for n in range(3)]
        began = time.perf_counter()
        _make_partitions(options.months)
        with _without_indexes():
            _write(options.events, options.months, organizations)
        print(f"events made in {time.perf_counter() - began:,.0f} s", flush=True)
        _write_leaves(organizations)
        _count_hours()
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM (ANALYZE) audit_auditevent, {', '.join(_TABLES)}")
    organization = Organization.objects.get(slug="org-0").pk
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_auditevent")
        [count] = cursor.fetchone()
    print(f"{count:,} events in {options.months} months")
    _measure_storage(count)
    slow = [*_measure_admin(options.repeat, organization), *_measure_api(options.repeat, organization)]
    print(f"over {_LIMIT_MS} ms: {', '.join(slow) or 'none'}")


def _make_partitions(months: int) -> None:
    from audit.partitions import add_months, begin_month, make_partitions

    for count in range(months, -1, -1):
        make_partitions(add_months(begin_month(dt.datetime.now(dt.UTC)), -count))


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Make the log's indexes, other than those that keep it unique, once all is written: a quarter of the time."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = 'audit_auditevent'::regclass AND NOT i.indisunique"
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        yield
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _, definition in indexes:
            cursor.execute(definition.replace(" ON ONLY ", " ON "))


def _write(events: int, months: int, organizations: Sequence[UUID]) -> None:
    import json

    from django.db import connection

    # A call makes nearly two events.
    numbers = int(events / 1.92)
    values: dict[str, Any] = {
        "all": numbers,
        "seconds": months * 30 * 86_400,
        "organizations": list(organizations),
        "integrations": list(_INTEGRATIONS),
        "decision": json.dumps({"effect": "allow", "version": 7, "layers": [_LAYER] * 3}),
        "first": _SHARES[0],
        "second": _SHARES[1],
        "rare": _RARE,
    }

    def insert(start: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, {**values, "from": start, "to": min(start + _STEP, numbers + 1) - 1})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(insert, range(1, numbers + 1, _STEP)))


def _write_leaves(organizations: Sequence[UUID]) -> None:
    """Give every event a leaf in its organization's tree. The hashes are made up: it is about reading, and size."""
    from django.db import connection

    from audit.models import Tree

    for organization in organizations:
        tree = Tree.objects.create(organization_id=organization, origin=f"benchmark/audit/{organization}")
        with connection.cursor() as cursor:
            cursor.execute(
                'INSERT INTO audit_leaf (event_id, tree_id, "index", version, hash) '
                "SELECT id, %s, row_number() OVER (ORDER BY id) - 1, 1, sha256(uuid_send(id)) "
                "FROM audit_auditevent WHERE organization_id = %s ORDER BY id",
                [tree.pk, organization],
            )
            Tree.objects.filter(pk=tree.pk).update(size=cursor.rowcount)


def _count_hours() -> None:
    from audit.services.roll_up import roll_up

    began = time.perf_counter()
    count = roll_up(seconds=float("inf"))
    print(f"{count / (time.perf_counter() - began):,.0f} events a second counted by the hour", flush=True)


def _measure_storage(count: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid)) FROM pg_partition_tree('audit_auditevent')"
        )
        rows, indexes = (int(size) for size in cursor.fetchone())
        print(f"an event: {rows / count:,.0f} bytes, and {indexes / count:,.0f} of indexes")
        cursor.execute(
            "SELECT t.indexname, sum(pg_relation_size(format('%I', t.indexname)::regclass)) FROM pg_indexes t "
            "JOIN pg_partition_tree('audit_auditevent') p ON p.relid = t.tablename::regclass GROUP BY 1"
        )
        sizes: dict[str, int] = {}
        for name, size in cursor.fetchall():
            kind = name.split("_", 4)[-1] if name.startswith("audit_auditevent_2") else ""
            sizes[kind] = sizes.get(kind, 0) + int(size)
        for kind, size in sorted(sizes.items(), key=lambda item: -item[1]):
            if size and kind:
                print(f"    {kind}: {size / count:,.1f}")
        for table in _TABLES:
            cursor.execute("SELECT pg_table_size(%s), pg_indexes_size(%s)", [table, table])
            rows, indexes = (int(size) for size in cursor.fetchone())
            print(f"{table}: {rows / count:,.0f} bytes an event, and {indexes / count:,.0f} of indexes")


def _measure_admin(repeat: int, organization: UUID) -> list[str]:
    from django.test import Client
    from django.urls import reverse

    from audit.models import AuditEvent
    from orgs.models import User

    client = Client(HTTP_HOST="127.0.0.1")
    carol = User.objects.filter(username="carol").first()
    client.force_login(carol or User.objects.create_superuser("carol", "correct horse battery"))
    newest = AuditEvent.objects.filter(organization_id=organization, phase="completed").order_by("-id")
    old = AuditEvent.objects.filter(organization_id=organization, phase="completed").order_by("id")[1000]
    address = reverse("admin:audit_auditevent_changelist")
    numbers = {
        "histogram of a day": "histogram/",
        "histogram of a month": "histogram/?period=month",
        "histogram of a month, an application": f"histogram/?period=month&application={newest[0].application_id}",
        "histogram of a month, a rare tool": "histogram/?period=month&capability=tool_rare",
        "histogram of a month, an account": "histogram/?period=month&account=account-7",
        "histogram of all time": "histogram/?period=all",
        "charts of a day": "charts/",
        "charts of a month": "charts/?period=month",
        "charts of a month, applications": "charts/?period=month&by=application",
        "overview": reverse("admin:index"),
    }
    month, one = f"&organization={organization}&period=month", f"?organization={organization}&period=all"
    pages = {
        "the first page": "",
        "of one organization": f"?{month}",
        "the page before an old event": f"{one}&before={old.pk}",
        "what failed, in a month": f"?outcome=failed{month}",
        "of a person, at any time": f"{one}&user={old.user_id}",
        "of an application, in a month": f"?application={newest[0].application_id}{month}",
        "of a capability, in a month": f"?capability=tool_3{month}",
        "of a session of long ago": f"?session={old.session}",
        "of a request of long ago": f"?request={old.request_id}",
        "of a trace of long ago": f"?trace={old.trace_id}",
        "of a call of long ago": f"?call={old.call}",
        "of a request that is not there": f"?request={UUID(int=1)}",
        "what is about a person, in a month": f"?related={old.user_id}{month}",
        "of a rare capability, in a month": f"?capability=tool_rare{month}",
        "of a rare capability, at any time": f"{one}&capability=tool_rare",
        "of a rare address, in a month": f"?address=192.0.2.7{month}",
        "of a rare address, at any time": f"{one}&address=192.0.2.7",
        "of an account that is not there, in a month": f"?account=nobody{month}",
    }

    def get(query: str) -> Any:
        response = client.get(query if query.startswith("/") else address + query)
        assert response.status_code == 200, (query, response.status_code)
        return response

    asks = {name: partial(get, query) for name, query in (pages | numbers).items()}
    return _measure("explorer", asks, repeat)


def _measure_api(repeat: int, organization: UUID) -> list[str]:
    from django.utils import timezone

    from audit.models import AuditEvent
    from orgs.api.pagination import read_page
    from orgs.api.traces import complete, get_beginnings

    now = timezone.now()
    known = AuditEvent.objects.for_organization(organization).within(now - dt.timedelta(days=30), now)
    last = known.exclude(phase="").order_by("-id")[0]

    def read(rows: Any) -> list[Any]:
        return list(read_page(rows, limit=50, cursor="", scope="benchmark").items)

    lists: dict[str, Callable[[], Any]] = {
        "events": lambda: read(known),
        "events of a person": lambda: read(known.filter(user_id=last.user_id)),
        "events of an application that failed": lambda: read(
            known.filter(application_id=last.application_id, outcome="error_remote")
        ),
        "events of a request that is not there": lambda: read(known.filter(request_id=str(UUID(int=1)))),
        "events of a session that is not there": lambda: read(known.filter(session="none")),
        "an event": lambda: AuditEvent.objects.get(pk=last.pk),
        "traces": lambda: complete(read(get_beginnings(known))),
        "traces that failed": lambda: complete(read(get_beginnings(known, outcome="error_remote"))),
    }
    return _measure("API", lists, repeat)


def _measure(title: str, asks: Mapping[str, Callable[[], Any]], repeat: int) -> list[str]:
    """Print medians, and how long the first and the quickest took. Returns those that took too long."""
    from django.db import connection

    slow = []
    for name, ask in asks.items():
        totals, queries, ours = [], [], []
        for _ in range(repeat):
            clock = _Clock()
            began, cpu = time.perf_counter(), time.process_time()
            with connection.execute_wrapper(clock):
                ask()
            ours.append((time.process_time() - cpu) * 1e3)
            totals.append((time.perf_counter() - began) * 1e3)
            queries.append(clock.seconds * 1e3)
        total = statistics.median(totals)
        spent = f"waited for queries {statistics.median(queries):5.0f}, CPU of Python {statistics.median(ours):5.0f}"
        print(f"{title:>9}  {name:40} {total:6.0f} ms: {spent} (first {totals[0]:.0f}, least {min(totals):.0f})")
        if total > _LIMIT_MS:
            slow.append(f"{title}: {name}")
    return slow


class _Clock:
    """How long queries take."""

    seconds = 0.0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            self.seconds += time.perf_counter() - began


if __name__ == "__main__":
    main()
