from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection


@pytest.fixture
def superuser() -> Iterator[psycopg.Cursor[Any]]:
    """What the owner of the database server can do: change anything, without any trigger that would refuse it.

    A server of one's own (DATABASE_URL) has to let `postgres` in, without a password or with that in PGPASSWORD.
    """
    ours = connection.get_connection_params()
    where = {name: ours[name] for name in ("host", "port", "dbname") if ours.get(name)}
    try:
        raw = psycopg.connect(**where, user="postgres", autocommit=True)
    except psycopg.OperationalError:
        if not os.environ.get("DATABASE_URL"):
            raise
        pytest.skip("the server of DATABASE_URL lets nobody in as postgres: set PGPASSWORD")
    with raw:
        raw.execute("SET session_replication_role = replica")  # no trigger runs
        with raw.cursor() as cursor:
            yield cursor
