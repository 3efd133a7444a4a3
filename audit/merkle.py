"""The Merkle tree of RFC 6962 §2.1: pure Python, no Django, so that it can be read, tested and shipped alone.

A tree is a list of leaf hashes. Appending needs only the frontier: the roots of the perfect subtrees that the size's
binary digits name, largest first. Proofs are lists of 32-byte hashes, as §2.1.1 and §2.1.2 order them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()

# Answers (level, index) with the root over the 2**level leaves from index * 2**level on: a perfect subtree.
NodeSource = Callable[[int, int], bytes]
# Told of each perfect subtree of two leaves or more that appending completes: (level, index, root).
NodeSink = Callable[[int, int, bytes], None]


class ProofError(ValueError):
    """A proof does not show what it was given to show."""


def hash_leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """All that appending to a tree of `size` leaves needs: one hash for each binary digit 1 of `size`."""

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.nodes) != self.size.bit_count() or any(len(node) != HASH_BYTES for node in self.nodes):
            raise ValueError(f"a frontier of {self.size} leaves has {self.size.bit_count()} hashes of 32 bytes")

    def append(self, leaves: Iterable[bytes], completed: NodeSink | None = None) -> Frontier:
        """Return the frontier after these leaf hashes, in order. `completed` is told of the subtrees they complete."""
        size, nodes = self.size, list(self.nodes)
        for node in leaves:
            merged = node
            # Each trailing 1 of the size is a perfect subtree that the new leaf completes into one twice as large.
            for level in range(1, _trailing_ones(size) + 1):
                merged = hash_children(nodes.pop(), merged)
                if completed is not None:
                    completed(level, size >> level, merged)
            nodes.append(merged)
            size += 1
        return Frontier(size, tuple(nodes))

    def root(self) -> bytes:
        if not self.nodes:
            return EMPTY_ROOT
        *rest, root = self.nodes
        for node in reversed(rest):
            root = hash_children(node, root)
        return root


def compute_root(leaves: Sequence[bytes]) -> bytes:
    return Frontier().append(leaves).root()


def prove_inclusion(index: int, size: int, node: NodeSource) -> list[bytes]:
    """Return the audit path of the leaf at `index` in a tree of `size` leaves (RFC 6962 §2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return _path(index, 0, size, node)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless this leaf hash stands at `index` of this tree (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if position & 1 or position == last:
            computed = hash_children(sibling, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = hash_children(computed, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError("the inclusion proof is too short")
    if computed != root:
        raise ProofError("the leaf is not in the tree with this root")


def prove_consistency(old: int, new: int, node: NodeSource) -> list[bytes]:
    """Return the proof that the tree of `old` leaves is a prefix of the tree of `new` leaves (RFC 6962 §2.1.2)."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} leaves can't precede one of {new}")
    if old in (0, new):
        return []
    return _subproof(old, 0, new, whole=True, node=node)


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofError unless the first tree is a prefix of the second (RFC 9162 §2.1.4.2)."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {old} leaves can't precede one of {new}")
    if old == 0 or old == new:
        expected = old_root == (new_root if old else EMPTY_ROOT)
        if proof or not expected:
            raise ProofError("the roots differ, or a proof was given where none is needed")
        return
    # A perfect old tree is its own first node, which the proof leaves out.
    hashes = list(proof) if old & (old - 1) else [old_root, *proof]
    if not hashes:
        raise ProofError("the consistency proof is empty")
    _walk_consistency(old, old_root, new, new_root, hashes)


def _walk_consistency(old: int, old_root: bytes, new: int, new_root: bytes, hashes: list[bytes]) -> None:
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if position & 1 or position == last:
            first, second = hash_children(sibling, first), hash_children(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = hash_children(second, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError("the consistency proof is too short")
    if first != old_root or second != new_root:
        raise ProofError("the older tree is not a prefix of the newer one")


def _path(index: int, start: int, end: int, node: NodeSource) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, node), _range_root(middle, end, node)]
    return [*_path(index, middle, end, node), _range_root(start, middle, node)]


def _subproof(old: int, start: int, end: int, *, whole: bool, node: NodeSource) -> list[bytes]:
    if old == end:
        return [] if whole else [_range_root(start, end, node)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(old, start, middle, whole=whole, node=node), _range_root(middle, end, node)]
    return [*_subproof(old, middle, end, whole=False, node=node), _range_root(start, middle, node)]


def _range_root(start: int, end: int, node: NodeSource) -> bytes:
    """Return the root over leaves start to end, where `start` is a multiple of the largest power of two that fits."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(size)
    return hash_children(_range_root(start, middle, node), _range_root(middle, end, node))


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size` (RFC 6962 §2.1)."""
    return 1 << (size - 1).bit_length() - 1


def _trailing_ones(number: int) -> int:
    return ((number + 1) & ~number).bit_length() - 1
