from __future__ import annotations

from uuid import UUID

from connections.journal import read_entries, remove_entry
from connections.services.refresh_fence import settle_entry


def recover_refreshes(*, connection_id: UUID | None = None) -> int:
    """Store the renewed credentials that were received on this machine but never stored; returns how many were wanted.

    Safe at any time: the generation decides whether an entry is still wanted, also against its own process.
    """
    stored = 0
    for path, entry in read_entries(connection_id=connection_id):
        stored += settle_entry(entry)
        remove_entry(path)
    return stored
