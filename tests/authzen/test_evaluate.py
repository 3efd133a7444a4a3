"""One decision over AuthZEN: what it says, to whom, and what it refuses to take."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from connections.models import Capability
from orgs.models import Identity, IdentityProvider, IssuedToken, Membership
from orgs.oauth.resources import get_management_resource
from tests.authzen.client import Pdp, make_pdp
from tests.factories import Cast, issue_token, make_application, make_member, make_rule


def ask(cast: Cast, **changes: Any) -> dict[str, Any]:
    """Return the story's question: may PR-Bot create an issue in acme/frontend for Alice?"""
    question: dict[str, Any] = {
        "subject": {"type": "user", "id": str(cast.alice.pk)},
        "action": {"name": "tools/call", "properties": {"repo": "acme/frontend"}},
        "resource": {"type": "tool", "id": "github:create_issue"},
    }
    return {**question, **changes}


def test_evaluate_allowed_call_answers_true(cast: Cast, pdp: Pdp) -> None:
    answer = pdp.evaluate(ask(cast))
    assert answer.decision is True
    explanation = answer.json["context"]["kontext"]["explanation"]
    assert [layer["verdict"] for layer in explanation["layers"]] == ["allow", "allow", "allow"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert not AuditEvent.objects.filter(type__startswith="management").exists()


def test_evaluate_denied_call_explains_to_person_and_administrator(cast: Cast, pdp: Pdp) -> None:
    answer = pdp.evaluate(ask(cast, action={"name": "tools/call", "properties": {"repo": "acme/secret-plans"}}))
    assert answer.decision is False
    context = answer.json["context"]
    assert context["kontext"]["code"] == "kontext_policy_denied"
    assert context["kontext"]["explanation"]["deciding"] == "application"
    assert context["reason_user"]["403"].startswith("Denied by the application layer")
    assert "could add the rule" in context["reason_admin"]["403"]
    assert "acme/secret-plans" not in json.dumps(answer.json)


def test_evaluate_call_that_needs_approval_answers_false_and_says_so(cast: Cast, pdp: Pdp) -> None:
    make_rule(cast.acme, "org", "ask", integration=cast.github, capability="create_issue", reason="Somebody looks")
    answer = pdp.evaluate(ask(cast))
    assert answer.decision is False
    assert answer.json["context"]["kontext"]["code"] == "kontext_approval_required"
    assert "Somebody looks" in answer.json["context"]["reason_user"]["403"]


def test_evaluate_after_rule_changed_decides_by_the_new_rule(cast: Cast, pdp: Pdp) -> None:
    assert pdp.evaluate(ask(cast)).decision is True
    rule = make_rule(cast.acme, "org", "deny", capability="create_issue")
    assert pdp.evaluate(ask(cast)).decision is False
    rule.delete()
    assert pdp.evaluate(ask(cast)).decision is True


def test_evaluate_by_subject_at_the_identity_provider_finds_the_person(cast: Cast, pdp: Pdp) -> None:
    IdentityProvider.objects.create(organization=cast.acme, name="SSO", issuer="https://idp.test", client_id="kontext")
    Identity.objects.create(user=cast.alice, issuer="https://idp.test", subject="alice")
    Identity.objects.create(user=cast.mallory, issuer="https://elsewhere.test", subject="mallory")
    Identity.objects.create(user=cast.bob, issuer="https://elsewhere.test", subject="bob")
    assert pdp.evaluate(ask(cast, subject={"type": "user", "id": "alice"})).decision is True
    for unknown in ("mallory", "bob", "Alice", "alice@acme.test", "", " alice"):
        answer = pdp.evaluate(ask(cast, subject={"type": "user", "id": unknown}))
        assert answer.status == 400 if not unknown else answer.decision is False, unknown


def test_evaluate_for_application_on_its_own_leaves_the_user_layer_out(cast: Cast, pdp: Pdp) -> None:
    subject = {"type": "application", "id": cast.pr_bot.client_id}
    assert pdp.evaluate(ask(cast, subject=subject)).decision is False
    make_rule(cast.acme, "org", "allow", application=cast.pr_bot)
    assert pdp.evaluate(ask(cast, subject=subject)).decision is True


def test_evaluate_with_agent_asks_about_that_application(cast: Cast, pdp: Pdp) -> None:
    triage = make_application(cast.acme, "Triage")
    assert pdp.evaluate(ask(cast, context={"agent": cast.pr_bot.client_id})).decision is True
    for agent in (triage.client_id, str(triage.pk), cast.spy_bot.client_id, "app_nobody"):
        assert pdp.evaluate(ask(cast, context={"agent": agent})).decision is False


def test_evaluate_reads_time_and_address_from_context(cast: Cast, pdp: Pdp) -> None:
    inside = {"context": "network", "value": ["10.0.0.0/8"]}
    morning = {"context": "time", "zone": "UTC", "until": "12:00"}
    make_rule(cast.acme, "org", "deny", conditions={"unless": {"all": [inside, morning]}})
    assert pdp.evaluate(ask(cast)).decision is False
    context = {"time": "2026-11-25T10:30:00+01:00", "ip": "10.1.2.3", "anything": [1]}
    assert pdp.evaluate(ask(cast, context=context)).decision is True
    assert pdp.evaluate(ask(cast, context={**context, "time": "2026-11-25T14:00:00+01:00"})).decision is False
    assert pdp.evaluate(ask(cast, context={**context, "ip": "192.0.2.1"})).decision is False


@pytest.mark.parametrize("state", ["suspended", "held", "removed", "disallowed", "disabled"])
def test_evaluate_what_can_not_be_used_answers_false(cast: Cast, pdp: Pdp, state: str) -> None:
    assert pdp.evaluate(ask(cast)).decision is True
    match state:
        case "suspended":
            Membership.objects.filter(user=cast.alice).update(status="suspended")
        case "held" | "removed":
            Capability.objects.filter(pk=cast.create_issue.pk).update(status=state)
        case "disallowed":
            cast.pr_bot.application_integrations.all().delete()
        case "disabled":
            cast.github.status = "disabled"
            cast.github.save()
    answer = pdp.evaluate(ask(cast))
    assert answer.decision is False
    assert answer.json["context"]["kontext"]["code"] != "kontext_policy_denied"


def test_evaluate_about_other_organization_answers_as_if_it_were_not_there(cast: Cast) -> None:
    spy = make_pdp(cast.spy_bot)
    make_rule(cast.globex, "org", "allow")
    for subject in (cast.alice.pk, cast.bob.pk):
        answer = spy.evaluate(ask(cast, subject={"type": "user", "id": str(subject)}))
        assert answer.decision is False
        assert answer.json["context"]["kontext"]["code"] == "kontext_unknown_subject"
    agent = {"agent": cast.pr_bot.client_id}
    answer = spy.evaluate(ask(cast, subject={"type": "user", "id": str(cast.mallory.pk)}, context=agent))
    assert answer.json["context"]["kontext"]["code"] == "kontext_unknown_application"


# Who may ask


def test_evaluate_with_management_token_names_the_application(cast: Cast) -> None:
    script = make_application(cast.acme, "Script", owner=cast.carol)
    token = issue_token(script, cast.carol, get_management_resource(), scopes=("management:all",))[0]
    answer = Pdp(token).evaluate(ask(cast))
    assert answer.status == 400
    assert list(answer.json["fields"]) == ["context.agent"]
    assert Pdp(token).evaluate(ask(cast, context={"agent": cast.pr_bot.client_id})).decision is True


def test_evaluate_by_owner_without_role_is_about_the_owner_alone(cast: Cast) -> None:
    helper = make_application(cast.acme, "Helper", owner=cast.alice)
    pdp, agent = make_pdp(helper), {"agent": cast.pr_bot.client_id}
    assert pdp.evaluate(ask(cast, context=agent)).decision is True
    answer = pdp.evaluate(ask(cast, subject={"type": "user", "id": str(cast.bob.pk)}))
    assert (answer.status, answer.json["code"]) == (403, "kontext_forbidden")
    answer = pdp.evaluate(ask(cast, subject={"type": "application", "id": cast.pr_bot.client_id}))
    assert answer.status == 403
    assert pdp.evaluate(ask(cast, subject={"type": "application", "id": helper.client_id})).decision is False


def test_evaluate_by_application_of_nobody_is_about_itself_alone(cast: Cast) -> None:
    orphan = make_pdp(make_application(cast.acme, "Orphan"))
    assert orphan.evaluate(ask(cast)).status == 403
    answer = orphan.evaluate(ask(cast, subject={"type": "user", "id": "nobody"}))
    assert answer.status == 403  # whether somebody is there is not told, either


def test_evaluate_for_a_person_may_ask_what_the_person_may(cast: Cast) -> None:
    auditor = make_member(cast.acme, "Ann", role=Membership.Role.AUDITOR)
    assert make_pdp(cast.pr_bot, auditor).evaluate(ask(cast)).decision is True
    assert make_pdp(cast.pr_bot, cast.alice).evaluate(ask(cast)).decision is True
    assert make_pdp(cast.pr_bot, cast.bob).evaluate(ask(cast)).status == 403


def test_evaluate_without_valid_token_is_told_where_to_get_one(cast: Cast) -> None:
    gateway_token = issue_token(cast.pr_bot, None, cast.github.resource)[0]
    for token in ("", "unknown", gateway_token):
        answer = Pdp(token).evaluate(ask(cast))
        assert (answer.status, answer.json["code"]) == (401, "kontext_authorization_required")
        assert "oauth-protected-resource/access/v1" in answer.headers["WWW-Authenticate"]
        assert 'scope="access:evaluate"' in answer.headers["WWW-Authenticate"]


def test_evaluate_with_token_of_another_scope_returns_403(cast: Cast, pdp: Pdp) -> None:
    IssuedToken.objects.update(scope="openid")
    answer = pdp.evaluate(ask(cast))
    assert (answer.status, answer.json["code"]) == (403, "kontext_insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_evaluate_with_expired_or_revoked_token_returns_401(cast: Cast, pdp: Pdp) -> None:
    IssuedToken.objects.update(revoked_at=timezone.now())
    assert pdp.evaluate(ask(cast)).status == 401
    IssuedToken.objects.update(revoked_at=None, expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert pdp.evaluate(ask(cast)).status == 401


# Bad input


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"subject": "alice"}, ["subject"]),
        ({"subject": {}}, ["subject.id", "subject.type"]),
        ({"subject": {"type": "user", "id": 7}}, ["subject.id"]),
        ({"subject": {"type": "user", "id": "x" * 1025}}, ["subject.id"]),
        ({"subject": {"type": "user", "id": "x", "properties": []}}, ["subject.properties"]),
        ({"action": {}}, ["action.name"]),
        ({"action": {"name": None}}, ["action.name"]),
        ({"resource": None}, ["resource"]),
        ({"resource": {"type": "tool"}}, ["resource.id"]),
        ({"context": "now"}, ["context"]),
        ({"context": {"time": "yesterday"}}, ["context.time"]),
        ({"context": {"time": "2026-11-25T10:30:00"}}, ["context.time"]),
        ({"context": {"time": 1700000000}}, ["context.time"]),
        ({"context": {"ip": "10.0.0.0/8"}}, ["context.ip"]),
        ({"context": {"ip": 7}}, ["context.ip"]),
        ({"context": {"agent": ["x"]}}, ["context.agent"]),
        ({"resource": {"type": "github", "id": "1"}, "action": {"name": "create_issue", "properties": {"subject": 1}}},
         ["action.properties.subject"]),
    ],
)  # fmt: skip
def test_evaluate_malformed_question_names_the_field(
    cast: Cast, pdp: Pdp, changes: dict[str, Any], fields: list[str]
) -> None:
    answer = pdp.evaluate(ask(cast, **changes))
    assert (answer.status, answer.json["code"]) == (400, "kontext_validation_error")
    assert sorted(answer.json["fields"]) == fields
    assert answer.json["requestId"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"subject": {"type": "a", "type": "b"}}', b"\xff", b"{}"])
def test_evaluate_body_that_is_no_question_returns_400(pdp: Pdp, body: bytes) -> None:
    assert pdp.evaluate(body).status == 400


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_evaluate_of_other_media_type_returns_400(cast: Cast, pdp: Pdp, content_type: str) -> None:
    answer = pdp.evaluate(ask(cast), content_type=content_type)
    assert (answer.status, answer.json["code"]) == (400, "kontext_unsupported_media_type")


def test_evaluate_ignores_fields_it_does_not_know(cast: Cast, pdp: Pdp) -> None:
    question = ask(cast, foo="bar", future={"nested": True})
    question["subject"]["color"] = "red"
    assert pdp.evaluate(question).decision is True


@pytest.mark.parametrize("given", ["bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "x", "with spaces/and+signs=", "y" * 300])
def test_evaluate_echoes_the_request_id(cast: Cast, pdp: Pdp, given: str) -> None:
    assert pdp.evaluate(ask(cast), headers={"X-Request-ID": given}).headers["X-Request-ID"] == given
    wrong = pdp.evaluate({}, headers={"X-Request-ID": given})
    assert (wrong.status, wrong.headers["X-Request-ID"]) == (400, given)


def test_evaluate_without_request_id_gets_one(cast: Cast, pdp: Pdp) -> None:
    assert pdp.evaluate(ask(cast)).headers["X-Request-ID"]


def test_get_is_not_offered(pdp: Pdp) -> None:
    response = Client().get("/access/v1/evaluation", headers={"Authorization": f"Bearer {pdp.token}"})
    assert response.status_code == 405


# Discovery


def test_discover_endpoints(settings: Any) -> None:
    document = Client().get("/.well-known/authzen-configuration").json()
    assert document["policy_decision_point"] == settings.PUBLIC_URL
    assert {name: url.removeprefix(settings.PUBLIC_URL) for name, url in document.items() if "endpoint" in name} == {
        "access_evaluation_endpoint": "/access/v1/evaluation",
        "access_evaluations_endpoint": "/access/v1/evaluations",
        "search_subject_endpoint": "/access/v1/search/subject",
        "search_resource_endpoint": "/access/v1/search/resource",
        "search_action_endpoint": "/access/v1/search/action",
    }
    resource = Client().get("/.well-known/oauth-protected-resource/access/v1").json()
    assert resource["resource"] == f"{settings.PUBLIC_URL}/access/v1"
    assert resource["scopes_supported"] == ["access:evaluate"]
