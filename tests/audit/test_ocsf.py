"""Every type is documented and mapped, and what comes out has what OCSF 1.3 requires of its class."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AuditEvent, Outcome
from audit.ocsf import OTHER, VOCABULARY, Class, to_ocsf
from audit.types import EventType
from orgs.ids import uuid7

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit-events.md"
# Of schema.ocsf.io, version 1.3.0: what a class requires beyond the base event, and the activities it knows.
REQUIRED: dict[Class, set[str]] = {
    Class.ACCOUNT_CHANGE: {"user"},
    Class.AUTHENTICATION: {"user", "service"},
    Class.ENTITY_MANAGEMENT: {"entity"},
    Class.USER_ACCESS: {"user", "privileges"},
    Class.API_ACTIVITY: {"actor", "api", "src_endpoint"},
}
ACTIVITIES: dict[Class, set[int]] = {
    Class.ACCOUNT_CHANGE: set(range(1, 13)),
    Class.AUTHENTICATION: set(range(1, 8)),
    Class.ENTITY_MANAGEMENT: {1, 2, 3, 4},
    Class.USER_ACCESS: {1, 2},
    Class.API_ACTIVITY: {1, 2, 3, 4},
}
BASE = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid", "status_id"}


def make_event(type_: str, **fields: Any) -> AuditEvent:
    now = timezone.now()
    return AuditEvent(type=type_, occurred_at=now, recorded_at=now, **fields)


def test_vocabulary_has_every_type() -> None:
    """A new type needs its line in audit/ocsf.py, and in docs/audit-events.md."""
    assert set(VOCABULARY) == set(EventType)


def test_page_says_what_the_code_says() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (\d+) \| (\d+)", PAGE.read_text(), re.MULTILINE)
    meant = {
        (type_.value, meaning.text, str(int(meaning.klass)), str(meaning.activity))
        for type_, meaning in VOCABULARY.items()
    }
    assert set(rows) == meant
    assert len(rows) == len(EventType)


@pytest.mark.parametrize("type_", list(EventType))
def test_event_has_what_its_class_requires(type_: EventType) -> None:
    bare, full = make_event(type_), make_event(type_, user_name="Alice", user_id=uuid7(), outcome="ok")
    for event in (bare, full):
        document = json.loads(json.dumps(to_ocsf(event)))
        klass = Class(document["class_uid"])
        assert set(document) >= BASE | REQUIRED[klass]
        assert all(document[name] for name in REQUIRED[klass] - {"actor"})
        assert document["category_uid"] == klass // 1000
        assert document["type_uid"] == klass * 100 + document["activity_id"]
        assert document["activity_id"] in ACTIVITIES[klass] | {OTHER}
        assert (document["activity_id"] == OTHER) == ("activity_name" in document)
        assert document["metadata"]["product"]["vendor_name"]


def test_call_says_who_called_what_for_whom() -> None:
    person, application, organization = uuid7(), uuid7(), uuid7()
    event = make_event(
        "capability.invoked",
        organization_id=organization,
        user_id=person,
        user_name="Alice Adams",
        application_id=application,
        application_name="PR-Bot",
        integration="github",
        capability="create_issue",
        request_id="request-1",
        source_address="192.0.2.7",
        phase="completed",
        outcome="ok",
        latency_us=12_500,
    )
    document = to_ocsf(event)
    assert document["api"]["operation"] == "github:create_issue"
    assert document["api"]["service"]["name"] == "github"
    assert document["actor"]["user"] == {"uid": str(person), "name": "Alice Adams"}
    assert (document["actor"]["app_name"], document["actor"]["app_uid"]) == ("PR-Bot", str(application))
    assert document["src_endpoint"] == {"ip": "192.0.2.7"}
    assert document["metadata"]["tenant_uid"] == str(organization)
    assert (document["duration"], document["status_id"], document["severity_id"]) == (12, 1, 1)


@pytest.mark.parametrize("outcome", [value for value, _ in Outcome.choices])
def test_outcome_is_a_status(outcome: str) -> None:
    document = to_ocsf(make_event("capability.invoked", outcome=outcome))
    expected = {"ok": 1, "": 0, "cancelled": OTHER}.get(outcome, 2)
    assert document["status_id"] == expected
    assert document["severity_id"] == {"denied": 3, "error_auth": 3, "error_remote": 2, "error_proxy": 2}.get(
        outcome, 1
    )


def test_type_of_a_later_release_is_passed_on() -> None:
    document = to_ocsf(make_event("moon.landed"))
    assert (document["class_uid"], document["metadata"]["event_code"]) == (3004, "moon.landed")
