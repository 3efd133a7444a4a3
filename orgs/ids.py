"""Keys of every row: UUIDv7 (RFC 9562 §5.7), so that rows sort by the time they were made."""

from __future__ import annotations

import datetime as dt
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> UUID:
    return _uuid7()


def uuid7_floor(moment: dt.datetime) -> UUID:
    """Return what no UUIDv7 made from this moment on is below, though clocks differ by up to an hour."""
    milliseconds = int(moment.timestamp() * 1000) - 3_600_000
    return UUID(int=max(0, milliseconds) << 80)


def client_id() -> str:
    """Return a client identifier as the hosted service writes them: `app_<uuid>`."""
    return f"app_{uuid4()}"
