"""What the log's keys tell: they are UUIDv7 (RFC 9562 §5.7), which begin with the milliseconds since 1970."""

from __future__ import annotations

import datetime as dt
from uuid import UUID


def make_key(moment: dt.datetime) -> UUID:
    """Return the lowest UUIDv7 of a moment."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def read_moment(key: UUID) -> dt.datetime:
    """Return when a UUIDv7 was made."""
    return dt.datetime.fromtimestamp((key.int >> 80) / 1000, dt.UTC)


def shift(moment: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """Return a moment so much later, or itself where time as we count it ends: anybody may ask about the year 1."""
    try:
        return moment + by
    except OverflowError:
        return moment
