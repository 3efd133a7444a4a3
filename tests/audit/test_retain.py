"""A month is dropped whole and under a signature; what is missing without one is deleted, whoever says otherwise."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.utils import ProgrammingError

from audit import verifier
from audit.keys import make_key
from audit.leaves import COLUMNS, VERSION
from audit.models import AuditEvent, Leaf, Outlet, OutletPosition, Payload, PayloadKey, RetentionStatement, Tree
from audit.notes import open_checkpoint, sign_note
from audit.partitions import add_months, begin_month, make_partitions, read_partitions
from audit.services.record import NOBODY, Call, record_event
from audit.services.retain import RetentionError, drop_month, find_due
from audit.services.seal import seal_events
from audit.statements import Statement, open_statement
from audit.types import EventType
from kontext.doctor import audit
from kontext.doctor.findings import Level
from orgs.ids import uuid7
from orgs.models import Organization
from orgs.services.checkpoint_keys import get_verifier_keys, sign_checkpoint, sign_for_tree
from orgs.services.publish_checkpoints import get_checkpoint_file, publish_checkpoints
from orgs.services.stream_events import stream_events
from tests.audit.trees import record

pytestmark = pytest.mark.django_db(transaction=True)
MONTH = begin_month(dt.datetime.now(dt.UTC))
OLD = add_months(MONTH, -13)


@pytest.fixture
def acme(settings: Any, tmp_path: Path) -> Iterator[Organization]:
    """Thirty old events, among them one that is new, and thirty new ones; all sealed and published."""
    settings.CHECKPOINT_DIR = tmp_path / "checkpoints"
    acme = Organization.objects.create(slug="acme", name="Acme")
    globex = Organization.objects.create(slug="globex", name="Globex")
    made = make_partitions(OLD)
    for number in range(30):
        record_old(acme, number)
        if number == 20:
            record(1, organization_id=acme.pk)
    record_old(globex, 0)
    seal()
    record(30, organization_id=acme.pk)
    seal()
    yield acme
    with connection.cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


def record_old(organization: Organization, number: int) -> AuditEvent:
    """The events themselves are sealed now, in the order of their keys: what makes them old is when the call began."""
    call = Call(call=UUID(int=make_key(OLD).int + (organization.pk.int % 2**32) * 2**16 + number), phase="requested")
    return record_event(type=EventType.CAPABILITY_INVOKED, organization_id=organization.pk, outcome="", call=call)


def seal() -> None:
    seal_events(sign=sign_checkpoint)
    publish_checkpoints()


def retain(*options: str) -> Any:
    output = io.StringIO()
    call_command("audit", "retain", "--months", "12", "--json", *options, stdout=output)
    return json.loads(output.getvalue())


def verify(organization: str = "acme") -> tuple[int, dict[str, Any]]:
    output, code = io.StringIO(), 0
    try:
        call_command("audit", "verify", "--organization", organization, "--json", "--jobs", "1", stdout=output)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    return code, json.loads(output.getvalue())[0]


def get_tree(organization: Organization) -> Tree:
    return Tree.objects.get(organization_id=organization.pk)


def test_retain_without_apply_changes_nothing(acme: Organization) -> None:
    due = retain()
    assert {"month": f"{OLD:%Y-%m}", "events": 31, "trees": 2}.items() <= due[0].items()
    assert AuditEvent.objects.filter(organization_id=acme.pk).count() == 61
    assert not RetentionStatement.objects.exists()


def test_retain_drops_the_month_and_leaves_a_statement(acme: Organization) -> None:
    retain("--apply")
    tree = get_tree(acme)
    assert AuditEvent.objects.filter(organization_id=acme.pk, type=EventType.CAPABILITY_INVOKED).count() == 0
    assert Leaf.objects.filter(tree=tree).count() == 61
    row = RetentionStatement.objects.get(tree=tree)
    statement = open_statement(row.note, tree.origin, get_verifier_keys(tree.origin))
    assert (statement.leaves, statement.head.size, statement.kept) == (((0, 20), (22, 30)), 61, "12 months")
    [event] = AuditEvent.objects.filter(organization_id=acme.pk, type=EventType.AUDIT_DROPPED)
    assert (event.details["statement"], event.details["events"]) == (row.note, 30)
    assert event.user_name == "manage.py audit retain"
    assert find_due(12) == []
    assert retain("--apply") == []
    for statement_sql in ("UPDATE audit_retentionstatement SET note = ''", "DELETE FROM audit_retentionstatement"):
        with pytest.raises(ProgrammingError, match="append-only"), connection.cursor() as cursor:
            cursor.execute(statement_sql)


def test_log_verifies_after_retain(acme: Organization) -> None:
    retain("--apply")
    seal()
    code, report = verify()
    assert (code, report["findings"]) == (0, [])
    assert (report["events"], report["dropped"], report["statements"], report["verified"]) == (32, 30, 1, 62)
    assert verify("globex")[0] == 0


def test_deleted_event_is_found_beside_a_dropped_month(acme: Organization, superuser: psycopg.Cursor[Any]) -> None:
    retain("--apply")
    superuser.execute("DELETE FROM audit_auditevent WHERE id = (SELECT event_id FROM audit_leaf WHERE index = 21)")
    code, report = verify()
    assert (code, [(found["kind"], found["index"]) for found in report["findings"]]) == (1, [("delete", 21)])


def test_month_dropped_without_a_statement_is_deletion(acme: Organization, superuser: psycopg.Cursor[Any]) -> None:
    superuser.execute(f"DROP TABLE audit_auditevent_{OLD:%Y_%m}")
    code, report = verify()
    assert (code, report["findings"][0]["kind"], report["findings"][0]["index"]) == (1, "delete", 0)


def make_forged(acme: Organization, key: Ed25519PrivateKey | None = None, **changes: Any) -> str:
    tree = get_tree(acme)
    [checkpoint] = tree.checkpoints.order_by("-size")[:1]
    head = open_checkpoint(checkpoint.note, get_verifier_keys(tree.origin))
    text = str(replace(Statement(head, "2020-01", ((0, 60),), "1 months", "me", "now"), **changes))
    return sign_note(text, tree.origin, [key]) if key is not None else sign_for_tree(text, tree.origin)


def test_forged_statements_hide_nothing(acme: Organization, superuser: psycopg.Cursor[Any]) -> None:
    """One with a key of somebody's own, one of another log, and a true one whose leaves were changed."""
    tree, other = get_tree(acme), Tree.objects.get(origin__endswith=str(Organization.objects.get(slug="globex").pk))
    superuser.execute(f"DROP TABLE audit_auditevent_{OLD:%Y_%m}")
    true = make_forged(acme, leaves=((0, 3),))
    forged = [make_forged(acme, Ed25519PrivateKey.generate()), true.replace("0-3", "0-9").replace(": 4", ": 10")]
    forged.append(sign_for_tree(str(open_statement(true, tree.origin, get_verifier_keys(tree.origin))), other.origin))
    for number, note in enumerate(forged):
        superuser.execute(
            "INSERT INTO audit_retentionstatement (tree_id, month, lower, upper, note) VALUES (%s, 'x', %s, %s, %s)",
            [tree.pk, UUID(int=number), UUID(int=number), note],
        )
    code, report = verify()
    kinds = {(found["kind"], found["index"]) for found in report["findings"]}
    assert code == 1
    assert kinds >= {("delete", index) for index in [*range(21), *range(22, 31)]}
    assert len([found for found in report["findings"] if "can't be trusted" in found["text"]]) == 3


def test_statement_covers_no_more_than_it_names(acme: Organization, superuser: psycopg.Cursor[Any]) -> None:
    superuser.execute(f"DROP TABLE audit_auditevent_{OLD:%Y_%m}")
    tree = get_tree(acme)
    superuser.execute(
        "INSERT INTO audit_retentionstatement (tree_id, month, lower, upper, note) VALUES (%s, 'x', %s, %s, %s)",
        [tree.pk, UUID(int=0), UUID(int=1), make_forged(acme, leaves=((0, 20), (23, 30)))],
    )
    code, report = verify()
    assert (code, [(found["kind"], found["index"]) for found in report["findings"]]) == (1, [("delete", 22)])


def test_event_in_a_dropped_range_that_is_there_must_still_fit(
    acme: Organization, superuser: psycopg.Cursor[Any]
) -> None:
    tree = get_tree(acme)
    superuser.execute(
        "INSERT INTO audit_retentionstatement (tree_id, month, lower, upper, note) VALUES (%s, 'x', %s, %s, %s)",
        [tree.pk, UUID(int=0), UUID(int=1), make_forged(acme, leaves=((0, 30),))],
    )
    assert verify()[0] == 0
    superuser.execute(
        "UPDATE audit_auditevent SET outcome = 'ok' WHERE id = (SELECT event_id FROM audit_leaf WHERE index = 5 "
        "AND tree_id = %s)",
        [tree.pk],
    )
    code, report = verify()
    assert (code, [(found["kind"], found["index"]) for found in report["findings"]]) == (1, [("edit", 5)])


def test_event_put_in_for_one_that_was_dropped_is_found(acme: Organization, superuser: psycopg.Cursor[Any]) -> None:
    tree, names = get_tree(acme), ", ".join(name for name in COLUMNS[VERSION] if name not in ("id", "call"))
    old = Leaf.objects.get(tree=tree, index=5)
    retain("--apply")
    superuser.execute(
        f"INSERT INTO audit_auditevent (id, call, {names}) SELECT %s, %s, {names} FROM audit_auditevent "
        "WHERE id = (SELECT event_id FROM audit_leaf WHERE tree_id = %s AND index = 40)",
        [old.event_id, old.event_id, tree.pk],
    )
    code, report = verify()
    assert (code, [(found["kind"], found["index"]) for found in report["findings"]]) == (1, [("edit", 5)])


def test_bundle_with_dropped_events_verifies_elsewhere(acme: Organization, tmp_path: Path) -> None:
    kept = get_checkpoint_file(get_tree(acme))
    retain("--apply")
    seal()
    folder = tmp_path / "bundle"
    call_command("audit", "export", "--organization", "acme", "--output", str(folder), stdout=io.StringIO())
    assert "32 events, all 62" in (said := verifier.verify_bundle(folder, kept=kept))
    assert "30 were dropped" in said
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(
        b"".join([*lines[:21], lines[20].replace(b'"index": 20', b'"index": 21'), *lines[22:]])
    )
    with pytest.raises(verifier.BundleError, match="event 21 is missing, and no signed statement"):
        verifier.verify_bundle(folder)
    (folder / "events.jsonl").write_bytes(b"".join(lines))
    statements = (folder / "statements").read_text()
    (folder / "statements").write_text(statements.replace("0-20 22-30", "0-30").replace("events: 30", "events: 31"))
    with pytest.raises(verifier.BundleError, match="can't be trusted"):
        verifier.verify_bundle(folder)
    (folder / "statements").unlink()
    with pytest.raises(verifier.BundleError, match="event 0 is missing"):
        verifier.verify_bundle(folder)


def test_month_with_unsealed_events_is_not_dropped(acme: Organization) -> None:
    record_old(acme, 99)
    with pytest.raises(CommandError, match="are in no tree"):
        retain("--apply")
    assert AuditEvent.objects.filter(organization_id=acme.pk, type=EventType.CAPABILITY_INVOKED).count() == 31
    assert not RetentionStatement.objects.exists()


def test_month_that_an_outlet_has_not_got_is_not_dropped(acme: Organization) -> None:
    [partition, *_] = find_due(12)
    options: dict[str, Any] = {"partition": partition, "months": 12, "sign": sign_for_tree, "actor": NOBODY}
    with pytest.raises(RetentionError, match="outlet"):
        drop_month(**options, outlets=["file"])
    outlet = Outlet.objects.create(name="file")
    for tree in Tree.objects.all():
        OutletPosition.objects.create(outlet=outlet, tree=tree, size=tree.size)
    assert len(drop_month(**options, outlets=["file"])) == 2


def test_outlet_that_begins_after_a_month_was_dropped_passes_it_over(acme: Organization) -> None:
    retain("--apply")
    seal()
    sent: list[int] = []

    class Collector:
        name = "collector"

        def send(self, batch: Any) -> None:
            sent.extend(range(batch.start, batch.start + len(batch.events)))

    stream_events(Collector(), seconds=5)
    stream_events(Collector(), seconds=5)
    tree = get_tree(acme)
    assert OutletPosition.objects.get(tree=tree).size == tree.size
    assert set(range(31, 62)) | {21} <= set(sent)


def test_content_of_dropped_calls_is_deleted(acme: Organization) -> None:
    key = PayloadKey.objects.create(organization_id=acme.pk, user_id=acme.pk, sealed_key=b"x")
    old = AuditEvent.objects.filter(organization_id=acme.pk, phase="requested").order_by("id")[0]
    call = Call(call=uuid7(), phase="requested")
    new = record_event(type=EventType.CAPABILITY_INVOKED, organization_id=acme.pk, call=call)
    for event in (old, new):
        Payload.objects.create(
            call=event.call, phase="requested", organization_id=acme.pk, key_id=key.pk, sealed=b"content"
        )
    with pytest.raises(ProgrammingError, match="only when"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_payload")
    retain("--apply")
    assert list(Payload.objects.values_list("call", flat=True)) == [new.call]


def test_doctor_names_months_that_are_due(acme: Organization, settings: Any) -> None:
    assert list(audit.examine_retention()) == []
    settings.AUDIT_MONTHS = 12
    [finding] = audit.examine_retention()
    assert (finding.level, f"{OLD:%Y-%m}" in finding.text) == (Level.WARNING, True)
    settings.AUDIT_MONTHS = 13
    assert [finding.level for finding in audit.examine_retention()] == [Level.OK]


def test_retain_needs_to_know_how_long(acme: Organization) -> None:
    with pytest.raises(CommandError, match="KONTEXT_AUDIT_MONTHS"):
        call_command("audit", "retain")
    with pytest.raises(CommandError, match="all organizations"):
        call_command("audit", "retain", "--months", "12", "--organization", "acme")
    assert any(partition.includes(make_key(OLD)) for partition in read_partitions())
