"""Put events that are in no tree yet into the tree of their organization, in one transaction.

Which events those are is asked of the tables themselves: an event without a leaf. No counter and no order of commits
is relied on, so an event that commits late is late in its tree, and never left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from audit.leaves import VERSION, data_sql, hash_event
from audit.merkle import HASH_BYTES, Frontier
from audit.models import Checkpoint, Tree
from audit.notes import Checkpoint as Head

# Returns the signed note of a checkpoint.
Sign = Callable[[Head], str]

FIRST = UUID(int=0)
LAST = UUID(int=2**128 - 1)
MOST_EVENTS = 5_000
NODE_LEVELS = 8  # a node is kept for every eighth level of a tree
# Held until the transaction ends, so it needs no session of its own and passes through a connection pooler.
_LOCK = 0x6B6F6E74_5EA1
# Both tables are read along their keys and no further than needed. Without statistics, which a log that grows fast
# seldom has, the planner reads and sorts them whole: 4,600 events a second of a backlog instead of 17,000.
_PLAN = ", ".join(f"set_config('enable_{way}', 'off', true)" for way in ("hashjoin", "seqscan", "sort", "bitmapscan"))


@dataclass(frozen=True)
class Sealed:
    """How many events one call has sealed, and the last that it looked at: None where there were fewer than it may."""

    count: int
    reached: UUID | None = None


@dataclass(frozen=True)
class _Unsealed:
    id: bytes
    organization: bytes | None
    data: bytes


def seal_events(*, sign: Sign, after: UUID = FIRST, until: UUID = LAST, most: int = MOST_EVENTS) -> Sealed | None:
    """Seal what has a key above `after`, up to `until`, the oldest first. Returns None while another process seals."""
    with transaction.atomic():
        if not _take_lock():
            return None
        events = list(_read_unsealed(after, until, most))
        by_organization: dict[bytes | None, list[_Unsealed]] = defaultdict(list)
        for event in events:
            by_organization[event.organization].append(event)
        for key, group in by_organization.items():
            _append(_lock_tree(UUID(bytes=key) if key else None), group, sign)
    return Sealed(len(events), UUID(bytes=events[-1].id) if len(events) == most else None)


def read_frontier(size: int, nodes: bytes | memoryview) -> Frontier:
    hashes = bytes(nodes)
    return Frontier(size, tuple(hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)))


def _take_lock() -> bool:
    with connection.cursor() as cursor:
        # Whoever gets it sees all that the former holder committed: locks are released after that is visible.
        cursor.execute(f"SELECT pg_try_advisory_xact_lock(%s), {_PLAN}", [_LOCK])
        return bool(cursor.fetchone()[0])


def _read_unsealed(after: UUID, until: UUID, most: int) -> Iterator[_Unsealed]:
    # The range stands in the subquery, too: the planner does not conclude it, and would read the leaves from the first.
    statement = f"""
        COPY (
            SELECT e.id, e.organization_id, {data_sql("e")} FROM audit_auditevent e
            WHERE e.id > %(after)s AND e.id <= %(until)s AND NOT EXISTS (
                SELECT FROM audit_leaf l
                WHERE l.event_id = e.id AND l.event_id > %(after)s AND l.event_id <= %(until)s
            )
            ORDER BY e.id LIMIT %(most)s
        ) TO STDOUT (FORMAT BINARY)"""  # noqa: S608 (names of our own)
    with connection.cursor() as cursor, cursor.copy(statement, {"after": after, "until": until, "most": most}) as copy:
        copy.set_types(["bytea"] * 3)  # the bytes of each value as they are
        former = b""
        for key, organization, data in copy.rows():
            # Only another month can have the same key, put there by hand: it gets no leaf, and verification names it.
            if key != former:
                yield _Unsealed(key, organization, data)
            former = key


def _lock_tree(organization_id: UUID | None) -> Tree:
    trees = Tree.objects.select_for_update().for_organization(organization_id)
    tree = trees.first()
    if tree is None:
        Tree.objects.create(organization_id=organization_id, origin=make_origin(organization_id))
        tree = trees.get()
    return tree


def make_origin(organization_id: UUID | None) -> str:
    """Return the name of a log: without scheme and port, as C2SP recommends. A tree keeps the one it began with."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "kontext"
    return f"{host}/audit/{organization_id or 'installation'}"


def _append(tree: Tree, events: Sequence[_Unsealed], sign: Sign) -> None:
    nodes: list[tuple[int, int, bytes]] = []

    def keep(level: int, index: int, root: bytes) -> None:
        if level % NODE_LEVELS == 0:
            nodes.append((level, index, root))

    hashes = [hash_event(event.data) for event in events]
    frontier = read_frontier(tree.size, tree.frontier).append(hashes, keep)
    _write_leaves(tree, events, hashes)
    _write_nodes(tree, nodes)
    tree.size, tree.frontier = frontier.size, b"".join(frontier.nodes)
    tree.save(update_fields=["size", "frontier"])
    note = sign(Head(tree.origin, frontier.size, frontier.root()))
    Checkpoint.objects.create(tree=tree, size=frontier.size, note=note)


def _write_leaves(tree: Tree, events: Sequence[_Unsealed], hashes: Sequence[bytes]) -> None:
    statement = 'COPY audit_leaf (event_id, tree_id, "index", version, hash) FROM STDIN (FORMAT BINARY)'
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["uuid", "uuid", "int8", "int2", "bytea"])
        for index, (event, hash_) in enumerate(zip(events, hashes, strict=True), tree.size):
            copy.write_row((UUID(bytes=event.id), tree.pk, index, VERSION, hash_))


def _write_nodes(tree: Tree, nodes: Sequence[tuple[int, int, bytes]]) -> None:
    if not nodes:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO audit_node (tree_id, level, "index", hash) VALUES (%s, %s, %s, %s)',
            [(tree.pk, *node) for node in nodes],
        )
