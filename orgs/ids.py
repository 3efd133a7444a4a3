"""Keys of every row: UUIDv7 (RFC 9562 §5.7), so that rows sort by the time they were made."""

from __future__ import annotations

import datetime as dt
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7 as _uuid7

_CLOCKS_DIFFER_MS = 3_600_000


def uuid7() -> UUID:
    return _uuid7()


def uuid7_floor(moment: dt.datetime) -> UUID:
    """Return what no UUIDv7 made from this moment on is below, though clocks differ by up to an hour."""
    return _lowest(moment, -_CLOCKS_DIFFER_MS)


def uuid7_ceiling(moment: dt.datetime) -> UUID:
    """Return what every UUIDv7 made before this moment is below, though clocks differ by up to an hour."""
    return _lowest(moment, _CLOCKS_DIFFER_MS)


def client_id() -> str:
    """Return a client identifier as the hosted service writes them: `app_<uuid>`."""
    return f"app_{uuid4()}"


def _lowest(moment: dt.datetime, shift_ms: int) -> UUID:
    return UUID(int=max(0, int(moment.timestamp() * 1000) + shift_ms) << 80)
