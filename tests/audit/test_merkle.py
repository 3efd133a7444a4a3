"""The tree against the published vectors of Certificate Transparency, and its laws (RFC 6962 §2.1)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    NodeSource,
    ProofError,
    compute_root,
    hash_children,
    hash_leaf,
    prove_consistency,
    prove_inclusion,
    verify_consistency,
    verify_inclusion,
)

# The leaves and roots that the reference implementations of RFC 6962 are tested with.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [hash_leaf(leaf) for leaf in LEAVES]
SIZES = st.integers(min_value=1, max_value=200)


def test_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_root_equals_the_published_one(size: int) -> None:
    assert compute_root(HASHES[:size]).hex() == ROOTS[size - 1]


@given(first=SIZES, second=SIZES)
def test_append_in_two_batches_gives_the_root_of_one(first: int, second: int) -> None:
    leaves = _leaves(first + second)
    assert Frontier().append(leaves[:first]).append(leaves[first:]).root() == _recursive_root(leaves)


@given(size=SIZES, data=st.data())
def test_inclusion_proof_verifies_and_nothing_near_it_does(size: int, data: st.DataObject) -> None:
    leaves = _leaves(size)
    index = data.draw(st.integers(0, size - 1))
    root = compute_root(leaves)
    proof = prove_inclusion(index, size, _source(leaves))
    verify_inclusion(leaves[index], index, size, proof, root)
    for leaf, at, path in (
        (hash_leaf(b"other"), index, proof),
        (leaves[index], index, [*proof, root]),
        (leaves[index], index, [hash_leaf(b"other"), *proof[1:]]),
        (leaves[index], size, proof),
    ):
        with pytest.raises(ProofError):
            verify_inclusion(leaf, at, size, path, root)


@given(size=SIZES, data=st.data())
def test_consistency_proof_verifies_and_nothing_near_it_does(size: int, data: st.DataObject) -> None:
    leaves = _leaves(size)
    old = data.draw(st.integers(1, size))
    old_root, root = compute_root(leaves[:old]), compute_root(leaves)
    proof = prove_consistency(old, size, _source(leaves))
    verify_consistency(old, old_root, size, root, proof)
    for wrong_old, wrong_new, path in (
        (hash_leaf(b"rewritten"), root, proof),
        (old_root, hash_leaf(b"rewritten"), proof),
        (old_root, root, [*proof, root]),
    ):
        with pytest.raises(ProofError):
            verify_consistency(old, wrong_old, size, wrong_new, path)


@pytest.mark.parametrize(("size", "nodes"), [(1, ()), (2, (b"x",)), (3, (b"x" * 32,))])
def test_frontier_of_another_size_is_refused(size: int, nodes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="frontier"):
        Frontier(size, nodes)


def _leaves(size: int) -> list[bytes]:
    return [hash_leaf(str(number).encode()) for number in range(size)]


def _source(leaves: list[bytes]) -> NodeSource:
    def node(level: int, index: int) -> bytes:
        return _recursive_root(leaves[index << level : (index + 1) << level])

    return node


def _recursive_root(leaves: list[bytes]) -> bytes:
    """Follow the definition of RFC 6962 §2.1 to the letter."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hash_children(_recursive_root(leaves[:split]), _recursive_root(leaves[split:]))
