"""A block of leaves and their events in bulk: faster than one by one, and without a word on what is wrong.

Nothing is taken on trust here that blocks.py checks: each event is hashed in this process, and the hashes have to be
those of the leaves, all of them and in order. Whatever is not exactly so is left to be looked at there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from uuid import UUID

import psycopg
from psycopg.pq import ExecStatus

from audit.leaves import VERSION, data_sql, hash_event
from audit.statements import Dropped
from audit.verification.copying import HEADER_BYTES, SIGNATURE, check_result

_LEAVES = """
    SELECT string_agg(int8send("index"), ''::bytea ORDER BY "index"), min(version), max(version),
        string_agg(uuid_send(event_id), ''::bytea ORDER BY "index"), string_agg(hash, ''::bytea ORDER BY "index")
    FROM audit_leaf WHERE tree_id = %s AND "index" >= %s AND "index" < %s"""
_EVENTS = f"""
    COPY (
        SELECT e.recorded_at, {data_sql("e")} FROM audit_auditevent e
        WHERE e.id = ANY(%s::uuid[]) AND e.call >= %s AND e.call < %s ORDER BY e.id
    ) TO STDOUT (FORMAT BINARY)"""  # noqa: S608 (names of our own)
_ANY = "SELECT EXISTS (SELECT FROM audit_auditevent WHERE id = ANY(%s::uuid[]))"
# A call's identifier is made before its events', by so much at most, and by the same clock. It names the partition.
_LONGEST_CALL_MS = 24 * 3600 * 1000
_HASH = 32
_KEY = 16


@dataclass(frozen=True)
class Bulk:
    """What a block came to: the hashes of its leaves, and when its events were recorded, of both in order.

    `moments` are microseconds since 2000.
    """

    hashes: list[bytes]
    moments: Sequence[int]
    dropped: int

    def is_in_order(self, tolerance: int) -> bool:
        """Tell whether no event claims to be older, by more than this, than one before it."""
        newest = accumulate(self.moments, max)
        return all(moment >= latest - tolerance for moment, latest in zip(self.moments, newest, strict=True))


def read_in_bulk(
    connection: psycopg.Connection[Any], tree: UUID, start: int, end: int, dropped: Dropped
) -> Bulk | None:
    """Return the block if every leaf is there, and with it the event that it was made of, or a statement; else None."""
    leaves = connection.execute(_LEAVES, (tree, start, end), binary=True).fetchone()
    count = end - start
    if leaves is None or leaves[0] != struct.pack(f">{count}q", *range(start, end)):
        return None
    _, oldest, newest, keys, stored = leaves
    if not oldest == newest == VERSION or len(keys) != count * _KEY or len(stored) != count * _HASH:
        return None
    ids = [keys[at : at + _KEY] for at in range(0, len(keys), _KEY)]
    hashes = [stored[at : at + _HASH] for at in range(0, len(stored), _HASH)]
    gone = [ids[at] for first, last in dropped.within(start, end) for at in range(first - start, last - start + 1)]
    if gone and connection.execute(_ANY, (_join(gone),)).fetchone() != (False,):
        return None  # what a statement says was dropped, and is there, has to be what was sealed
    kept = [at for at in range(count) if start + at not in dropped] if gone else range(count)
    # Events come in the order of their keys, which is that of the leaves unless one was committed late.
    order = sorted(kept, key=ids.__getitem__)
    found = _read_events(connection, [ids[at] for at in order]) if order else ([], [])
    if found is None or found[0] != [hashes[at] for at in order]:
        return None
    moments = struct.unpack(f">{len(order)}q", b"".join(found[1]))
    in_order = [moment for _, moment in sorted(zip(order, moments, strict=True))]
    return Bulk(hashes, in_order, count - len(order))


def _read_events(connection: psycopg.Connection[Any], ids: Sequence[bytes]) -> tuple[list[bytes], list[bytes]] | None:
    """Return of each event, in the order of their keys, the hash, and when it was recorded, as PostgreSQL sends it."""
    hashes: list[bytes] = []
    moments: list[bytes] = []
    statement = psycopg.ClientCursor(connection).mogrify(_EVENTS, (_join(ids), *find_calls(ids)))
    server = connection.pgconn
    check_result(server.exec_(statement.encode()), ExecStatus.COPY_OUT)
    get_row, note_hash, note_moment = server.get_copy_data, hashes.append, moments.append
    while True:
        length, view = get_row(0)
        if length < 0:
            break
        # Two columns in two bytes; eight bytes after their length; and the text after its own.
        row = bytes(view)
        if row.startswith(SIGNATURE):
            row = row[HEADER_BYTES:]
        if len(row) > 2:  # the end is a row without columns
            note_moment(row[6:14])
            note_hash(hash_event(row[18:]))
    while (result := server.get_result()) is not None:
        check_result(result, ExecStatus.COMMAND_OK)
    return (hashes, moments) if all(len(moment) == 8 for moment in moments) else None


def _join(ids: Sequence[bytes]) -> str:
    return "{" + ",".join([id_.hex() for id_ in ids]) + "}"


def find_calls(ids: Sequence[bytes]) -> tuple[UUID, UUID]:
    """Return between which calls these events' are, if they are UUIDv7."""
    first, last = int.from_bytes(min(ids)[:6]), int.from_bytes(max(ids)[:6])
    return UUID(int=max(0, first - _LONGEST_CALL_MS) << 80), UUID(int=min(last + 1, 2**48 - 1) << 80)
