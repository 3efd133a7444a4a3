"""One block of leaves: are the events still there, and as they were? Runs in worker processes, without Django."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg
from psycopg.pq import ExecStatus

from audit.leaves import hash_event, versioned_data_sql
from audit.merkle import compute_root
from audit.notes import NoteError, parse_checkpoint
from audit.statements import Dropped
from audit.verification.classify import Row, explain
from audit.verification.copying import HEADER_BYTES, SIGNATURE, check_result
from audit.verification.findings import Kind, Tampering, make_double
from audit.verification.quick import find_calls, read_in_bulk

LEVEL = 14
BLOCK = 1 << LEVEL
_CHUNK_LEVEL = 8
_CHUNK = 1 << _CHUNK_LEVEL
# Each leaf looks its event up by key, whatever the planner believes of tables that grow.
SESSION = """
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off;
    SET max_parallel_workers_per_gather = 0; SET timezone = 'UTC'; SET datestyle = 'ISO'
"""


_FOREVER = 2**63
_ALL_CALLS = (UUID(int=0), UUID(int=2**128 - 1))

# Index, event, version, hash, moment of recording, and data.
Leaf = tuple[int, bytes, int, bytes, Any, bytes]


@dataclass(frozen=True)
class Task:
    """Which leaves to check, and at which further tree sizes (those of kept checkpoints) the root is wanted.

    `dropped` are the runs of leaves, first and last, whose events retention dropped.
    """

    tree: UUID
    start: int
    end: int
    sizes: tuple[int, ...] = ()
    dropped: tuple[tuple[int, int], ...] = ()


@dataclass
class Block:
    """What a block came to. `peaks` has, by tree size, the roots of the perfect subtrees from the block's start to it.

    `noted` are the roots in stored checkpoints. `oldest` and `newest` are moments of recording, in
    microseconds since 2000.
    """

    start: int
    leaves: int = 0
    dropped: int = 0
    root: bytes | None = None
    peaks: dict[int, list[bytes]] = field(default_factory=dict)
    noted: dict[int, bytes | None] = field(default_factory=dict)
    oldest: int = _FOREVER
    newest: int = -_FOREVER
    late: Tampering | None = None
    findings: list[Tampering] = field(default_factory=list)


_LEAVES = f"""
    COPY (
        SELECT l."index", l.event_id, l.version, l.hash, e.recorded_at, {versioned_data_sql("e", "l.version")}
        FROM audit_leaf l LEFT JOIN audit_auditevent e ON e.id = l.event_id AND e.call >= %s AND e.call < %s
        WHERE l.tree_id = %s AND l."index" >= %s AND l."index" < %s ORDER BY l."index"
    ) TO STDOUT (FORMAT BINARY)"""  # noqa: S608 (names of our own)
# A clock that is set back, or a transaction that takes long, is no tampering.
LATE_MICROSECONDS = 15 * 60 * 1_000_000

_FIXED = struct.Struct(">2x 4x q 4x 16s 4x h i")  # index, event, version, and the length of the hash
_MOMENT = struct.Struct(">q")
_EIGHT = (8).to_bytes(4)

_connection: psycopg.Connection[Any] | None = None


def connect(parameters: dict[str, Any]) -> None:
    """Prepare this process for check_connected, once."""
    global _connection
    _connection = psycopg.connect(**parameters, autocommit=True)
    _connection.execute(SESSION)


def disconnect() -> None:
    if _connection is not None:
        _connection.close()


def check_connected(task: Task) -> Block:
    assert _connection is not None
    return check_block(_connection, task)


def check_block(connection: psycopg.Connection[Any], task: Task) -> Block:
    """Compare every leaf with its event, the stored nodes with the leaves, and compute what checkpoints need."""
    bulk = read_in_bulk(connection, task.tree, task.start, task.end, Dropped(task.dropped))
    if bulk is not None and bulk.is_in_order(LATE_MICROSECONDS):
        levels = _compute_levels(bulk.hashes)
        if _find_misfit(connection, task, levels) is None:
            block = Block(task.start, dropped=bulk.dropped)
            block.oldest, block.newest = min(bulk.moments, default=_FOREVER), max(bulk.moments, default=-_FOREVER)
            return _complete(connection, task, block, levels)
    rows, block = _read_rows(connection, task)
    levels = _compute_levels([row.hash for row in rows])
    if not block.findings:
        block.findings += _compare_nodes(connection, task, rows, levels)
    return _complete(connection, task, block, levels)


def _complete(connection: psycopg.Connection[Any], task: Task, block: Block, levels: Sequence[list[bytes]]) -> Block:
    block.leaves = len(levels[0])
    block.root = levels[LEVEL][0] if block.leaves == BLOCK else None
    block.noted = _read_checkpoints(connection, task)
    for size in {*block.noted, *task.sizes}:
        if task.start < size <= task.start + block.leaves:
            block.peaks[size] = _find_peaks(levels, size - task.start)
    return block


def _read_rows(connection: psycopg.Connection[Any], task: Task) -> tuple[list[Row], Block]:
    rows: list[Row] = []
    block = Block(task.start)
    changed: list[tuple[Row, bytes]] = []
    gap: list[Tampering] = []
    expected, newest, oldest = task.start, -_FOREVER, _FOREVER
    dropped = Dropped(task.dropped)
    # The one loop that runs for every event: few calls, plain names.
    for index, key, version, stored, moment, data in read_leaves(connection, task):
        row = Row(index, key, stored)
        if index < expected:
            block.findings.append(make_double(row.at, row.event_id))
            continue
        if index != expected:
            gap = gap or _gone(expected, index)
            continue  # nothing after a gap stands where it did
        expected += 1
        rows.append(row)
        if moment is None:
            if index in dropped:
                block.dropped += 1
            else:
                block.findings.append(_deleted(row))
            continue
        computed = hash_event(data, version)
        if computed != stored:
            changed.append((row, computed))
        if moment > newest:
            newest = moment
        elif moment < newest - LATE_MICROSECONDS and block.late is None:
            block.late = _backdated(row)
        if moment < oldest:
            oldest = moment
    block.newest, block.oldest = newest, oldest
    block.findings += [*gap, *_name_changes(changed)]
    return rows, block


def read_leaves(connection: psycopg.Connection[Any], task: Task) -> list[Leaf]:
    """Return index, event, version, hash, moment of recording (None: no event) and data of each leaf."""
    keys = connection.execute(
        'SELECT event_id FROM audit_leaf WHERE tree_id = %s AND "index" >= %s AND "index" < %s',
        (task.tree, task.start, task.end),
    ).fetchall()
    if not keys:
        return []
    leaves = list(_read_leaves(connection, task, *find_calls([key.bytes for [key] in keys])))
    if any(leaf[4] is None for leaf in leaves):
        # Not in the months where they should be: somewhere else, perhaps.
        leaves = list(_read_leaves(connection, task, *_ALL_CALLS))
    return leaves


def _read_leaves(connection: psycopg.Connection[Any], task: Task, first: UUID, last: UUID) -> Iterator[Leaf]:
    values = (first, last, task.tree, task.start, task.end)
    statement = psycopg.ClientCursor(connection).mogrify(_LEAVES, values)
    server = connection.pgconn
    check_result(server.exec_(statement.encode()), ExecStatus.COPY_OUT)
    while True:
        length, row = server.get_copy_data(0)
        if length < 0:
            break
        start = HEADER_BYTES if row[: len(SIGNATURE)] == SIGNATURE else 0
        if length - start > 2:  # the end is a row without columns
            yield _unpack(row, start)
    while (result := server.get_result()) is not None:
        check_result(result, ExecStatus.COMMAND_OK)


def _unpack(row: memoryview, at: int) -> Leaf:
    index, key, version, length = _FIXED.unpack_from(row, at)
    at += _FIXED.size
    stored = bytes(row[at : at + length])
    at += length
    moment = None
    if row[at : at + 4] == _EIGHT:
        [moment] = _MOMENT.unpack_from(row, at + 4)
        at += 8
    return index, key, version, stored, moment, row[at + 8 :].tobytes()


def _backdated(row: Row) -> Tampering:
    text = "it claims to be older than events that were sealed before it: it was put in afterwards"
    return Tampering(Kind.INSERT, row.at, text, row.event_id)


def _gone(index: int, following: int) -> list[Tampering]:
    text = f"{following - index} leaves are gone from the tree, with the events they stood for"
    return [Tampering(Kind.DELETE, index, text)]


def _deleted(row: Row) -> Tampering:
    return Tampering(Kind.DELETE, row.at, "the event was deleted; its leaf is still in the tree", row.event_id)


def _name_changes(changed: Sequence[tuple[Row, bytes]]) -> list[Tampering]:
    """An event that now has what another leaf was made of changed places with it; else it was edited."""
    sealed = {row.hash: row for row, _ in changed}
    findings = []
    for row, computed in changed:
        other = sealed.get(computed)
        if other is not None:
            text = f"it stands where event {other.event_id} stood: events have changed places"
            findings.append(Tampering(Kind.REORDER, row.at, text, row.event_id))
        else:
            text = "the event is not what was sealed: it was edited"
            findings.append(Tampering(Kind.EDIT, row.at, text, row.event_id))
    return findings


def _compute_levels(hashes: list[bytes]) -> list[list[bytes]]:
    """Return the nodes of every level up to the block's root; an incomplete subtree has none."""
    levels = [hashes]
    for _ in range(LEVEL):
        below = levels[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([sha256(b"\x01" + left + right).digest() for left, right in pairs])  # merkle.hash_children
    return levels


def _find_peaks(levels: Sequence[Sequence[bytes]], count: int) -> list[bytes]:
    peaks, at = [], 0
    for level in range(LEVEL, -1, -1):
        if count >> level & 1:
            peaks.append(levels[level][at >> level])
            at += 1 << level
    return peaks


def _compare_nodes(
    connection: psycopg.Connection[Any], task: Task, rows: Sequence[Row], levels: Sequence[Sequence[bytes]]
) -> list[Tampering]:
    """Find the first 256 leaves whose stored root is not theirs: somebody changed leaves along with events."""
    misfit = _find_misfit(connection, task, levels)
    if misfit is None:
        return []
    number, stored = misfit
    at = (number << _CHUNK_LEVEL) - task.start
    chunk, following = rows[at : at + _CHUNK], rows[at + _CHUNK : at + _CHUNK + 1]
    return [explain(chunk, following, partial(_has_root, stored))]


def _find_misfit(
    connection: psycopg.Connection[Any], task: Task, levels: Sequence[Sequence[bytes]]
) -> tuple[int, bytes | None] | None:
    """Return the first node over 256 leaves that is not stored as it is computed, and how it is stored."""
    found = connection.execute(
        'SELECT "index", hash FROM audit_node WHERE tree_id = %s AND level = %s AND "index" >= %s AND "index" < %s',
        (task.tree, _CHUNK_LEVEL, task.start >> _CHUNK_LEVEL, task.end >> _CHUNK_LEVEL),
    )
    stored = {int(index): bytes(hash_) for index, hash_ in found}
    for number, computed in enumerate(levels[_CHUNK_LEVEL], task.start >> _CHUNK_LEVEL):
        if stored.get(number) != computed:
            return number, stored.get(number)
    return None


def _has_root(root: bytes | None, hashes: list[bytes]) -> bool:
    return compute_root(hashes) == root


def _read_checkpoints(connection: psycopg.Connection[Any], task: Task) -> dict[int, bytes | None]:
    found = connection.execute(
        "SELECT size, note FROM audit_checkpoint WHERE tree_id = %s AND size > %s AND size <= %s",
        (task.tree, task.start, task.end),
    )
    return {size: _read_root(size, note) for size, note in found}


def _read_root(size: int, note: str) -> bytes | None:
    """Return the root that a note states, None where it is not a checkpoint of this size."""
    try:
        checkpoint = parse_checkpoint(note)
    except NoteError:
        return None
    return checkpoint.root if checkpoint.size == size else None
