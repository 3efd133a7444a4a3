"""Verify a whole tree: every leaf against its event, every root against checkpoints stored here and kept elsewhere."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import connection

from audit.merkle import EMPTY_ROOT, Frontier, hash_children
from audit.models import Checkpoint, Node, Tree
from audit.notes import Checkpoint as Head
from audit.notes import NoteError, VerifierKey, open_checkpoint
from audit.partitions import FIRST, LAST, NET, read_partitions
from audit.services.retain import read_dropped
from audit.services.seal import NODE_LEVELS
from audit.statements import Dropped
from audit.verification.blocks import (
    BLOCK,
    LATE_MICROSECONDS,
    LEVEL,
    Block,
    Task,
    check_connected,
    connect,
    disconnect,
)
from audit.verification.classify import Row, explain
from audit.verification.findings import Kind, Report, Tampering, make_double

# Told after each block: how many leaves are verified.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Trust:
    """What is believed rather than checked: keys, and the notes that were kept outside of the database."""

    keys: Sequence[VerifierKey]
    notes: Sequence[str] = ()


@dataclass
class State:
    """How far a verification came: enough to go on from there. `blocks` is over the roots of whole blocks."""

    blocks: Frontier = field(default_factory=Frontier)
    newest: int = -(2**63)

    @property
    def size(self) -> int:
        return self.blocks.size * BLOCK


def verify_tree(
    tree: Tree,
    trust: Trust,
    *,
    state: State | None = None,
    jobs: int = 1,
    progress: Progress = lambda size: None,
) -> Report:
    """Return what verification finds. `state` is advanced block by block, so that it can be kept and gone on from."""
    state = state or State()
    report = Report(tree.origin, tree.size)
    published = _open_published(tree, trust, report)
    _check_length(tree, published, state.size, report)
    _check_newest_signature(tree, trust, report)
    dropped = _open_statements(tree, trust, published, report)
    walk = _Walk(tree, state, report, {head.size: head.root for head in published})
    with _workers(jobs) as executor:
        for block in _check_blocks(executor, tree, state.size, tuple(walk.published), dropped):
            walk.take(block)
            progress(report.verified)
            if report.findings and not block.root:
                break
    _find_unsealed(tree, state.newest, report)
    _find_doubles(tree, report)
    _reconsider(report)
    return report


def _reconsider(report: Report) -> None:
    """Where the end is missing and an earlier root doesn't fit, an event was taken out and the others moved up."""
    if not any(finding.kind == Kind.TRUNCATE for finding in report.findings):
        return
    text = "an event from here on was deleted together with its leaf, and those after it moved up"
    report.findings = [
        replace(finding, kind=Kind.DELETE, text=text) if finding.is_guess else finding for finding in report.findings
    ]


def _open_published(tree: Tree, trust: Trust, report: Report) -> list[Head]:
    """Return the kept checkpoints of this tree that a trusted key signed."""
    heads = []
    for note in trust.notes:
        try:
            head = open_checkpoint(note, trust.keys)
        except NoteError as error:
            report.findings.append(Tampering(Kind.REWRITE, 0, f"a kept checkpoint can't be trusted: {error}"))
            continue
        if head.origin == tree.origin:
            heads.append(head)
    report.published = len(heads)
    return sorted(heads, key=lambda head: head.size)


def _open_statements(tree: Tree, trust: Trust, published: list[Head], report: Report) -> Dropped:
    """Return which events were dropped on purpose. A statement also says what the tree was then."""
    dropped, statements, errors = read_dropped(tree, trust.keys)
    report.statements = len(statements)
    published += [statement.head for statement in statements if statement.head.size <= tree.size]
    for error in errors:
        report.findings.append(Tampering(Kind.EDIT, tree.size, f"a retention statement can't be trusted: {error}"))
    return dropped


def _check_length(tree: Tree, published: Sequence[Head], verified: int, report: Report) -> None:
    newest = Checkpoint.objects.filter(tree=tree).order_by("-size").values_list("size", flat=True).first() or 0
    known = max([newest, verified, *(head.size for head in published)])
    if known > tree.size:
        text = f"the tree has {tree.size} leaves, but it had {known} before: the newest events were cut off"
        report.findings.append(Tampering(Kind.TRUNCATE, tree.size, text))


def _check_newest_signature(tree: Tree, trust: Trust, report: Report) -> None:
    newest = Checkpoint.objects.filter(tree=tree).order_by("-size").first()
    if newest is None:
        if tree.size:
            report.findings.append(Tampering(Kind.REWRITE, 0, "the tree has leaves and no signed checkpoint"))
        return
    try:
        open_checkpoint(newest.note, trust.keys)
    except NoteError as error:
        text = f"the newest checkpoint can't be trusted: {error}"
        report.findings.append(Tampering(Kind.REWRITE, tree.size, text))


class _Walk:
    """Goes from block to block, with the tree so far in hand."""

    def __init__(self, tree: Tree, state: State, report: Report, published: dict[int, bytes]) -> None:
        self.tree, self.state, self.report, self.published = tree, state, report, published
        self._good = state.size  # the newest size whose root fitted
        self._has_misfit = False

    def take(self, block: Block) -> None:
        if block.findings:
            first, *others = block.findings
            self.report.findings += [self._name_tail(first), *others]
        self._check_roots(block)
        self._check_moments(block)
        self._check_end(block)
        self.report.verified = block.start + block.leaves
        self.report.events += block.leaves - block.dropped
        self.report.dropped += block.dropped
        if block.root is not None:
            self.state.blocks = self.state.blocks.append([block.root], self._compare_node)

    def _name_tail(self, finding: Tampering) -> Tampering:
        """An event is deleted; where all after it are gone as well, the log was cut off."""
        if finding.kind != Kind.DELETE or _has_event_after(self.tree, finding.index):
            return finding
        text = "the events from here on were deleted: the log was cut off"
        return Tampering(Kind.TRUNCATE, finding.index, text, finding.event_id)

    def _check_end(self, block: Block) -> None:
        end = min(block.start + BLOCK, self.tree.size)
        has_gap = any(finding.kind in (Kind.DELETE, Kind.TRUNCATE) for finding in block.findings)
        if block.start + block.leaves < end and not has_gap:
            at = block.start + block.leaves
            text = f"the leaves from here to {self.tree.size} are gone: the log was cut off"
            self.report.findings.append(Tampering(Kind.TRUNCATE, at, text))

    def _check_roots(self, block: Block) -> None:
        """Compare the root at every size that a checkpoint knows, in order; only the first misfit tells anything."""
        for size in sorted(block.peaks):
            if self._has_misfit:
                return
            root = fold([*self.state.blocks.nodes, *block.peaks[size]])
            stored = block.noted.get(size, root)
            if root == stored and root == self.published.get(size, root):
                self._good = size
                continue
            self._has_misfit = True
            if stored is None:
                text = f"the stored checkpoint of {size} leaves was changed: it is none"
                self.report.findings.append(Tampering(Kind.EDIT, size - 1, text))
            elif not self.report.findings:
                self.report.findings.append(self._explain(block, size, stored))
            elif root == stored:
                self.report.findings.append(self._rewritten(size))

    def _explain(self, block: Block, size: int, wanted: bytes) -> Tampering:
        root = fold([*self.state.blocks.nodes, *block.peaks[size]])
        if root == wanted:
            return self._rewritten(size)
        rows = _read_leaves(self.tree, self._good, size + 1)
        rows, following = rows[: size - self._good], rows[size - self._good :]
        before = Frontier().append(row.hash for row in _read_leaves(self.tree, block.start, self._good))
        peaks = self.state.blocks.nodes

        def fits(hashes: list[bytes]) -> bool:
            return fold([*peaks, *before.append(hashes).nodes]) == wanted

        return explain(rows, following, fits)

    def _rewritten(self, size: int) -> Tampering:
        text = (
            f"the log agrees with itself, but its first {size} events are not those of the checkpoint that was kept: "
            f"it was rewritten, from leaf {self._good} on at the earliest"
        )
        event = _read_leaves(self.tree, self._good, self._good + 1)
        return Tampering(Kind.REWRITE, self._good, text, event[0].event_id if event else None)

    def _check_moments(self, block: Block) -> None:
        late = block.late
        if block.oldest < self.state.newest - LATE_MICROSECONDS:
            late = Tampering(
                Kind.INSERT,
                block.start,
                f"an event from leaf {block.start} on claims to be older than events that were sealed before it",
            )
        self.state.newest = max(self.state.newest, block.newest)
        if late is not None:
            self.report.findings.append(late)

    def _compare_node(self, level: int, index: int, root: bytes) -> None:
        level += LEVEL
        if level % NODE_LEVELS or self.report.findings:
            return
        stored = Node.objects.filter(tree=self.tree, level=level, index=index).values_list("hash", flat=True).first()
        if stored is None or bytes(stored) != root:
            text = f"the root over {1 << level} leaves from here on was changed"
            self.report.findings.append(Tampering(Kind.EDIT, index << level, text))


def fold(peaks: Sequence[bytes]) -> bytes:
    """Return the root over perfect subtrees, the largest first."""
    if not peaks:
        return EMPTY_ROOT
    *rest, root = peaks
    for peak in reversed(rest):
        root = hash_children(peak, root)
    return root


@contextmanager
def _workers(jobs: int) -> Iterator[Executor | None]:
    parameters = get_server_parameters()
    if jobs > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=connect, initargs=(parameters,)) as pool:
            yield pool
        return
    connect(parameters)
    try:
        yield None
    finally:
        disconnect()


def get_server_parameters() -> dict[str, Any]:
    """Return what psycopg needs to connect to our database from a process without Django."""
    ours = ("cursor_factory", "context", "prepare_threshold")
    return {name: value for name, value in connection.get_connection_params().items() if name not in ours}


def _check_blocks(
    executor: Executor | None, tree: Tree, start: int, sizes: tuple[int, ...], dropped: Dropped
) -> Iterator[Block]:
    tasks = [
        Task(
            tree.pk,
            at,
            min(at + BLOCK, tree.size),
            tuple(size for size in sizes if at < size <= at + BLOCK),
            dropped.within(at, at + BLOCK),
        )
        for at in range(start, tree.size, BLOCK)
    ]
    return map(check_connected, tasks) if executor is None else _run_ahead(executor, tasks)


def _run_ahead(executor: Executor, tasks: Iterable[Task]) -> Iterator[Block]:
    """Yield results in order while a few more are being worked on: what is computed waits in memory."""
    running: deque[Future[Block]] = deque()
    for task in tasks:
        running.append(executor.submit(check_connected, task))
        if len(running) > 8:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _has_event_after(tree: Tree, index: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM audit_leaf l JOIN audit_auditevent e ON e.id = l.event_id "
            'WHERE l.tree_id = %s AND l."index" > %s)',
            [tree.pk, index],
        )
        return bool(cursor.fetchone()[0])


def _read_leaves(tree: Tree, start: int, end: int) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT "index", event_id, hash FROM audit_leaf '
            'WHERE tree_id = %s AND "index" >= %s AND "index" < %s ORDER BY "index"',
            [tree.pk, start, end],
        )
        return [Row(index, key.bytes, bytes(hash_)) for index, key, hash_ in cursor.fetchall()]


def _find_unsealed(tree: Tree, newest: int, report: Report) -> None:
    """Events without a leaf are new, unless they claim to be older than what is sealed (`newest` is of that)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT e.id, e.recorded_at < timestamptz '2000-01-01Z' + %(newest)s * interval '1 microsecond'
            FROM audit_auditevent e
            WHERE {"e.organization_id = %(organization)s" if tree.organization_id else "e.organization_id IS NULL"}
              AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.event_id = e.id)
            ORDER BY e.id LIMIT 100000
            """,  # noqa: S608 (names of our own)
            {"newest": max(0, newest - LATE_MICROSECONDS), "organization": tree.organization_id},
        )
        for key, is_old in cursor.fetchall():
            if is_old:
                text = "it is in no tree, and claims to be older than events that are: it was put in afterwards"
                report.findings.append(Tampering(Kind.INSERT, tree.size, text, UUID(str(key))))
            else:
                report.pending += 1


def _find_doubles(tree: Tree, report: Report) -> None:
    """Find second events with the key of one that is sealed: of two, one is not in the month that its key names."""
    known = {finding.event_id for finding in report.findings}
    bounds = [(partition.name, partition.lower, partition.upper) for partition in read_partitions()]
    for table, lower, upper in [*bounds, (NET, LAST, FIRST)]:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT l."index", e.id FROM {table} e JOIN audit_leaf l ON l.event_id = e.id AND l.tree_id = %s
                WHERE (e.id < %s OR e.id >= %s)
                  AND EXISTS (SELECT FROM audit_auditevent o WHERE o.id = e.id AND o.tableoid <> e.tableoid)
                """,  # noqa: S608 (names of our own)
                [tree.pk, lower, upper],
            )
            for index, key in cursor.fetchall():
                if key not in known:
                    known.add(key)
                    report.findings.append(make_double(index, key))
