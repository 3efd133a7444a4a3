"""Kontext as witness of Kontext: what one sends over HTTP the other one answers, each by its own state."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from pytest_django import Settings

from audit.models import AuditEvent, Cosignature, OutletPosition, Tree, WitnessedLog
from audit.notes import open_checkpoint, read_cosignatures
from audit.services.seal import seal_events
from kontext.doctor import outlets as doctor
from orgs import outbound, tasks
from orgs.limits import Limit
from orgs.outbound import OutboundError, OutboundResponse
from orgs.outlets.checkpoints import get_checkpoint_outlets
from orgs.services.checkpoint_keys import get_verifier_keys, sign_checkpoint
from orgs.services.give_checkpoints import give_checkpoints
from orgs.services.witness_key import get_witness_key
from orgs.witness import views
from tests.audit.trees import ACME, GLOBEX, record
from tests.audit.witnessed import Log
from tests.outlets.collectors import retry_now

pytestmark = pytest.mark.django_db
PREFIX = "https://witness.test/witness"


class Wire:
    """Carries what the log sends to the witness's own URLs, unless it is cut."""

    def __init__(self) -> None:
        self.is_cut = False
        self.statuses: list[int] = []

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> OutboundResponse:
        if self.is_cut:
            raise OutboundError("no answer")
        assert url == f"{PREFIX}/add-checkpoint"
        answer = Client().generic(method, "/witness/add-checkpoint", body or b"", headers["Content-Type"])
        self.statuses.append(answer.status_code)
        return OutboundResponse(answer.status_code, dict(answer.headers), answer.content)


@pytest.fixture
def wire(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wire:
    settings.WITNESS_LOGS = str(tmp_path / "logs")
    settings.WITNESSES = f"{PREFIX}/ {get_witness_key()}"
    (tmp_path / "logs").write_text("# those we watch\n")
    wire = Wire()
    monkeypatch.setattr(outbound, "_transports", [wire])
    return wire


def grow(count: int, organization_id: UUID = ACME) -> Tree:
    record(count, organization_id=organization_id)
    seal_events(sign=sign_checkpoint)
    return Tree.objects.get(organization_id=organization_id)


def trust(tree: Tree, settings: Settings) -> None:
    with Path(settings.WITNESS_LOGS).open("a") as file:
        file.writelines(f"{key}\n" for key in get_verifier_keys(tree.origin))


def give() -> int:
    [outlet] = get_checkpoint_outlets().values()
    return give_checkpoints(outlet, seconds=10)


def test_give_has_each_newest_checkpoint_cosigned_and_keeps_it(wire: Wire, settings: Settings) -> None:
    trust(grow(3), settings)
    assert give() == 1
    grow(2)
    tree = grow(4)
    assert give() == 1
    assert give() == 0
    assert wire.statuses == [200, 200]
    kept = [(row.checkpoint.size, row.checkpoint.note + row.line) for row in Cosignature.objects.order_by("id")]
    assert [size for size, _ in kept] == [3, 9]
    for size, note in kept:
        assert [signature.witness for signature in read_cosignatures(note, [get_witness_key()])] == [get_witness_key()]
        assert open_checkpoint(note, get_verifier_keys(tree.origin)).size == size
    assert WitnessedLog.objects.get().size == 9


def test_give_of_several_organizations_keeps_their_logs_apart(wire: Wire, settings: Settings) -> None:
    trust(grow(3), settings)
    trust(grow(2, GLOBEX), settings)
    assert give() == 2
    assert set(WitnessedLog.objects.values_list("size", flat=True)) == {2, 3}


def test_give_that_forgot_what_was_signed_is_told(wire: Wire, settings: Settings) -> None:
    """The answer was lost, or our position was: the witness says how far it is."""
    trust(grow(3), settings)
    give()
    OutletPosition.objects.all().delete()
    grow(4)
    assert give() == 1
    assert wire.statuses == [200, 409, 200]
    assert WitnessedLog.objects.get().size == 7


def test_give_of_the_same_checkpoint_again_is_harmless(wire: Wire, settings: Settings) -> None:
    trust(grow(3), settings)
    give()
    OutletPosition.objects.update(size=0)
    assert give() == 1
    assert Cosignature.objects.count() == 1


def test_give_of_a_rewritten_history_is_refused_and_recorded(wire: Wire, settings: Settings) -> None:
    trust(grow(3), settings)
    give()
    _rewrite()
    grow(2)
    assert give() == 0
    assert "another history" in OutletPosition.objects.get().error
    assert WitnessedLog.objects.get().size == 3
    event = AuditEvent.objects.get(type="witness.refused")
    assert (event.outcome, event.organization_id) == ("denied", None)
    assert event.details["note"].startswith(event.details["name"])
    assert not Cosignature.objects.exists()


def test_give_of_a_database_that_was_put_back_is_refused(wire: Wire, settings: Settings) -> None:
    tree = grow(3)
    trust(tree, settings)
    give()
    WitnessedLog.objects.update(size=10)  # it has seen more of us than we know of
    OutletPosition.objects.update(size=0)
    assert give() == 0
    assert "put back to an older state" in OutletPosition.objects.get().error


def test_give_to_a_witness_that_does_not_know_us_is_tried_again(wire: Wire, settings: Settings) -> None:
    tree = grow(3)
    assert give() == 0
    assert OutletPosition.objects.get().error.endswith("answered HTTP 404")
    trust(tree, settings)
    retry_now()
    assert give() == 1


def test_give_while_nobody_answers_goes_on_later(wire: Wire, settings: Settings) -> None:
    trust(grow(3), settings)
    wire.is_cut = True
    tasks.give_to(next(iter(get_checkpoint_outlets())))
    wire.is_cut = False
    retry_now()
    assert give() == 1


@pytest.mark.parametrize("answer", [b"", b"hello\n", b"\xe2\x80\x94 witness.test/x AAAABBBBCCCC\n"])
def test_answer_without_the_cosignature_is_none(
    wire: Wire, settings: Settings, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    trust(grow(3), settings)
    monkeypatch.setattr(outbound, "_transports", [lambda *_, **__: OutboundResponse(200, {}, answer)])
    assert give() == 0
    assert not Cosignature.objects.exists()
    assert OutletPosition.objects.get().error


def test_witness_answers_as_the_protocol_has_it(wire: Wire, settings: Settings) -> None:
    log = Log()
    Path(settings.WITNESS_LOGS).write_text(f"{log.verifier}\n")

    def post(body: bytes) -> Any:
        return Client(enforce_csrf_checks=True).generic("POST", "/witness/add-checkpoint", body)

    good = post(log.submit(0, 3).encode())
    assert (good.status_code, good.content.decode()[:2]) == (200, "— ")
    conflict = post(log.submit(0, 3).encode())
    assert (conflict.status_code, conflict.content, conflict["Content-Type"]) == (409, b"3\n", "text/x.tlog.size")
    assert post(Log("stranger.test/x").submit(0, 3).encode()).status_code == 404
    assert post(Log(log.origin).submit(3, 4).encode()).status_code == 403
    assert post(log.fork().submit(3, 4).encode()).status_code == 422
    malformed = post(b"hello")
    assert (malformed.status_code, malformed.json()["code"]) == (400, "kontext_witness_malformed")
    assert malformed.json()["requestId"] == malformed["X-Request-ID"]
    assert post(b"x" * 400_001).status_code == 413
    assert Client().get("/witness/add-checkpoint").status_code == 405
    assert WitnessedLog.objects.get().size == 3


def test_witness_keeps_evidence_and_not_too_much_of_it(
    wire: Wire, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log("often.test/log")
    Path(settings.WITNESS_LOGS).write_text(f"{log.verifier}\n")
    monkeypatch.setattr(views, "REFUSALS", Limit("witness-refusals-tested", uses=2, seconds=3600))
    Client().generic("POST", "/witness/add-checkpoint", log.submit(0, 3).encode())
    for _ in range(4):
        answer = Client().generic("POST", "/witness/add-checkpoint", log.fork().submit(3, 4).encode())
        assert answer.status_code == 422
    assert AuditEvent.objects.filter(type="witness.refused").count() == 2


def test_witness_shows_the_newest_checkpoint_of_a_log(wire: Wire, settings: Settings) -> None:
    tree = grow(3)
    trust(tree, settings)
    address = f"/witness/{hashlib.sha256(tree.origin.encode()).hexdigest()}/checkpoint"
    assert Client().get(address).status_code == 404
    give()
    note = Client().get(address).content.decode()
    assert open_checkpoint(note, get_verifier_keys(tree.origin)).size == 3
    assert read_cosignatures(note, [get_witness_key()])


def test_witness_that_is_asked_too_often_says_when_to_come_back(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "record_use", lambda *_: 7)
    answer = Client().post("/witness/add-checkpoint")
    assert (answer.status_code, answer["Retry-After"]) == (429, "7")


def test_witness_whose_file_is_wrong_signs_nothing(wire: Wire, settings: Settings) -> None:
    Path(settings.WITNESS_LOGS).write_text("no key\n")
    answer = Client().generic("POST", "/witness/add-checkpoint", Log().submit(0, 3).encode())
    assert answer.status_code == 503
    assert not WitnessedLog.objects.exists()


@pytest.mark.parametrize("statement", ["UPDATE audit_cosignature SET line = ''", "DELETE FROM audit_cosignature"])
def test_cosignatures_can_not_be_changed(wire: Wire, settings: Settings, statement: str) -> None:
    trust(grow(3), settings)
    give()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_doctor_says_what_a_witness_answered(wire: Wire, settings: Settings) -> None:
    grow(3)
    give()
    position = OutletPosition.objects.get()
    position.failing_since = position.failing_since and position.failing_since.replace(year=2020)
    position.save()
    found = [finding.text for finding in doctor.examine_outlets() if "witness" in finding.text]
    assert any("answered HTTP 404" in text for text in found)


def test_bucket_gets_checkpoints_and_keys(bucket: Any, settings: Settings) -> None:
    settings.CHECKPOINT_S3, settings.WITNESSES = "s3://acme-audit/heads", ""
    tree = grow(3)
    assert give() == 1
    objects = {found.key: found.get()["Body"].read().decode() for found in bucket.objects.all()}
    note = objects[f"heads/{ACME}/0000000000000003.checkpoint"]
    assert open_checkpoint(note, get_verifier_keys(tree.origin)).size == 3
    assert objects[f"heads/{ACME}/keys"] == f"{get_verifier_keys(tree.origin)[0]}\n"


def _rewrite() -> None:
    """Make the tree anew over other events, as the database's owner with our own signing key."""
    tables = [f"audit_{name}" for name in ("tree", "leaf", "node", "checkpoint", "cosignature", "auditevent")]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_auditevent SET user_name = 'Mallory'")
        cursor.execute("DELETE FROM audit_leaf")
        cursor.execute("DELETE FROM audit_node")
        cursor.execute("UPDATE audit_tree SET size = 0, frontier = ''")
        cursor.execute("DELETE FROM audit_cosignature")
        cursor.execute("DELETE FROM audit_checkpoint")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    seal_events(sign=sign_checkpoint)
