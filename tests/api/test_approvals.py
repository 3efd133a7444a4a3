"""Approvals and requests for rules over the management API: the same rights as in the portal."""

from __future__ import annotations

import pytest

from audit.models import AuditEvent
from orgs.models import Application
from policy.models import Approval, Rule, RuleRequest
from tests.api.conftest import Api, assert_error, find_events, make_api
from tests.factories import Cast, make_rule
from tests.portal.test_approvals import ask, refuse

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(cast: Cast) -> Approval:
    make_rule(cast.acme, "org", "ask", klass="write")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    (approval,) = ask(cast)
    return approval


@pytest.fixture
def refused(cast: Cast) -> AuditEvent:
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    return refuse(cast)


def test_list_and_get_show_what_waits_with_its_arguments(waiting: Approval, carol: Api, alice: Api) -> None:
    (item,) = carol.get("/approvals", status="pending").json["items"]
    assert (item["id"], item["toolId"], item["layer"]) == (str(waiting.pk), "github:create_issue", "org")
    assert "arguments" not in item
    detail = carol.get(f"/approvals/{waiting.pk}").json["approval"]
    assert detail["arguments"]["repo"] == "acme/frontend"
    assert detail["code"] == waiting.code
    assert alice.get(f"/approvals/{waiting.pk}").json["approval"]["status"] == "pending"


def test_approve_stores_the_answer_and_erases_the_arguments(waiting: Approval, carol: Api) -> None:
    answer = carol.post(f"/approvals/{waiting.pk}/approve", {"scope": "period", "lifetime": "hour"})
    assert (answer.status, answer.json["approval"]["status"]) == (200, "approved")
    assert carol.get(f"/approvals/{waiting.pk}").json["approval"]["arguments"] is None
    (event,) = find_events("approval.approved")
    assert event.application_name == "Script"
    assert_error(carol.post(f"/approvals/{waiting.pk}/deny", {}), 409, "kontext_settled")
    assert carol.post(f"/approvals/{waiting.pk}/withdraw").json["approval"]["status"] == "withdrawn"


def test_deny_stores_why(waiting: Approval, carol: Api) -> None:
    answer = carol.post(f"/approvals/{waiting.pk}/deny", {"reason": "Not today"})
    assert (answer.json["approval"]["status"], answer.json["approval"]["answer"]) == ("denied", "Not today")


def test_answer_by_who_may_not_is_refused(cast: Cast, waiting: Approval, alice: Api, mallory: Api) -> None:
    body = {"scope": "once"}
    assert_error(alice.post(f"/approvals/{waiting.pk}/approve", body), 403, "kontext_forbidden")
    for stranger in (mallory, make_api(cast.acme, cast.bob)):
        assert_error(stranger.post(f"/approvals/{waiting.pk}/approve", body), 404, "kontext_not_found")
        assert stranger.get("/approvals").json["items"] == []
    assert Approval.objects.get().status == "pending"


def test_application_does_not_answer_what_is_asked_about_itself(cast: Cast, waiting: Approval, carol: Api) -> None:
    Application.objects.filter(pk=cast.pr_bot.pk).update(name="Script")
    Application.objects.filter(pk=carol.application.pk).delete()
    own = make_api(cast.acme, cast.carol)
    assert own.application.pk == cast.pr_bot.pk
    for action in ("approve", "deny", "withdraw"):
        body = {"scope": "once"} if action == "approve" else {} if action == "deny" else None
        assert_error(own.post(f"/approvals/{waiting.pk}/{action}", body), 403, "kontext_forbidden")
    assert Approval.objects.get().status == "pending"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "scope"),
        ({"scope": "forever"}, "scope"),
        ({"scope": "period"}, "lifetime"),
        ({"scope": "once", "x": 1}, "x"),
    ],
    ids=str,
)
def test_approve_with_bad_input_changes_nothing(
    waiting: Approval, carol: Api, body: dict[str, object], field: str
) -> None:
    assert_error(carol.post(f"/approvals/{waiting.pk}/approve", body), 400, "kontext_validation_error", field)
    assert Approval.objects.get().status == "pending"


def test_request_accept_and_decline(cast: Cast, refused: AuditEvent, alice: Api, carol: Api) -> None:
    made = [alice.post("/rule-requests", {"callId": str(refused.call), "change": n}) for n in (0, 1, 0)]
    assert [answer.status for answer in made] == [201] * 3
    assert RuleRequest.objects.count() == 2
    first, second = (answer.json["ruleRequest"] for answer in made[:2])
    assert {item["id"] for item in carol.get("/rule-requests", status="pending").json["items"]} == {
        first["id"],
        second["id"],
    }
    assert_error(alice.post(f"/rule-requests/{first['id']}/accept", {}), 403, "kontext_forbidden")
    conditions = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    accepted = carol.post(f"/rule-requests/{first['id']}/accept", {"conditions": conditions}).json["ruleRequest"]
    rule = Rule.objects.get(layer="org")
    assert (accepted["status"], accepted["ruleId"], rule.conditions) == ("accepted", str(rule.pk), conditions)
    assert_error(carol.post(f"/rule-requests/{second['id']}/decline", {}), 400, "kontext_validation_error", "reason")
    declined = carol.post(f"/rule-requests/{second['id']}/decline", {"reason": "No"}).json["ruleRequest"]
    assert (declined["status"], declined["answer"]) == ("declined", "No")
    assert alice.get(f"/rule-requests/{second['id']}").json["ruleRequest"]["answer"] == "No"
    assert_error(alice.post(f"/rule-requests/{second['id']}/withdraw"), 409, "kontext_settled")


def test_request_for_anothers_call_is_refused(cast: Cast, refused: AuditEvent, carol: Api, mallory: Api) -> None:
    for stranger in (carol, mallory):
        answer = stranger.post("/rule-requests", {"callId": str(refused.call), "change": 0})
        assert_error(answer, 400, "kontext_validation_error", "callId")
    assert not RuleRequest.objects.exists()
