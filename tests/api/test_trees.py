"""Proofs over the API, verified with nothing but what the answers say; and who gets them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from audit.merkle import hash_leaf, verify_consistency, verify_inclusion
from audit.models import AuditEvent, Cosignature, Tree
from audit.notes import Checkpoint, open_checkpoint, parse_key, read_cosignatures
from audit.services.record import Actor, record_event
from audit.services.seal import seal_events
from orgs.services.checkpoint_keys import sign_checkpoint
from orgs.services.witness_key import cosign_text, get_witness_key
from tests.api.conftest import Api, assert_error
from tests.factories import Cast

pytestmark = pytest.mark.django_db


def record(cast: Cast, count: int, **facts: Any) -> list[AuditEvent]:
    organization_id = facts.pop("organization_id", cast.acme.pk)
    return [
        record_event(type="person.signed_in", organization_id=organization_id, details={"number": number}, **facts)
        for number in range(count)
    ]


def seal() -> None:
    assert seal_events(sign=sign_checkpoint) is not None


def decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def open_tree(api: Api) -> Checkpoint:
    tree = api.get("/audit-tree").json["tree"]
    checkpoint = open_checkpoint(tree["checkpoint"], [parse_key(key) for key in tree["keys"]])
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (
        tree["origin"],
        tree["size"],
        decode(tree["rootHash"]),
    )
    return checkpoint


@pytest.mark.parametrize("count", [1, 2, 7, 256, 700])
def test_inclusion_proof_leads_from_the_event_to_the_signed_root(cast: Cast, carol: Api, count: int) -> None:
    events = record(cast, count)
    record(cast, 3, organization_id=cast.globex.pk)
    seal()
    head = open_tree(carol)
    assert head.size == AuditEvent.objects.for_organization(cast.acme.pk).count()
    for event in {events[0], events[count // 2], events[-1]}:
        proof = carol.get(f"/audit-events/{event.pk}/inclusion-proof").json["proof"]
        leaf = hash_leaf(bytes([proof["leafVersion"]]) + proof["leafData"].encode())
        assert proof["leafHash"] == base64.b64encode(leaf).decode()
        assert str(event.pk) in proof["leafData"]
        hashes = [decode(hash_) for hash_ in proof["hashes"]]
        verify_inclusion(leaf, proof["leafIndex"], proof["treeSize"], hashes, head.root)


def test_consistency_proof_joins_two_checkpoints(cast: Cast, carol: Api) -> None:
    record(cast, 300)
    seal()
    older = open_tree(carol)
    record(cast, 333)
    seal()
    newer = open_tree(carol)
    proof = carol.get("/audit-tree/consistency-proof", fromSize=older.size, toSize=newer.size).json["proof"]
    hashes = [decode(hash_) for hash_ in proof["hashes"]]
    verify_consistency(older.size, older.root, newer.size, newer.root, hashes)
    assert carol.get("/audit-tree/consistency-proof", fromSize=older.size).json["proof"] == proof


def test_tree_shows_what_witnesses_signed(cast: Cast, carol: Api) -> None:
    record(cast, 3)
    seal()
    checkpoint = Tree.objects.get(organization_id=cast.acme.pk).checkpoints.get()
    line = cosign_text(checkpoint.note.rpartition("\n\n")[0] + "\n")
    Cosignature.objects.create(checkpoint=checkpoint, witness=get_witness_key().name, line=line)
    record(cast, 1)
    seal()
    [cosigned] = carol.get("/audit-tree").json["tree"]["cosigned"]
    assert (cosigned["size"], cosigned["witnesses"]) == (checkpoint.size, [get_witness_key().name])
    assert read_cosignatures(cosigned["checkpoint"], [get_witness_key()])


def test_tree_before_the_first_event_is_empty(cast: Cast, carol: Api) -> None:
    tree = carol.get("/audit-tree").json["tree"]
    assert (tree["size"], tree["checkpoint"], tree["keys"], tree["origin"]) == (0, None, [], "")
    assert carol.get("/audit-tree/consistency-proof").json["proof"] == {"fromSize": 0, "toSize": 0, "hashes": []}


@pytest.mark.parametrize("query", [{"fromSize": 9, "toSize": 2}, {"toSize": 5}, {"fromSize": -1}, {"fromSize": "x"}])
def test_consistency_proof_of_sizes_that_never_were_is_refused(cast: Cast, carol: Api, query: dict[str, Any]) -> None:
    record(cast, 3)
    seal()
    field = "toSize" if query == {"toSize": 5} else "fromSize"
    assert_error(carol.get("/audit-tree/consistency-proof", **query), 400, "kontext_validation_error", field)


def test_event_that_is_not_sealed_yet_says_so(cast: Cast, carol: Api) -> None:
    [event] = record(cast, 1)
    answer = carol.get(f"/audit-events/{event.pk}/inclusion-proof")
    assert_error(answer, 409, "kontext_not_sealed")
    assert answer.headers["Retry-After"] == "1"


def test_member_proves_own_events_alone(cast: Cast, alice: Api) -> None:
    [own] = record(cast, 1, actor=Actor(user_id=cast.alice.pk))
    [other] = record(cast, 1, actor=Actor(user_id=cast.bob.pk))
    seal()
    assert alice.get(f"/audit-events/{own.pk}/inclusion-proof").status == 200
    assert_error(alice.get(f"/audit-events/{other.pk}/inclusion-proof"), 404, "kontext_not_found")


def test_other_organization_gets_neither_proof_nor_tree(cast: Cast, mallory: Api) -> None:
    [event] = record(cast, 1)
    seal()
    acme = Tree.objects.get(organization_id=cast.acme.pk)
    assert_error(mallory.get(f"/audit-events/{event.pk}/inclusion-proof"), 404, "kontext_not_found")
    shown = mallory.get("/audit-tree").text
    assert str(cast.acme.pk) not in shown
    assert acme.origin not in shown
