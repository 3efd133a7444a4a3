"""Keys of every row: UUIDv7 (RFC 9562 §5.7), so that rows sort by the time they were made."""

from __future__ import annotations

from uuid import UUID, uuid4

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> UUID:
    return _uuid7()


def client_id() -> str:
    """Return a client identifier as the hosted service writes them: `app_<uuid>`."""
    return f"app_{uuid4()}"
