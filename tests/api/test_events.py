"""Reading the audit trail: who sees which events, what filters find, and calls put together from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.keys import make_key
from audit.models import AuditEvent
from audit.services.record import Actor, Call, Subject, record_event
from orgs.ids import uuid7
from orgs.models import Organization, User
from orgs.services.erase_payloads import erase_payloads
from tests.api.conftest import Api, assert_error
from tests.factories import Cast, make_call

pytestmark = pytest.mark.django_db
DECISION: dict[str, Any] = {"effect": "allow", "deciding": None, "layers": []}


def record_call(
    cast: Cast, user: User, outcome: str = "ok", *, capability: str = "create_issue", **changes: Any
) -> UUID:
    """Record a call as the gateway does: a request and its end, or one denial. Pending when `outcome` is empty."""
    call = uuid7()
    phases = [("denied", outcome)] if outcome == "denied" else [("requested", ""), ("completed", outcome)]
    for phase, result in phases if outcome else phases[:1]:
        latency = None if phase == "requested" else 12_500
        record_event(
            type="capability.invoked",
            organization_id=changes.get("organization_id", cast.acme.pk),
            outcome=result,
            actor=Actor(
                user_id=user.pk,
                user_name=str(user),
                application_id=cast.pr_bot.pk,
                application_name="PR-Bot",
                session="session-1",
                request_id="request-1",
            ),
            subject=Subject(
                integration_id=cast.github.pk, integration="github", capability=capability, account="alice"
            ),
            call=Call(call=call, phase=phase, policy_version=7, decision=DECISION, latency_us=latency),
            occurred_at=changes.get("occurred_at"),
        )
    return call


def test_list_events_shows_what_was_recorded(cast: Cast, carol: Api) -> None:
    call = record_call(cast, cast.alice)
    answer = carol.get("/audit-events", callId=call)
    assert answer.status == 200, answer.text
    completed, requested = answer.json["items"]
    assert (requested["phase"], requested["outcome"]) == ("requested", "")
    assert (completed["phase"], completed["outcome"], completed["latencyUs"]) == ("completed", "ok", 12_500)
    assert completed["user"] == {"id": str(cast.alice.pk), "name": "Alice Adams"}
    assert completed["application"] == {"id": str(cast.pr_bot.pk), "name": "PR-Bot"}
    assert completed["integration"] == {"id": str(cast.github.pk), "name": "github"}
    assert (completed["capability"], completed["account"], completed["sessionId"]) == (
        "create_issue",
        "alice",
        "session-1",
    )
    assert (completed["decision"], completed["policyVersion"]) == (DECISION, 7)


def test_get_event_shows_one(cast: Cast, carol: Api, mallory: Api) -> None:
    record_call(cast, cast.alice, "denied")
    key = AuditEvent.objects.get(phase="denied").pk
    assert carol.get(f"/audit-events/{key}").json["event"]["outcome"] == "denied"
    assert_error(mallory.get(f"/audit-events/{key}"), 404, "kontext_not_found")
    assert_error(carol.get(f"/audit-events/{uuid4()}"), 404, "kontext_not_found")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"capability": "delete_repo"}, 1),
        ({"outcome": "denied"}, 1),
        ({"phase": "requested"}, 2),
        ({"type": "capability.invoked"}, 5),
        ({"type": "person.signed_in"}, 0),
        ({"sessionId": "session-1", "phase": "completed"}, 2),
        ({"requestId": "request-2"}, 0),
        ({"since": "2000-01-01T00:00:00Z", "phase": "requested"}, 2),
        ({"until": "2000-01-01T00:00:00Z"}, 0),
        ({"since": "2999-01-01T00:00:00Z"}, 0),
    ],
    ids=str,
)
def test_filter_events_narrows(cast: Cast, carol: Api, query: dict[str, str], expected: int) -> None:
    record_call(cast, cast.alice)
    record_call(cast, cast.bob, "error_remote")
    record_call(cast, cast.alice, "denied", capability="delete_repo")
    assert len(carol.get("/audit-events", **query).json["items"]) == expected


def test_filter_events_by_identifiers_narrows(cast: Cast, carol: Api) -> None:
    record_call(cast, cast.alice)
    record_call(cast, cast.bob)
    by = {"userId": cast.alice.pk, "applicationId": cast.pr_bot.pk, "integrationId": cast.github.pk}
    assert len(carol.get("/audit-events", userId=cast.alice.pk).json["items"]) == 2
    assert len(carol.get("/audit-events", **by).json["items"]) == 2
    assert carol.get("/audit-events", integrationId=cast.globex_github.pk).json["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"type": "everything"}, "type"),
        ({"outcome": "fine"}, "outcome"),
        ({"since": "yesterday"}, "since"),
        ({"until": "0000-00-00"}, "until"),
        ({"userId": "alice"}, "userId"),
        ({"capability": "x" * 256}, "capability"),
        ({"callId": "1"}, "callId"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_filter_that_is_not_understood_is_refused(carol: Api, query: dict[str, str], field: str) -> None:
    assert_error(carol.get("/audit-events", **query), 400, "kontext_validation_error", field)


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
def test_filter_by_any_time_there_is_answers(carol: Api, since: str) -> None:
    for path in ("/audit-events", "/traces", "/mcp-events"):
        assert carol.get(path, since=since, until=since).status == 200


def test_list_without_times_is_of_thirty_days(cast: Cast, carol: Api) -> None:
    long_ago = timezone.now() - dt.timedelta(days=40)
    old = record_call(cast, cast.alice, occurred_at=long_ago)
    new = record_call(cast, cast.alice)
    for path in ("/audit-events", "/mcp-events"):
        assert len(carol.get(path).json["items"]) == 2
        assert len(carol.get(path, since=(long_ago - dt.timedelta(days=1)).isoformat()).json["items"]) == 4
    assert [item["id"] for item in carol.get("/traces").json["items"]] == [str(new)]
    assert carol.get(f"/traces/{old}").status == 200
    assert len(carol.get("/audit-events", callId=old).json["items"]) == 2


def test_list_of_a_time_reads_the_keys_of_that_time_alone(cast: Cast, carol: Api) -> None:
    record_call(cast, cast.alice)
    with CaptureQueriesContext(connection) as queries:
        carol.get("/traces", since="2026-01-01T00:00:00Z", until="2026-01-02T00:00:00Z")
    [listing] = [query["sql"] for query in queries if "ORDER BY" in query["sql"] and "audit_auditevent" in query["sql"]]
    hour = dt.timedelta(hours=1)  # by which clocks may differ
    assert make_key(dt.datetime(2026, 1, 1, tzinfo=dt.UTC) - hour).hex in listing.replace("-", "")
    assert make_key(dt.datetime(2026, 1, 2, tzinfo=dt.UTC) + hour).hex in listing.replace("-", "")


@pytest.mark.parametrize(
    ("role", "sees"), [("owner", 2), ("admin", 2), ("auditor", 2), ("policy_author", 0), ("member", 0)]
)
def test_role_decides_whether_others_events_are_seen(
    with_role: Callable[[str], Api], cast: Cast, role: str, sees: int
) -> None:
    call = record_call(cast, cast.alice)
    client = with_role(role)
    assert len(client.get("/audit-events", type="capability.invoked").json["items"]) == sees
    assert len(client.get("/traces").json["items"]) == sees / 2
    assert client.get(f"/traces/{call}").status == (200 if sees else 404)
    assert client.get("/traces/stats").json["stats"]["total"] == sees / 2


def test_member_sees_their_own_events_alone(cast: Cast, alice: Api) -> None:
    mine, others = record_call(cast, cast.alice), record_call(cast, cast.bob)
    assert [item["id"] for item in alice.get("/traces").json["items"]] == [str(mine)]
    assert alice.get(f"/traces/{mine}").status == 200
    assert_error(alice.get(f"/traces/{others}"), 404, "kontext_not_found")
    assert "Bob Brown" not in alice.get("/audit-events").text


def test_other_organization_sees_nothing(cast: Cast, mallory: Api) -> None:
    call = record_call(cast, cast.alice)
    assert mallory.get("/traces").json["items"] == []
    assert mallory.get("/mcp-events").json["items"] == []
    assert_error(mallory.get(f"/traces/{call}"), 404, "kontext_not_found")
    assert mallory.get("/traces/stats", period="30d").json["stats"]["total"] == 0


def test_list_traces_shows_a_call_as_one(cast: Cast, carol: Api) -> None:
    done = record_call(cast, cast.alice)
    failed = record_call(cast, cast.alice, "error_remote")
    denied = record_call(cast, cast.alice, "denied", capability="delete_repo")
    pending = record_call(cast, cast.alice, "")
    items = carol.get("/traces").json["items"]
    assert [item["id"] for item in items] == [str(pending), str(denied), str(failed), str(done)]
    assert [item["status"] for item in items] == [None, "warn", "error_remote", "ok"]
    assert [item["outcome"] for item in items] == ["", "denied", "error_remote", "ok"]
    assert [item["durationMs"] for item in items] == [None, 12.5, 12.5, 12.5]
    assert [item["completedAt"] is None for item in items] == [True, False, False, False]
    assert items[1]["toolId"] == "github:delete_repo"


def test_list_traces_by_outcome_looks_at_how_each_ended(cast: Cast, carol: Api) -> None:
    done = record_call(cast, cast.alice)
    record_call(cast, cast.alice, "error_remote")
    denied = record_call(cast, cast.alice, "denied")
    assert [item["id"] for item in carol.get("/traces", outcome="ok").json["items"]] == [str(done)]
    assert [item["id"] for item in carol.get("/traces", outcome="denied").json["items"]] == [str(denied)]
    assert carol.get("/traces", outcome="cancelled").json["items"] == []


def test_traces_page_by_calls_not_by_events(cast: Cast, carol: Api) -> None:
    calls = [str(record_call(cast, cast.alice)) for _ in range(5)]
    first = carol.get("/traces", limit=2, outcome="ok").json
    second = carol.get("/traces", limit=2, outcome="ok", cursor=first["nextCursor"]).json
    third = carol.get("/traces", limit=2, outcome="ok", cursor=second["nextCursor"]).json
    shown = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert shown == calls[::-1]
    assert third["nextCursor"] is None


def test_get_trace_shows_its_events_and_the_decision(cast: Cast, carol: Api) -> None:
    call = record_call(cast, cast.alice)
    trace = carol.get(f"/traces/{call}").json["trace"]
    assert [event["phase"] for event in trace["events"]] == ["requested", "completed"]
    assert (trace["decision"], trace["policyVersion"], trace["status"]) == (DECISION, 7, "ok")


def test_mcp_events_have_the_hosted_names(cast: Cast, carol: Api) -> None:
    call = record_call(cast, cast.alice)
    record_call(cast, cast.alice, "denied")
    items = carol.get("/mcp-events").json["items"]
    assert [item["status"] for item in items] == ["warn", "ok", None]
    assert items[1]["traceId"] == str(call)
    assert (items[1]["toolId"], items[1]["durationMs"]) == ("github:create_issue", 12.5)
    assert [item["phase"] for item in carol.get("/mcp-events", status="warn").json["items"]] == ["denied"]
    assert_error(carol.get("/mcp-events", status="fine"), 400, "kontext_validation_error", "status")


def test_stats_count_calls_once(cast: Cast, carol: Api) -> None:
    for outcome in ("ok", "ok", "denied", "error_remote", "cancelled", ""):
        record_call(cast, cast.alice, outcome)
    record_call(cast, cast.alice, "ok", capability="list_issues", occurred_at=timezone.now() - dt.timedelta(days=40))
    stats = carol.get("/traces/stats").json["stats"]
    assert {name: stats[name] for name in ("total", "ok", "denied", "failed", "cancelled", "pending")} == {
        "total": 6,
        "ok": 2,
        "denied": 1,
        "failed": 1,
        "cancelled": 1,
        "pending": 1,
    }
    assert (stats["durationMsP50"], stats["durationMsP95"]) == (12.5, 12.5)
    assert sum(bucket["total"] for bucket in stats["buckets"]) == 6
    assert stats["applications"] == [
        {"id": str(cast.pr_bot.pk), "name": "PR-Bot", "total": 6, "denied": 1, "failed": 1}
    ]
    assert stats["capabilities"][0]["name"] == "github:create_issue"


def test_stats_of_nothing_are_zero(carol: Api) -> None:
    for period in ("1d", "7d", "30d"):
        stats = carol.get("/traces/stats", period=period).json["stats"]
        assert (stats["total"], stats["durationMsP50"], stats["buckets"]) == (0, None, [])
    assert_error(carol.get("/traces/stats", period="1y"), 400, "kontext_validation_error", "period")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_log_can_only_be_read(cast: Cast, carol: Api, method: str) -> None:
    record_call(cast, cast.alice)
    key = AuditEvent.objects.filter(type="capability.invoked").first()
    assert key is not None
    assert_error(carol.call(method, f"/audit-events/{key.pk}", {}), 405, "kontext_method_not_allowed")
    assert AuditEvent.objects.filter(pk=key.pk).exists()


def test_events_of_the_installation_belong_to_nobody(cast: Cast, carol: Api) -> None:
    record_event(type="key.rotated", organization_id=None)
    assert Organization.objects.exists()
    assert carol.get("/audit-events", type="key.rotated").json["items"] == []


def test_payload_is_for_administrators_and_the_person_and_is_recorded(
    cast: Cast, carol: Api, alice: Api, mallory: Api
) -> None:
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content={"arguments": {"title": "zq-mine"}})
    path = f"/audit-events/{event.pk}/payload"
    expected = {
        "eventId": str(event.pk),
        "level": "full",
        "isCut": False,
        "content": {"arguments": {"title": "zq-mine"}},
    }
    for client in (carol, alice):
        assert client.get(path).json["payload"] == expected
    assert_error(mallory.get(path), 404, "kontext_not_found")
    viewers = AuditEvent.objects.filter(type="payload.viewed").order_by("id").values_list("user_id", flat=True)
    assert list(viewers) == [cast.carol.pk, cast.alice.pk]
    assert "zq-mine" not in carol.get(f"/audit-events/{event.pk}").text


def test_payload_is_not_for_auditors(cast: Cast, with_role: Callable[[str], Api]) -> None:
    auditor = with_role("auditor")
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content={"arguments": {"title": "zq-mine"}})
    assert auditor.get(f"/audit-events/{event.pk}").status == 200
    assert_error(auditor.get(f"/audit-events/{event.pk}/payload"), 403, "kontext_forbidden")


def test_payload_that_is_not_there_says_why(cast: Cast, carol: Api) -> None:
    without = make_call(cast.pr_bot, cast.alice, cast.create_issue)
    assert_error(carol.get(f"/audit-events/{without.pk}/payload"), 404, "kontext_not_found")
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content={"arguments": {}})
    erase_payloads(organization=cast.acme, user=cast.alice)
    assert_error(carol.get(f"/audit-events/{event.pk}/payload"), 404, "kontext_payload_erased")
