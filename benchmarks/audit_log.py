"""What writing down a call costs: rows per second and the wait for durability, with calls that come together.

    python -m benchmarks.audit_log [--seconds 3] [--writers 1 16 64]

Starts a durable PostgreSQL of its own unless DATABASE_URL is set. Each writer writes an event, waits until it is
durable, and writes the next. CPU is that of this process alone, per row. Beside it, as the floor: one row a commit,
sent by libpq without an event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import uvloop
from uuid_utils import uuid7

from kontext.embedded.postgres import PostgresServer


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    with database():
        _prepare()
        print(f"{'writers':>9} {'rows/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs/row':>11}")
        _print("libpq", *_measure_floor(options.seconds))
        for writers in options.writers:
            _print(str(writers), *uvloop.run(_measure(writers, options.seconds)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 16, 64])
    return parser.parse_args(arguments)


@contextmanager
def database() -> Iterator[None]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kontext.settings")
    os.environ.setdefault("KONTEXT_SECRET_KEY", os.urandom(24).hex())
    if os.environ.get("DATABASE_URL"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="kontext-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder))
        server.start()
        os.environ["DATABASE_URL"] = server.url
        try:
            yield
        finally:
            del os.environ["DATABASE_URL"]
            server.stop()


def _prepare() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", "audit", verbosity=0)


def _make_row() -> bytes:
    from gateway.audit_log import encode_row

    layer = {"layer": "org", "verdict": "allow", "rules": [{"id": str(uuid.uuid4()), "sentence": "All may read."}]}
    return encode_row(
        {
            "id": str(uuid7()),
            "occurred_at": time.time(),
            "type": "capability.invoked",
            "call": str(uuid7()),
            "phase": "requested",
            "outcome": "",
            "organization_id": "01900000-0000-7000-8000-000000000001",
            "user_id": "01900000-0000-7000-8000-000000000002",
            "user_name": "Alice Adams",
            "application_id": "01900000-0000-7000-8000-000000000003",
            "application_name": "PR-Bot",
            "integration_id": "01900000-0000-7000-8000-000000000004",
            "integration": "github",
            "capability": "create_issue",
            "request_id": str(uuid.uuid4()),
            "source_address": "127.0.0.1",
            "policy_version": 7,
            "decision": {"effect": "allow", "version": 7, "layers": [layer] * 3},
            "arguments_digest": "0" * 64,
        }
    )


def _measure_floor(seconds: float) -> tuple[list[float], float, float]:
    from django.db import connections

    from gateway.audit_log import _INSERT

    parameters = connections["default"].get_connection_params()
    wanted = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters}
    with psycopg.connect(**wanted, autocommit=True) as connection:
        connection.pgconn.prepare(b"insert", _INSERT.encode())
        waits, cpu, started = [], time.process_time(), time.perf_counter()
        while time.perf_counter() - started < seconds:
            row, began = b"[" + _make_row() + b"]", time.perf_counter()
            connection.pgconn.exec_prepared(b"insert", [row])
            waits.append(time.perf_counter() - began)
        return waits, time.perf_counter() - started, time.process_time() - cpu


async def _measure(writers: int, seconds: float) -> tuple[list[float], float, float]:
    from gateway.audit_log import AuditLog

    log = AuditLog()
    await log.start()
    await log.write(_make_row())
    waits: list[float] = []
    ends = time.perf_counter() + seconds

    async def write() -> None:
        while time.perf_counter() < ends:
            event, began = _make_row(), time.perf_counter()
            await log.write(event)
            waits.append(time.perf_counter() - began)

    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    spent, elapsed = time.process_time() - cpu, time.perf_counter() - started
    await log.stop()
    return waits, elapsed, spent


def _print(name: str, waits: list[float], seconds: float, cpu: float) -> None:
    percentiles = statistics.quantiles(waits, n=100)
    rate, per_row = len(waits) / seconds, cpu / len(waits) * 1e6
    print(f"{name:>9} {rate:9,.0f} {percentiles[49] * 1e3:8.2f} {percentiles[98] * 1e3:8.2f} {per_row:11.0f}")


if __name__ == "__main__":
    main()
