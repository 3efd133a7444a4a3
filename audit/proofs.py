"""Proofs about a tree, from what is stored of it. However large it is, a proof reads a few blocks of 256 hashes."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from audit.leaves import versioned_data_sql
from audit.merkle import hash_children, prove_consistency, prove_inclusion
from audit.models import Checkpoint, Cosignature, Leaf, Node, Tree
from audit.services.seal import NODE_LEVELS

_BLOCK = 1 << NODE_LEVELS
_MOST_BLOCKS = 1_024


class NotSealedError(LookupError):
    """The event is in no signed tree yet: it will be within a second."""


class NoSuchSizeError(ValueError):
    """The tree has never had this size, or not yet."""


@dataclass(frozen=True)
class Inclusion:
    """That an event is in the tree of a checkpoint. `data` is the leaf without its version byte (audit.leaves)."""

    index: int
    version: int
    data: str
    leaf_hash: bytes
    hashes: list[bytes]
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Consistency:
    """That a tree of `old` leaves is a prefix of one of `new` leaves."""

    old: int
    new: int
    hashes: list[bytes]


class StoredNodes:
    """The nodes of a tree: leaves and every eighth level as stored, those between computed. A NodeSource."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._blocks: dict[tuple[int, int], list[bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        if level % NODE_LEVELS == 0:
            return self._get_block(level, index // _BLOCK)[index % _BLOCK]
        return hash_children(self(level - 1, index * 2), self(level - 1, index * 2 + 1))

    def _get_block(self, level: int, number: int) -> list[bytes]:
        block = self._blocks.get((level, number))
        if block is None:
            if len(self._blocks) >= _MOST_BLOCKS:
                self._blocks.clear()
            rows = Node.objects.filter(level=level) if level else Leaf.objects.all()
            within = rows.filter(tree=self._tree, index__gte=number * _BLOCK, index__lt=(number + 1) * _BLOCK)
            block = [bytes(hash_) for hash_ in within.order_by("index").values_list("hash", flat=True)]
            self._blocks[level, number] = block
        return block


def get_newest_checkpoint(tree: Tree) -> Checkpoint | None:
    return tree.checkpoints.order_by("-size").first()


def find_cosigned(tree: Tree, size: int) -> list[Checkpoint]:
    """Return the newest checkpoint that each witness has signed, up to this size. Most are a minute behind."""
    signed = Cosignature.objects.filter(checkpoint__tree=tree, checkpoint__size__lte=size)
    newest = signed.order_by("witness", "-checkpoint__size").distinct("witness").values("checkpoint")
    return list(Checkpoint.objects.filter(pk__in=newest).prefetch_related("cosignatures").order_by("size"))


def get_cosigned_note(checkpoint: Checkpoint) -> str:
    """Return the checkpoint with the signatures of its witnesses."""
    return checkpoint.note + "".join(cosignature.line for cosignature in checkpoint.cosignatures.all())


def prove_event(event_id: UUID) -> Inclusion:
    """Return the proof that an event is in its tree, against the newest checkpoint. Raises NotSealedError."""
    leaf = Leaf.objects.filter(pk=event_id).select_related("tree").first()
    checkpoint = get_newest_checkpoint(leaf.tree) if leaf is not None else None
    if leaf is None or checkpoint is None:
        raise NotSealedError("this event is not sealed yet")
    hashes = prove_inclusion(leaf.index, checkpoint.size, StoredNodes(leaf.tree))
    data = _read_data(event_id, leaf.version)
    return Inclusion(leaf.index, leaf.version, data, bytes(leaf.hash), hashes, checkpoint)


def prove_growth(tree: Tree, *, old: int, new: int) -> Consistency:
    """Return the proof between two sizes of a tree. Raises NoSuchSizeError."""
    if not 0 <= old <= new <= tree.size:
        raise NoSuchSizeError(f"the tree has {tree.size} leaves: there is no proof from {old} to {new}")
    return Consistency(old, new, prove_consistency(old, new, StoredNodes(tree)))


def _read_data(event_id: UUID, version: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {versioned_data_sql('e', '%s')} FROM audit_auditevent e WHERE e.id = %s",  # noqa: S608
            [version, event_id],
        )
        return str(cursor.fetchone()[0])
