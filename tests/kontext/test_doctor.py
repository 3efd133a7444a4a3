"""`manage.py doctor`: every finding says what mends it, and looking changes nothing."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.test import override_settings
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEvent, Checkpoint, Outlet, OutletPosition, Tree
from audit.services.record import record_event
from audit.services.seal import seal_events
from kontext.doctor import audit, outlets, processes, security, servers
from kontext.doctor.findings import Finding, Level
from orgs.models import User
from orgs.services.checkpoint_keys import sign_checkpoint
from orgs.services.publish_checkpoints import publish_checkpoints
from orgs.services.rotate_signing_keys import get_or_create_active_signing_key
from orgs.vault import forget_keys
from tests.e2e.processes import free_port

pytestmark = pytest.mark.django_db
LONG_AGO = timezone.now() - dt.timedelta(hours=1)


def levels(findings: list[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    """An installation of which nothing but the database runs."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings.DATA_DIR, settings.STATIC_ROOT = tmp_path / "data", tmp_path / "static"
    settings.PUBLIC_URL = settings.GATEWAY_URL = nowhere
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    return settings


def run_doctor(*arguments: str) -> tuple[int, str]:
    output = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=output)
    except SystemExit as ended:
        return int(ended.code or 0), output.getvalue()
    return 0, output.getvalue()


def test_doctor_where_nothing_runs_fails_and_says_what_mends_each(elsewhere: Settings) -> None:
    code, output = run_doctor("--json")
    found = json.loads(output)
    broken = {finding["subject"] for finding in found["findings"] if finding["level"] == "error"}
    assert code == 1
    assert broken >= {"Valkey", "Web", "Gateway", "Worker", "Static files"}
    assert found["errors"] == sum(finding["level"] == "error" for finding in found["findings"])
    assert all(finding["fix"] for finding in found["findings"] if finding["level"] != "ok")
    assert not elsewhere.DATA_DIR.exists()


def test_doctor_for_people_is_plain_text_where_nobody_watches(elsewhere: Settings) -> None:
    _, output = run_doctor()
    assert "\x1b" not in output
    assert "→ manage.py up" in output
    assert output.rstrip().splitlines()[-1].split(" ")[1] == "problems,"


def test_examine_database_finds_it_migrated() -> None:
    assert levels(list(servers.examine_database())) == [Level.OK, Level.OK]


def test_examine_database_that_is_away_says_so_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise DatabaseError("connection to server at 10.0.0.1 failed:\n  Connection refused")

    monkeypatch.setattr(servers, "_ask_database", fail)
    monkeypatch.setenv("DATABASE_URL", "postgresql://kontext:hidden-password@10.0.0.1/kontext")
    (finding,) = servers.examine_database()
    assert finding.level is Level.ERROR
    assert "DATABASE_URL" in finding.fix
    assert "hidden-password" not in str(finding)


def test_examine_queue_finds_a_server_that_answers(valkey: str) -> None:
    assert levels(list(servers.examine_queue())) == [Level.OK]


def test_examine_worker_without_queue_does_not_wait_for_it(elsewhere: Settings) -> None:
    assert levels(list(processes.examine_worker())) == [Level.ERROR]


def test_examine_root_key_that_the_database_was_not_made_with_is_an_error(settings: Settings) -> None:
    get_or_create_active_signing_key()
    assert levels(list(security.examine_root_key())) == [Level.OK]
    settings.ROOT_KEY = "A" * 43 + "="
    forget_keys()
    (finding,) = security.examine_root_key()
    assert finding.level is Level.ERROR
    assert settings.ROOT_KEY not in str(finding)
    forget_keys()


def test_examine_root_key_that_others_can_read_is_an_error(settings: Settings, tmp_path: Path) -> None:
    settings.ROOT_KEY_FILE = tmp_path / "root.key"
    settings.ROOT_KEY_FILE.write_text("A" * 43 + "=\n")
    settings.ROOT_KEY_FILE.chmod(0o644)
    forget_keys()
    assert f"chmod 600 {settings.ROOT_KEY_FILE}" in [finding.fix for finding in security.examine_root_key()]
    forget_keys()


def test_examine_administrators_asks_for_the_first_one() -> None:
    assert levels(list(security.examine_administrators())) == [Level.WARNING]
    User.objects.create_superuser("carol", "correct horse battery")
    assert levels(list(security.examine_administrators())) == [Level.OK]


@override_settings(PUBLIC_URL="http://kontext.example.com", GATEWAY_URL="http://gateway.example.com")
def test_examine_deployment_warns_of_what_is_insecure_for_others() -> None:
    found = list(security.examine_deployment())
    assert any("kontext.W001" in finding.text and "KONTEXT_PUBLIC_URL" in finding.fix for finding in found)


def test_examine_deployment_on_loopback_is_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")  # for tests alone, and rightly complained about
    assert levels(list(security.examine_deployment())) == [Level.OK]


def test_examine_sealing_says_when_it_is_behind() -> None:
    record_event(type="person.signed_in", organization_id=None)
    assert levels(list(audit.examine_sealing())) == [Level.OK]
    AuditEvent(type="person.signed_in", occurred_at=LONG_AGO, recorded_at=LONG_AGO).save(force_insert=True)
    [finding] = audit.examine_sealing()
    assert finding.level is Level.ERROR
    assert "sealing is behind" in finding.text
    seal_events(sign=sign_checkpoint)
    assert levels(list(audit.examine_sealing())) == [Level.OK]


def test_examine_checkpoints_says_when_none_is_published(elsewhere: Settings) -> None:
    elsewhere.CHECKPOINT_DIR = elsewhere.DATA_DIR / "checkpoints"
    record_event(type="person.signed_in", organization_id=None)
    seal_events(sign=sign_checkpoint)
    assert list(audit.examine_checkpoints()) == []  # it is not due yet
    tree = Tree.objects.get()
    Checkpoint.objects.create(tree=tree, size=9, note="", sealed_at=LONG_AGO)
    assert levels(list(audit.examine_checkpoints())) == [Level.ERROR]
    publish_checkpoints()
    assert levels(list(audit.examine_checkpoints())) == [Level.OK]
    elsewhere.PUBLIC_URL = "https://kontext.example"
    assert levels(list(audit.examine_checkpoints())) == [Level.OK, Level.WARNING]
    elsewhere.CHECKPOINT_DIR = elsewhere.DATA_DIR.parent / "kept"
    assert levels(list(audit.examine_checkpoints())) == [Level.OK]


def test_examine_outlets_says_which_is_behind_and_what_it_answered(settings: Settings) -> None:
    settings.EVENT_STREAM_FILE, settings.EVENT_STREAM_URL = "/somewhere", "https://collector.test/"
    record_event(type="person.signed_in", organization_id=None, outcome="ok")
    seal_events(sign=sign_checkpoint)
    assert levels(list(outlets.examine_outlets())) == [Level.OK, Level.OK]  # just sealed
    tree = Tree.objects.get()
    OutletPosition.objects.create(outlet=Outlet.objects.create(name="file"), tree=tree, size=1)
    OutletPosition.objects.create(
        outlet=Outlet.objects.create(name="http"),
        tree=tree,
        failing_since=LONG_AGO,
        failures=9,
        error="it answered 403",
    )
    file, http = outlets.examine_outlets()
    assert (file.level, http.level) == (Level.OK, Level.ERROR)
    assert "http is behind by 1 events since" in http.text
    assert "it answered 403" in http.text
