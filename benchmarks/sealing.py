"""What sealing and verifying cost: events a second, how long until an event is sealed, bytes an event.

    python -m benchmarks.sealing [--events 200000] [--rate 5000] [--seconds 10]

Starts a durable PostgreSQL of its own unless DATABASE_URL is set. A backlog is sealed as fast as it goes; then a writer
commits batches at a steady rate, as the gateway's does, while the sealer runs beside it as `manage.py seal` would.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.audit_log import database

_COPY = """
    INSERT INTO audit_auditevent (id, organization_id, type, occurred_at, call, phase, outcome, user_id, user_name,
        application_id, application_name, integration_id, integration, capability, account, session, request_id,
        trace_id, source_address, policy_version, decision, arguments_digest, details)
    SELECT uuidv7(), '01900000-0000-7000-8000-000000000001', 'capability.invoked', clock_timestamp(), uuidv7(),
        'requested', '', '01900000-0000-7000-8000-000000000002', 'Alice Adams',
        '01900000-0000-7000-8000-000000000003', 'PR-Bot', '01900000-0000-7000-8000-000000000004', 'github',
        'create_issue', 'alice-acme', 'session-1', uuidv7()::text, '', '192.0.2.1', 7, %s::jsonb, repeat('0', 64), '{}'
    FROM generate_series(1, %s)"""
_LAYER = {"layer": "org", "verdict": "allow", "rules": [{"id": "0" * 36, "sentence": "All may read."}]}
_PAUSE = 0.02


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    with database():
        _prepare()
        _write(options.events)
        _measure_backlog(options.events)
        _measure_steady(options.rate, options.seconds)
        for jobs in sorted({1, os.cpu_count() or 1}):
            _measure_verify(jobs)
        _measure_storage()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    return parser.parse_args(arguments)


def _prepare() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", "audit", verbosity=0)


def _write(count: int) -> None:
    from django.db import connection

    decision = json.dumps({"effect": "allow", "version": 7, "layers": [_LAYER] * 3})
    with connection.cursor() as cursor:
        cursor.execute(_COPY, [decision, count])


def _make_sealer() -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from audit.notes import sign_note
    from audit.sealer import Sealer

    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    return Sealer(lambda head: sign_note(str(head), head.origin, [key]))


def _measure_backlog(count: int) -> None:
    sealer, began, cpu = _make_sealer(), time.perf_counter(), time.process_time()
    while sealer.turn():
        pass
    rate = sealer.sealed / (time.perf_counter() - began)
    print(f"sealing a backlog: {rate:,.0f} events/s, {(time.process_time() - cpu) / count * 1e6:.1f} µs of CPU each")


def _measure_steady(rate: int, seconds: float) -> None:
    """Write at `rate` from another process while sealing; ask ten times a second how old the oldest unsealed is."""
    from django.db import connection

    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_write_steadily, args=(rate, seconds))
    sealer, stop = _make_sealer(), threading.Event()
    thread = threading.Thread(target=sealer.run, args=(stop,))
    writer.start()
    thread.start()
    lags = []
    while writer.is_alive():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM clock_timestamp() - min(recorded_at)) FROM audit_auditevent e "
                "WHERE recorded_at > now() - interval '20 seconds' AND id > (SELECT event_id FROM audit_leaf "
                "ORDER BY event_id DESC LIMIT 1)"
            )
            [lag] = cursor.fetchone()
        lags.append(float(lag or 0))
        time.sleep(0.1)
    began = time.perf_counter()
    time.sleep(1)
    stop.set()
    thread.join()
    written = int(rate * seconds)
    quantiles = statistics.quantiles(lags, n=20)
    print(
        f"sealing {rate:,} events/s for {seconds:.0f} s: {sealer.sealed:,} of about {written:,} sealed "
        f"{time.perf_counter() - began:.0f} s after the end; oldest unsealed: median {statistics.median(lags):.2f} s, "
        f"p95 {quantiles[18]:.2f} s, most {max(lags):.2f} s"
    )


def _write_steadily(rate: int, seconds: float) -> None:
    import django

    django.setup()
    began, written = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        due = int(elapsed * rate) - written
        if due > 0:
            _write(due)
            written += due
        time.sleep(_PAUSE)


def _measure_verify(jobs: int) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from audit.models import Tree
    from audit.notes import VerifierKey
    from audit.verification.verify import Trust, verify_tree

    tree = Tree.objects.get()
    public = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    trust = Trust([VerifierKey(tree.origin, public)])
    began, cpu = time.perf_counter(), _read_cpu()
    report = verify_tree(tree, trust, jobs=jobs)
    seconds, spent = (
        time.perf_counter() - began,
        [after - before for after, before in zip(_read_cpu(), cpu, strict=True)],
    )
    assert not report.findings, report.findings[:3]
    ours, servers = (1e6 * part / report.events for part in spent)
    print(
        f"verifying with {jobs} processes: {report.events / seconds:,.0f} events/s ({report.events:,} events); "
        f"CPU an event: {ours:.1f} µs of Python, {servers:.1f} of PostgreSQL, "
        f"so {1e6 / (ours + servers):,.0f} events/s for each core of its own"
    )


def _read_cpu() -> tuple[float, float]:
    """Return the seconds of CPU that this process with its children, and PostgreSQL on this machine, have taken."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postmaster = int(_read_stat(cursor.fetchone()[0])[1])
    times = os.times()
    ours = times.user + times.system + times.children_user + times.children_system
    running = [
        stat for path in Path("/proc").glob("[0-9]*") if (stat := _read_stat(path.name))[1:2] == [str(postmaster)]
    ]
    # Of the postmaster with those of its children that have ended, and of those that run.
    ticks = sum(int(tick) for tick in _read_stat(postmaster)[11:15])
    ticks += sum(int(tick) for stat in running for tick in stat[11:13])
    return ours, ticks / os.sysconf("SC_CLK_TCK")


def _read_stat(pid: int | str) -> list[str]:
    """Return what follows a process's name in its stat: state, parent, …; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _measure_storage() -> None:
    from django.db import connection

    tables = ("audit_auditevent", "audit_leaf", "audit_node", "audit_checkpoint")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_leaf")
        [count] = cursor.fetchone()
        for table in tables:
            cursor.execute(
                "SELECT sum(pg_total_relation_size(part)), sum(pg_table_size(part)) FROM ("
                "SELECT %s::regclass AS part UNION SELECT relid FROM pg_partition_tree(%s)) AS parts",
                [table, table],
            )
            total, rows = cursor.fetchone()
            print(f"{table}: {total / count:,.0f} bytes an event, {rows / count:,.0f} of them rows, the rest indexes")


if __name__ == "__main__":
    main()
