"""Events to seal, and a tree read back from the database as an auditor would see it."""

from __future__ import annotations

from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from audit.leaves import data_sql, hash_event
from audit.merkle import compute_root
from audit.models import AuditEvent, Leaf, Tree
from audit.notes import Checkpoint, VerifierKey, open_checkpoint, sign_note
from audit.services.record import record_event
from audit.services.seal import Sealed, seal_events
from audit.types import EventType

KEY = Ed25519PrivateKey.generate()
ACME = UUID("01900000-0000-7000-8000-00000000ac3e")
GLOBEX = UUID("01900000-0000-7000-8000-00000000910b")


def sign(checkpoint: Checkpoint) -> str:
    return sign_note(str(checkpoint), checkpoint.origin, [KEY])


def verifier_key(origin: str) -> VerifierKey:
    return VerifierKey(origin, KEY.public_key().public_bytes_raw())


def record(count: int = 1, *, organization_id: UUID | None = ACME, name: str = "x") -> list[AuditEvent]:
    return [
        record_event(
            type=EventType.SIGNED_IN, organization_id=organization_id, details={"name": f"{name}{number}", "é\\": 1.50}
        )
        for number in range(count)
    ]


def seal() -> Sealed:
    sealed = seal_events(sign=sign)
    assert sealed is not None
    return sealed


def read_data(event: AuditEvent) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {data_sql('e')} FROM audit_auditevent e WHERE id = %s", [event.pk])
        return str(cursor.fetchone()[0]).encode()


def check_tree(tree: Tree) -> list[UUID]:
    """Assert that leaves, nodes, head and checkpoint agree with the events. Returns the events in the tree's order."""
    leaves = list(Leaf.objects.filter(tree=tree).order_by("index"))
    assert [leaf.index for leaf in leaves] == list(range(tree.size))
    hashes = [hash_event(read_data(AuditEvent.objects.get(pk=leaf.event_id))) for leaf in leaves]
    assert hashes == [bytes(leaf.hash) for leaf in leaves]
    newest = tree.checkpoints.order_by("-size").first()
    assert newest is not None
    checkpoint = open_checkpoint(newest.note, [verifier_key(tree.origin)])
    assert checkpoint == Checkpoint(tree.origin, tree.size, compute_root(hashes))
    return [leaf.event_id for leaf in leaves]
