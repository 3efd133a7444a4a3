"""Rules: who may write which, what is refused, and decisions without a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from policy.compile import load_policy
from policy.models import Baseline, Rule
from tests.api.conftest import READERS, Api, assert_error, find_events
from tests.factories import Cast, make_rule

pytestmark = pytest.mark.django_db
NOBODY = "00000000-0000-7000-8000-000000000000"
FRONTEND = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}


def org_rule(cast: Cast, **changes: Any) -> dict[str, Any]:
    base = {
        "layer": "org",
        "effect": "allow",
        "groupId": str(cast.engineering.pk),
        "integrationId": str(cast.github.pk),
    }
    return {**base, **changes}


def app_rule(cast: Cast, **changes: Any) -> dict[str, Any]:
    base = {
        "layer": "application",
        "effect": "allow",
        "applicationId": str(cast.pr_bot.pk),
        "integrationId": str(cast.github.pk),
        "capability": "create_issue",
        "conditions": FRONTEND,
    }
    return {**base, **changes}


def user_rule(cast: Cast, person: Any, **changes: Any) -> dict[str, Any]:
    return {"layer": "user", "effect": "allow", "userId": str(person.pk), **changes}


def test_create_stores_it_and_says_it_as_a_sentence(cast: Cast, carol: Api) -> None:
    answer = carol.post("/rules", app_rule(cast, reason="Frontend only"))
    assert answer.status == 201, answer.text
    shown = answer.json["rule"]
    assert {name: shown[name] for name in app_rule(cast)} == app_rule(cast)
    assert shown["sentence"] == "PR-Bot may use github:create_issue where repo is acme/frontend"
    assert (shown["mode"], shown["isEnabled"], shown["class"], shown["reason"]) == (
        "enforce",
        True,
        "",
        "Frontend only",
    )
    stored = Rule.objects.get(pk=shown["id"])
    assert (stored.organization, stored.created_by) == (cast.acme, cast.carol)
    (event,) = find_events("rule.created")
    assert (event.organization_id, event.user_id) == (cast.acme.pk, cast.carol.pk)
    assert event.details["sentence"] == shown["sentence"]
    assert event.request_id == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"layer": "cellar"}, "layer"),
        ({"effect": "perhaps"}, "effect"),
        ({"groupId": "Engineering"}, "groupId"),
        ({"groupId": NOBODY}, "groupId"),
        ({"userId": NOBODY}, "userId"),
        ({"applicationId": NOBODY}, "applicationId"),
        ({"integrationId": NOBODY}, "integrationId"),
        ({"capability": "two words"}, "capability"),
        ({"capability": "github:create_issue"}, "capability"),
        ({"class": "harmless"}, "class"),
        ({"klass": "read"}, "klass"),
        ({"conditions": "repo = x"}, "conditions"),
        ({"conditions": []}, "conditions"),
        ({"conditions": {"argument": "repo", "operator": "sounds_like", "value": "x"}}, "conditions"),
        ({"conditions": {"all": []}}, "conditions"),
        ({"conditions": {"unless": {"unless": {"unless": 1}}}}, "conditions"),
        ({"validFrom": "tomorrow"}, "validFrom"),
        ({"validFrom": "2030-01-02T00:00:00Z", "validUntil": "2030-01-01T00:00:00Z"}, "validUntil"),
        ({"mode": "maybe"}, "mode"),
        ({"isEnabled": "perhaps"}, "isEnabled"),
        ({"isEnabled": None}, "isEnabled"),
        ({"organizationId": NOBODY}, "organizationId"),
        ({"createdById": NOBODY}, "createdById"),
        ({"reason": "x" * 256}, "reason"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_create_with_bad_input_is_refused_and_recorded(
    cast: Cast, carol: Api, change: dict[str, Any], field: str
) -> None:
    answer = carol.post("/rules", org_rule(cast, **change))
    assert_error(answer, 400, "kontext_validation_error", field)
    assert not Rule.objects.exists()
    assert len(find_events("management.refused")) == 1


def test_create_about_two_subjects_is_refused(cast: Cast, carol: Api) -> None:
    answer = carol.post("/rules", org_rule(cast, userId=str(cast.alice.pk)))
    assert_error(answer, 400, "kontext_validation_error", "groupId")
    answer = carol.post("/rules", {"layer": "user", "effect": "allow"})
    assert_error(answer, 400, "kontext_validation_error", "userId")
    answer = carol.post("/rules", {"layer": "application", "effect": "allow"})
    assert_error(answer, 400, "kontext_validation_error", "applicationId")


@pytest.mark.parametrize("name", ["groupId", "userId", "applicationId", "integrationId"])
def test_create_about_what_is_not_ours_is_refused_alike(cast: Cast, mallory: Api, name: str) -> None:
    foreign = {
        "groupId": cast.engineering,
        "userId": cast.alice,
        "applicationId": cast.pr_bot,
        "integrationId": cast.github,
    }[name]
    answers = [
        mallory.post("/rules", {"layer": "org", "effect": "allow", name: str(key)}) for key in (foreign.pk, uuid4())
    ]
    for answer in answers:
        assert_error(answer, 400, "kontext_validation_error", name)
    assert answers[0].json["fields"] == answers[1].json["fields"]
    assert not Rule.objects.exists()


def test_list_and_filter(cast: Cast, carol: Api) -> None:
    org = carol.post("/rules", org_rule(cast)).json["rule"]
    app = carol.post("/rules", app_rule(cast, effect="deny", mode="shadow", isEnabled=False)).json["rule"]
    make_rule(cast.globex, "org", "allow")
    assert [item["id"] for item in carol.get("/rules").json["items"]] == [app["id"], org["id"]]
    for query, expected in (
        ({"layer": "org"}, org),
        ({"effect": "deny"}, app),
        ({"groupId": cast.engineering.pk}, org),
        ({"applicationId": cast.pr_bot.pk}, app),
        ({"mode": "shadow"}, app),
        ({"isEnabled": "true"}, org),
        ({"isEnabled": "false"}, app),
    ):
        assert [item["id"] for item in carol.get("/rules", **query).json["items"]] == [expected["id"]], query
    assert_error(carol.get("/rules", isEnabled="perhaps"), 400, "kontext_validation_error", "isEnabled")


def test_change_stores_what_is_given(cast: Cast, carol: Api) -> None:
    rule = carol.post("/rules", app_rule(cast)).json["rule"]
    answer = carol.patch(f"/rules/{rule['id']}", {"effect": "deny", "conditions": None, "capability": ""})
    assert answer.status == 200, answer.text
    stored = Rule.objects.get(pk=rule["id"])
    assert (stored.effect, stored.conditions, stored.capability) == ("deny", None, "")
    assert stored.application == cast.pr_bot
    (event,) = find_events("rule.changed")
    assert set(event.details["changed"]) == {"effect", "conditions", "capability"}
    assert event.user_id == cast.carol.pk


def test_change_to_nonsense_changes_nothing(cast: Cast, carol: Api) -> None:
    rule = carol.post("/rules", app_rule(cast)).json["rule"]
    for change, field in (
        ({"applicationId": None}, "applicationId"),
        ({"layer": "user"}, "userId"),
        ({"conditions": {"x": 1}}, "conditions"),
    ):
        answer = carol.patch(f"/rules/{rule['id']}", {"effect": "deny", **change})
        assert_error(answer, 400, "kontext_validation_error", field)
    assert Rule.objects.get(pk=rule["id"]).effect == "allow"
    assert find_events("rule.changed") == []


def test_delete_removes_it(cast: Cast, carol: Api) -> None:
    rule = carol.post("/rules", app_rule(cast)).json["rule"]
    assert carol.delete(f"/rules/{rule['id']}").status == 204
    assert not Rule.objects.exists()
    (event,) = find_events("rule.deleted")
    assert event.details["sentence"] == rule["sentence"]
    assert_error(carol.delete(f"/rules/{rule['id']}"), 404, "kontext_not_found")


@pytest.mark.parametrize("role", READERS)
def test_reader_sees_every_rule(with_role: Callable[[str], Api], cast: Cast, role: str) -> None:
    rule = make_rule(cast.acme, "user", "allow", user=cast.alice)
    client = with_role(role)
    assert len(client.get("/rules").json["items"]) == 1
    assert client.get(f"/rules/{rule.pk}").status == 200
    assert client.get("/baselines").status == 200


@pytest.mark.parametrize(
    ("role", "may"),
    [("owner", True), ("admin", True), ("policy_author", True), ("auditor", False), ("member", False)],
)
def test_role_decides_who_writes_the_organizations_layer(
    with_role: Callable[[str], Api], cast: Cast, role: str, may: bool
) -> None:
    client = with_role(role)
    tried = [
        client.post("/rules", org_rule(cast)),
        client.post("/rules", app_rule(cast)),
        client.post("/rules", {"layer": "user", "effect": "deny", "groupId": str(cast.engineering.pk)}),
    ]
    if may:
        assert [answer.status for answer in tried] == [201, 201, 201]
    else:
        for answer in tried:
            assert_error(answer, 403, "kontext_forbidden")
        assert not Rule.objects.exists()
        assert len(find_events("management.refused")) == 3
    assert client.put("/baselines/org", {"effect": "ask"}).status == (200 if may else 403)


@pytest.mark.parametrize("role", ["admin", "policy_author", "auditor", "member"])
def test_everyone_writes_their_own_layer_and_nobody_elses(
    with_role: Callable[[str], Api], cast: Cast, alice: Api, role: str
) -> None:
    assert_error(with_role(role).post("/rules", user_rule(cast, cast.alice)), 403, "kontext_forbidden")
    rule = alice.post("/rules", user_rule(cast, cast.alice)).json["rule"]
    other = with_role(role)
    refused = other.patch(f"/rules/{rule['id']}", {"effect": "deny"}), other.delete(f"/rules/{rule['id']}")
    expected = (404, "kontext_not_found") if role == "member" else (403, "kontext_forbidden")
    for answer in refused:
        assert_error(answer, *expected)
    assert Rule.objects.get().effect == "allow"
    assert alice.patch(f"/rules/{rule['id']}", {"effect": "deny"}).json["rule"]["effect"] == "deny"
    assert alice.delete(f"/rules/{rule['id']}").status == 204


def test_nobody_moves_their_rule_into_a_layer_that_is_not_theirs(cast: Cast, alice: Api) -> None:
    rule = alice.post("/rules", user_rule(cast, cast.alice)).json["rule"]
    for change in ({"layer": "org", "userId": None}, {"userId": str(cast.bob.pk)}):
        assert_error(alice.patch(f"/rules/{rule['id']}", change), 403, "kontext_forbidden")
    assert Rule.objects.get().user == cast.alice


def test_member_sees_what_concerns_them_alone(cast: Cast, alice: Api) -> None:
    mine = make_rule(cast.acme, "user", "allow", user=cast.alice)
    inherited = make_rule(cast.acme, "user", "deny", group=cast.engineering)
    others = [
        make_rule(cast.acme, "user", "allow", user=cast.bob),
        make_rule(cast.acme, "user", "deny", group=cast.sales),
        make_rule(cast.acme, "org", "allow"),
        make_rule(cast.acme, "application", "allow", application=cast.pr_bot),
    ]
    assert {item["id"] for item in alice.get("/rules").json["items"]} == {str(mine.pk), str(inherited.pk)}
    for rule in others:
        assert_error(alice.get(f"/rules/{rule.pk}"), 404, "kontext_not_found")
    assert_error(alice.get("/baselines"), 403, "kontext_forbidden")


def test_owner_of_an_application_writes_its_layer(cast: Cast, alice: Api) -> None:
    cast.pr_bot.owner = cast.alice
    cast.pr_bot.save()
    answer = alice.post("/rules", app_rule(cast))
    assert answer.status == 201, answer.text
    assert len(alice.get("/rules").json["items"]) == 1


def test_other_organization_finds_nothing(cast: Cast, mallory: Api) -> None:
    rule = make_rule(cast.acme, "org", "allow")
    for answer in (
        mallory.get(f"/rules/{rule.pk}"),
        mallory.patch(f"/rules/{rule.pk}", {"effect": "deny"}),
        mallory.delete(f"/rules/{rule.pk}"),
    ):
        assert_error(answer, 404, "kontext_not_found")
    assert mallory.get("/rules").json["items"] == []
    rule.refresh_from_db()
    assert rule.effect == "allow"


def test_baselines_are_set_and_taken_back(cast: Cast, carol: Api) -> None:
    assert carol.put("/baselines/user", {"effect": "allow"}).json["baseline"] == {"layer": "user", "effect": "allow"}
    assert Baseline.objects.get(organization=cast.acme).effect == "allow"
    shown = {item["layer"]: item["effect"] for item in carol.get("/baselines").json["items"]}
    assert shown == {"org": None, "user": "allow", "application": None}
    assert carol.put("/baselines/user", {"effect": None}).status == 200
    assert not Baseline.objects.exists()
    assert len(find_events("baseline.changed")) == 2
    assert_error(carol.put("/baselines/cellar", {"effect": "allow"}), 400, "kontext_validation_error", "layer")
    for body, field in (({"effect": "perhaps"}, "effect"), ({}, "effect"), ({"effect": "ask", "x": 1}, "x")):
        assert_error(carol.put("/baselines/org", body), 400, "kontext_validation_error", field)


@pytest.mark.parametrize("layer", ["%00", "or%00g", "%ED%A0%80", "%F0%9F%92%A9", "a/b"])
def test_baseline_of_what_can_be_no_layer_is_not_found(carol: Api, layer: str) -> None:
    answer = carol.put(f"/baselines/{layer}", {"effect": "allow"})
    assert_error(answer, 404, "kontext_not_found")
    assert not Baseline.objects.exists()


def test_simulate_decides_as_the_gateway_would_and_changes_nothing(cast: Cast, carol: Api, alice: Api) -> None:
    carol.post("/rules", org_rule(cast))
    carol.post("/rules", app_rule(cast))
    alice.post("/rules", user_rule(cast, cast.alice, integrationId=str(cast.github.pk)))
    events = find_events("rule.created")
    call = {
        "applicationId": str(cast.pr_bot.pk),
        "userId": str(cast.alice.pk),
        "toolId": "github:create_issue",
        "arguments": {"repo": "acme/frontend"},
    }
    assert load_policy(cast.acme.pk)
    allowed = carol.post("/rules/simulate", call)
    assert allowed.status == 200, allowed.text
    assert allowed.json["decision"]["effect"] == "allow"
    denied = carol.post("/rules/simulate", {**call, "arguments": {"repo": "acme/backend"}}).json["decision"]
    assert (denied["effect"], denied["explanation"]["deciding"]) == ("deny", "application")
    assert denied["sentence"]
    assert carol.post("/rules/simulate", {**call, "userId": None}).json["decision"]["effect"] == "deny"
    assert find_events("rule.created") == events
    assert find_events("capability.invoked") == []


def test_simulate_for_others_needs_a_role(cast: Cast, alice: Api) -> None:
    call = {"applicationId": str(cast.pr_bot.pk), "toolId": "github:create_issue"}
    assert alice.post("/rules/simulate", {**call, "userId": str(cast.alice.pk)}).status == 200
    for key in (str(cast.bob.pk), None, NOBODY):
        assert_error(alice.post("/rules/simulate", {**call, "userId": key}), 403, "kontext_forbidden")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"toolId": "github"}, "toolId"),
        ({"toolId": "github:fly"}, "toolId"),
        ({"toolId": 7}, "toolId"),
        ({"applicationId": NOBODY}, "applicationId"),
        ({"userId": NOBODY}, "userId"),
        ({"arguments": []}, "arguments"),
        ({"arguments": "x"}, "arguments"),
        ({"sourceAddress": "here"}, "sourceAddress"),
        ({"dryRun": True}, "dryRun"),
    ],
    ids=str,
)
def test_simulate_with_bad_input_is_refused(cast: Cast, carol: Api, change: dict[str, Any], field: str) -> None:
    call = {
        "applicationId": str(cast.pr_bot.pk),
        "userId": str(cast.alice.pk),
        "toolId": "github:create_issue",
        "arguments": {},
    }
    assert_error(carol.post("/rules/simulate", {**call, **change}), 400, "kontext_validation_error", field)


def test_simulate_with_another_organizations_tool_is_refused(cast: Cast, mallory: Api) -> None:
    call = {"applicationId": str(cast.spy_bot.pk), "userId": None, "toolId": "github:create_issue"}
    assert_error(mallory.post("/rules/simulate", call), 400, "kontext_validation_error", "toolId")


def test_create_and_change_warn_and_save_all_the_same(cast: Cast, carol: Api) -> None:
    Baseline.objects.create(organization=cast.acme, layer="org", effect="allow")
    answer = carol.post("/rules", app_rule(cast, capability="create_isue", conditions=None))
    assert answer.status == 201
    assert [warning["code"] for warning in answer.json["warnings"]] == ["no_such_capability"]
    assert answer.json["warnings"][0]["sentence"].endswith("Did you mean create_issue?")
    path = f"/rules/{answer.json['rule']['id']}"
    assert carol.patch(path, {"capability": "create_issue"}).json["warnings"] == []
    assert "warnings" not in carol.get(path).json


def test_limit_is_stored_shown_and_taken_away(cast: Cast, carol: Api) -> None:
    limit = {"count": 20, "period": "hour", "per": "application"}
    answer = carol.post("/rules", app_rule(cast, limit=limit))
    assert answer.status == 201, answer.text
    shown = answer.json["rule"]
    assert shown["limit"] == limit
    assert shown["sentence"].endswith("where repo is acme/frontend, at most 20 times an hour for each application")
    path = f"/rules/{shown['id']}"
    assert carol.patch(path, {"reason": "Not too often"}).json["rule"]["limit"] == limit
    assert_error(carol.patch(path, {"effect": "deny"}), 400, "kontext_validation_error", "limitCount")
    assert carol.patch(path, {"limit": None}).json["rule"]["limit"] is None
    for wrong in ({"count": 0, "period": "hour", "per": "rule"}, {"count": 1, "period": "hour"}, 20):
        assert carol.patch(path, {"limit": wrong}).json["code"] == "kontext_validation_error"
