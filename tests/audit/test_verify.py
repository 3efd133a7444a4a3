"""What a PostgreSQL superuser can do to the log with every trigger off, and that it is found and named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command

from audit.leaves import COLUMNS, VERSION, data_sql, hash_event
from audit.merkle import Frontier
from audit.models import AuditEvent, Leaf, Tree
from audit.notes import Checkpoint, sign_note
from audit.services.record import Call, record_event
from audit.services.seal import seal_events
from audit.types import EventType
from orgs.ids import uuid7
from orgs.models import Organization
from orgs.services.checkpoint_keys import rotate_checkpoint_key, sign_checkpoint
from orgs.services.publish_checkpoints import publish_checkpoints
from tests.audit.trees import record

pytestmark = pytest.mark.django_db(transaction=True)
COUNT = 600
Cursor = psycopg.Cursor[Any]


@pytest.fixture
def acme(settings: Any, tmp_path: Path) -> Organization:
    settings.CHECKPOINT_DIR = tmp_path / "checkpoints"
    return Organization.objects.create(slug="acme", name="Acme")


@pytest.fixture
def events(acme: Organization) -> list[AuditEvent]:
    """Sealed in three parts, each of them published."""
    found = []
    for _ in range(3):
        found += record(COUNT // 3, organization_id=acme.pk)
        seal()
        publish_checkpoints()
    return found


def seal() -> None:
    while (sealed := seal_events(sign=sign_checkpoint)) is None or sealed.reached:
        pass


def verify(*options: str, organization: str = "acme") -> dict[str, Any]:
    """Run the command. Returns its report of the organization's tree, with `code`."""
    output, code = io.StringIO(), 0
    try:
        call_command(
            "audit", "verify", "--organization", organization, "--json", "--jobs", "1", *options, stdout=output
        )
    except SystemExit as stopped:
        code = int(str(stopped.code))
    [report] = json.loads(output.getvalue())
    return {**report, "code": code, "first": min(report["findings"], key=lambda one: one["index"], default=None)}


def assert_found(kind: str, *, index: int | range, event: AuditEvent | None = None) -> None:
    report = verify()
    first = report["first"]
    assert report["code"] == 1
    assert first is not None
    assert first["kind"] == kind, report["findings"][:3]
    assert first["index"] in (index if isinstance(index, range) else range(index, index + 1)), first
    if event is not None:
        assert first["event_id"] == str(event.pk), first


def test_untouched_log_verifies(events: list[AuditEvent]) -> None:
    report = verify()
    assert (report["code"], report["findings"], report["verified"], report["published"]) == (0, [], COUNT, 3)
    assert report["pending"] == 0


def test_events_that_are_not_sealed_yet_are_no_tampering(events: list[AuditEvent], acme: Organization) -> None:
    record(2, organization_id=acme.pk)
    report = verify()
    assert (report["code"], report["pending"]) == (0, 2)


def test_rotated_key_is_followed(events: list[AuditEvent], acme: Organization) -> None:
    rotate_checkpoint_key()
    record(3, organization_id=acme.pk)
    seal()
    assert verify()["findings"] == []  # by the keys that were published before
    publish_checkpoints()
    assert verify()["findings"] == []


def test_edited_event_is_named(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("UPDATE audit_auditevent SET outcome = 'denied' WHERE id = %s", [events[123].pk])
    assert_found("edit", index=123, event=events[123])


def test_no_column_can_be_edited_unseen(events: list[AuditEvent], superuser: Cursor, acme: Organization) -> None:
    # Only of a call can the call be another one: a constraint holds for superusers, too.
    call = Call(call=uuid7(), phase="requested")
    called = record_event(type=EventType.CAPABILITY_INVOKED, organization_id=acme.pk, call=call)
    seal()
    values = {"uuid": "uuidv7()", "jsonb": "'{\"a\": 1}'", "inet": "'192.0.2.7'", "bigint": "77"}
    query = (
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'audit_auditevent' AND column_name = %s"
    )
    edited = {**dict(zip(COLUMNS[VERSION][1:], events, strict=False)), "call": called}
    for column, event in edited.items():
        superuser.execute(query, [column])
        [kind] = superuser.fetchone() or [""]
        value = values.get(kind, "now() - interval '1 second'" if "time" in kind else "'changed'")
        superuser.execute(f"UPDATE audit_auditevent SET {column} = {value} WHERE id = %s", [event.pk])
    findings = verify()["findings"]
    keys = {str(event.pk) for event in edited.values()}
    assert {finding["event_id"] for finding in findings if finding["kind"] == "edit"} == keys


def test_event_edited_together_with_its_leaf_is_found(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("UPDATE audit_auditevent SET outcome = 'denied' WHERE id = %s", [events[300].pk])
    _rehash(superuser, events[300].pk)
    assert_found("edit", index=range(256, 301))


def test_deleted_event_is_named(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("DELETE FROM audit_auditevent WHERE id = %s", [events[50].pk])
    assert_found("delete", index=50, event=events[50])


def test_event_deleted_together_with_its_leaf_is_found(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("DELETE FROM audit_auditevent WHERE id = %s", [events[50].pk])
    superuser.execute("DELETE FROM audit_leaf WHERE event_id = %s", [events[50].pk])
    assert_found("delete", index=50)


def test_event_deleted_and_the_gap_closed_is_found(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("DELETE FROM audit_auditevent WHERE id = %s", [events[50].pk])
    superuser.execute("DELETE FROM audit_leaf WHERE event_id = %s", [events[50].pk])
    _shift(superuser, from_index=51, by=-1)
    assert_found("delete", index=range(51))


def test_inserted_event_without_a_leaf_is_named(events: list[AuditEvent], superuser: Cursor) -> None:
    forged = _forge(superuser, events[70])
    report = verify()
    assert (report["code"], report["first"]["kind"], report["first"]["event_id"]) == (1, "insert", str(forged))


def test_inserted_event_that_the_sealer_took_is_named(events: list[AuditEvent], superuser: Cursor) -> None:
    forged = _forge(superuser, events[70])
    seal()
    report = verify()
    assert (report["code"], report["first"]["kind"], report["first"]["event_id"]) == (1, "insert", str(forged))


@pytest.mark.parametrize("at", [70, 255, 450])
def test_inserted_event_with_a_leaf_in_between_is_named(events: list[AuditEvent], superuser: Cursor, at: int) -> None:
    forged = _forge(superuser, events[at], "0 minutes")
    _shift(superuser, from_index=at, by=1)
    superuser.execute(
        'INSERT INTO audit_leaf (event_id, tree_id, "index", version, hash) VALUES (%s, %s, %s, 1, %s)',
        [forged, Tree.objects.get(organization_id__isnull=False).pk, at, b""],
    )
    _rehash(superuser, forged)
    superuser.execute("UPDATE audit_tree SET size = size + 1 WHERE organization_id IS NOT NULL")
    report = verify()
    assert (report["code"], report["first"]["kind"], report["first"]["event_id"]) == (1, "insert", str(forged))


def test_exchanged_events_are_named(events: list[AuditEvent], superuser: Cursor) -> None:
    """Each gets the other's identifier, so that each leaf finds an event."""
    first, second = events[20].pk, events[500].pk
    for old, new in ((first, UUID(int=1)), (second, first), (UUID(int=1), second)):
        superuser.execute("UPDATE audit_auditevent SET id = %s, call = %s WHERE id = %s", [new, new, old])
    report = verify()
    assert (report["code"], report["first"]["index"]) == (1, 20)


@pytest.mark.parametrize(("first", "second"), [(20, 21), (3, 250), (520, 599)])
def test_exchanged_leaves_are_named(events: list[AuditEvent], superuser: Cursor, first: int, second: int) -> None:
    for old, new in ((first, -1), (second, first), (-1, second)):
        superuser.execute('UPDATE audit_leaf SET "index" = %s WHERE "index" = %s', [new, old])
    assert_found("reorder", index=first, event=events[second])


def test_cut_off_events_are_named(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("DELETE FROM audit_auditevent WHERE id >= %s", [events[550].pk])
    assert_found("truncate-tail", index=550, event=events[550])


def test_events_cut_off_with_their_leaves_are_found(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("DELETE FROM audit_auditevent WHERE id >= %s", [events[550].pk])
    superuser.execute('DELETE FROM audit_leaf WHERE "index" >= 550')
    assert_found("truncate-tail", index=550)


def test_log_put_back_to_an_older_state_is_found(events: list[AuditEvent], superuser: Cursor) -> None:
    """Everything in the database is as it once was, and signed: only the published checkpoint knows better."""
    superuser.execute("DELETE FROM audit_auditevent WHERE id >= %s", [events[400].pk])
    _rebuild(superuser, None)
    assert_found("truncate-tail", index=400)


def test_rewritten_log_with_a_key_of_its_own_is_found(events: list[AuditEvent], superuser: Cursor) -> None:
    superuser.execute("UPDATE audit_auditevent SET outcome = 'denied' WHERE id = %s", [events[250].pk])
    own = Ed25519PrivateKey.generate()
    _rebuild(superuser, own)
    superuser.execute("UPDATE orgs_checkpointkey SET public_key = %s", [own.public_key().public_bytes_raw()])
    assert_found("rewrite", index=200)


def test_rewritten_log_without_anything_kept_elsewhere_goes_unseen(
    events: list[AuditEvent], superuser: Cursor, settings: Any, tmp_path: Path
) -> None:
    """Why checkpoints are to be kept where the database's owner can't reach them."""
    own = Ed25519PrivateKey.generate()
    superuser.execute("UPDATE audit_auditevent SET outcome = 'denied' WHERE id = %s", [events[250].pk])
    _rebuild(superuser, own)
    superuser.execute("UPDATE orgs_checkpointkey SET public_key = %s", [own.public_key().public_bytes_raw()])
    settings.CHECKPOINT_DIR = tmp_path / "nothing-here"
    assert verify()["findings"] == []


def test_kept_checkpoint_of_another_key_is_not_trusted(events: list[AuditEvent], tmp_path: Path) -> None:
    tree = Tree.objects.get(organization_id__isnull=False)
    forged = sign_note(str(Checkpoint(tree.origin, COUNT, bytes(32))), tree.origin, [Ed25519PrivateKey.generate()])
    kept = tmp_path / "kept"
    kept.write_text(forged)
    report = verify("--checkpoints", str(kept))
    assert (report["code"], report["first"]["kind"]) == (1, "rewrite")


def test_verify_goes_on_where_it_stopped(
    events: list[AuditEvent], superuser: Cursor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acme: Organization
) -> None:
    for module in ("blocks", "verify"):
        monkeypatch.setattr(f"audit.verification.{module}.BLOCK", 256)
        monkeypatch.setattr(f"audit.verification.{module}.LEVEL", 8)
    kept = str(tmp_path / "state.json")
    assert verify("--resume", kept)["events"] == COUNT
    record(100, organization_id=acme.pk)
    seal()
    report = verify("--resume", kept)
    assert (report["code"], report["events"], report["verified"]) == (0, COUNT + 100 - 512, COUNT + 100)
    superuser.execute("UPDATE audit_auditevent SET outcome = 'denied' WHERE id = %s", [events[520].pk])
    assert verify("--resume", kept)["first"]["event_id"] == str(events[520].pk)


def test_verify_with_several_processes_says_the_same(
    events: list[AuditEvent], superuser: Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser.execute("UPDATE audit_auditevent SET outcome = 'denied' WHERE id = %s", [events[123].pk])
    assert verify("--jobs", "2")["first"]["event_id"] == str(events[123].pk)


def _shift(superuser: Cursor, *, from_index: int, by: int) -> None:
    superuser.execute('UPDATE audit_leaf SET "index" = -"index" - %s WHERE "index" >= %s', [by, from_index])
    superuser.execute('UPDATE audit_leaf SET "index" = -"index" WHERE "index" < 0')


def _forge(superuser: Cursor, like: AuditEvent, ago: str = "1 day") -> UUID:
    """Put in a copy of an event that claims to be older, with a key just above its model's."""
    key = UUID(int=like.pk.int + 1)
    names = [name for name in COLUMNS[VERSION] if name not in ("id", "call", "recorded_at")]
    columns = ", ".join(names)
    superuser.execute(
        f"INSERT INTO audit_auditevent (id, call, recorded_at, {columns}) "
        f"SELECT %s, %s, recorded_at - %s::interval, {columns} FROM audit_auditevent WHERE id = %s",
        [key, key, ago, like.pk],
    )
    return key


def _rehash(superuser: Cursor, key: UUID) -> None:
    superuser.execute(f"SELECT {data_sql('e')} FROM audit_auditevent e WHERE id = %s", [key])
    [data] = superuser.fetchone() or [""]
    superuser.execute("UPDATE audit_leaf SET hash = %s WHERE event_id = %s", [hash_event(data.encode()), key])


def _rebuild(superuser: Cursor, key: Ed25519PrivateKey | None) -> None:
    """Make leaves, nodes, head and checkpoints anew from the events, signed with a key; None keeps what still fits."""
    tree = Tree.objects.get(organization_id__isnull=False)
    keys = list(Leaf.objects.filter(tree=tree).order_by("index").values_list("event_id", flat=True))
    superuser.execute("DELETE FROM audit_leaf WHERE tree_id = %s", [tree.pk])
    superuser.execute("DELETE FROM audit_node WHERE tree_id = %s", [tree.pk])
    nodes: list[tuple[int, int, bytes]] = []
    frontier = Frontier()
    for event_id in keys:
        superuser.execute(f"SELECT {data_sql('e')} FROM audit_auditevent e WHERE id = %s", [event_id])
        row = superuser.fetchone()
        if row is None:
            break
        hash_ = hash_event(row[0].encode())
        superuser.execute(
            'INSERT INTO audit_leaf (event_id, tree_id, "index", version, hash) VALUES (%s, %s, %s, 1, %s)',
            [event_id, tree.pk, frontier.size, hash_],
        )
        frontier = frontier.append([hash_], lambda *node: nodes.append(node))
        if key is not None:
            note = sign_note(str(Checkpoint(tree.origin, frontier.size, frontier.root())), tree.origin, [key])
            superuser.execute("UPDATE audit_checkpoint SET note = %s WHERE size = %s", [note, frontier.size])
    for level, index, root in nodes:
        if level == 8:
            superuser.execute("INSERT INTO audit_node VALUES (%s, %s, %s, %s)", [level, index, root, tree.pk])
    superuser.execute("DELETE FROM audit_checkpoint WHERE size > %s", [frontier.size])
    superuser.execute(
        "UPDATE audit_tree SET size = %s, frontier = %s WHERE id = %s",
        [frontier.size, b"".join(frontier.nodes), tree.pk],
    )


def test_second_event_with_a_key_that_is_there_is_found(events: list[AuditEvent], superuser: Cursor) -> None:
    """Only another month's partition can have it: it would be shown, and no leaf speaks for it."""
    names = ", ".join(name for name in COLUMNS[VERSION] if name not in ("call", "phase"))
    copy = f"INSERT INTO audit_auditevent (call, phase, {names}) SELECT %s, 'denied', {names} FROM audit_auditevent"
    superuser.execute(f"{copy} WHERE id = %s", [UUID(int=2**127), events[70].pk])
    assert_found("insert", index=70, event=events[70])
