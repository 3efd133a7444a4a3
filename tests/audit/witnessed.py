"""A log of somebody else's, with its own key, that can also tell another story."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.merkle import compute_root, hash_leaf, prove_consistency
from audit.notes import Checkpoint, VerifierKey, sign_note
from audit.witness import Submission


@dataclass
class Log:
    """`story` makes its leaves: two logs of one key and different stories are a fork."""

    origin: str = "acme.test/audit/x"
    story: str = "a"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.origin, self.key.public_key().public_bytes_raw())

    def leaves(self, size: int) -> list[bytes]:
        return [hash_leaf(f"{self.story if index else 'same'}{index}".encode()) for index in range(size)]

    def submit(self, old: int, new: int) -> Submission:
        leaves = self.leaves(new)

        def node(level: int, index: int) -> bytes:
            return compute_root(leaves[index << level : (index + 1) << level])

        return Submission(old, prove_consistency(old, new, node), self.note(new))

    def note(self, size: int) -> str:
        head = Checkpoint(self.origin, size, compute_root(self.leaves(size)))
        return sign_note(str(head), self.origin, [self.key])

    def fork(self) -> Log:
        return Log(self.origin, "another", self.key)
