"""PostgreSQL and Valkey: are they there, and as they should be?"""

from __future__ import annotations

import os
from collections.abc import Iterable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from kontext.doctor.findings import Finding, error, ok, warning
from kontext.supervisor.lock import find_holder

DATABASE, QUEUE = "PostgreSQL", "Valkey"
OLDEST_VERSION = 18


def examine_database() -> Iterable[Finding]:
    try:
        version, is_superuser = _ask_database()
    except DatabaseError as problem:
        yield error(DATABASE, f"can't be reached: {' '.join(str(problem).split())}", _start_or_set("DATABASE_URL"))
        return
    yield ok(DATABASE, f"{version} answers ({_whose('DATABASE_URL')})")
    if int(version.split(".")[0]) < OLDEST_VERSION:
        yield error(DATABASE, f"{version} is too old", f"upgrade the server to PostgreSQL {OLDEST_VERSION}")
    if is_superuser:
        yield warning(
            DATABASE,
            "our role is a superuser, which no trigger and no privilege holds back",
            "ALTER ROLE … NOSUPERUSER, or name another role in DATABASE_URL",
        )
    yield from _examine_migrations()


def _ask_database() -> tuple[str, bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('is_superuser') = 'on'")
        version, is_superuser = cursor.fetchone()
    return str(version).split()[0], bool(is_superuser)


def _examine_migrations() -> Iterable[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in plan[:3])
        yield error("Migrations", f"{len(plan)} are missing: {names}{' …' * (len(plan) > 3)}", "manage.py prepare")
    else:
        yield ok("Migrations", "all applied")


def examine_queue() -> Iterable[Finding]:
    version = find_queue_version()
    if version is None:
        yield error(QUEUE, "can't be reached: tasks wait until it can", _start_or_set("REDIS_URL"))
    else:
        yield ok(QUEUE, f"{version} answers ({_whose('REDIS_URL')})")


def find_queue_version() -> str | None:
    """Return the version of the Valkey or Redis that answers, or None."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2) as client:
            info = client.info("server")
    except (redis.RedisError, OSError):
        return None
    return str(info.get("valkey_version") or info.get("redis_version"))


def _whose(variable: str) -> str:
    return variable if os.environ.get(variable) else f"embedded, in {settings.DATA_DIR}"


def _start_or_set(variable: str) -> str:
    if os.environ.get(variable):
        return f"start that server, or correct {variable}"
    if find_holder(settings.DATA_DIR) is not None:
        return f"`manage.py up` is starting it again; see {settings.DATA_DIR}/logs"
    return f"manage.py up (or set {variable} to a server of yours)"
