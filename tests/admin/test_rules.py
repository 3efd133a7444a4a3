from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs.models import Membership
from policy.models import Baseline, Rule
from policy.services.create_rule import create_rule
from tests.admin.conftest import sign_in, submit
from tests.factories import Cast, make_capability, make_rule

LIST = "/admin/policy/rule/"
BASELINES = "/admin/policy/baseline/"
SIMULATE = f"{LIST}simulate/"
SCHEMA = {
    "type": "object",
    "properties": {"repo": {"type": "string"}, "draft": {"type": "boolean"}, "size": {"type": "integer"}},
}


def given(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {
        "organization": str(cast.acme.pk),
        "layer": "application",
        "effect": "allow",
        "application": str(cast.pr_bot.pk),
        "integration": str(cast.github.pk),
        "capability": "create_issue",
        "reason": "PR-Bot works on the frontend",
        "mode": "enforce",
        "is_enabled": "on",
        **changes,
    }


@pytest.fixture(autouse=True)
def _schema(cast: Cast) -> None:
    cast.create_issue.input_schema = SCHEMA
    cast.create_issue.save()


def test_add_with_one_condition_reads_as_sentence(cast: Cast, carol: Client) -> None:
    condition = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    assert carol.post(f"{LIST}add/", given(cast, **condition)).status_code == 302
    rule = Rule.objects.get()
    assert rule.conditions == condition
    assert (rule.created_by_id, rule.organization_id) == (cast.carol.pk, cast.acme.pk)
    page = carol.get(LIST).content.decode()
    assert "PR-Bot may use github:create_issue where repo is acme/frontend" in page
    assert AuditEvent.objects.get(type="rule.created").user_id == cast.carol.pk
    form = carol.get(f"{LIST}{rule.pk}/change/").context["adminform"].form
    assert [form[name].value() for name in ("argument", "operator", "value", "conditions")] == [
        "repo",
        "equals",
        "acme/frontend",
        None,
    ]


@pytest.mark.parametrize(
    ("entered", "stored"),
    [
        (("draft", "equals", "true"), True),
        (("size", "equals", "3"), 3),
        (("size", "at_most", "10"), 10),
        (("repo", "in", "acme/a, acme/b"), ["acme/a", "acme/b"]),
        (("repo", "equals", "3"), "3"),
    ],
)
def test_value_is_of_the_type_that_the_argument_has(
    cast: Cast, carol: Client, entered: tuple[str, str, str], stored: Any
) -> None:
    fields = dict(zip(("argument", "operator", "value"), entered, strict=True))
    assert carol.post(f"{LIST}add/", given(cast, **fields)).status_code == 302
    conditions = Rule.objects.get().conditions
    assert conditions is not None
    assert conditions["value"] == stored


def test_several_conditions_are_kept_as_json(cast: Cast, carol: Client) -> None:
    conditions = {"any": [{"argument": "repo", "operator": "starts_with", "value": "acme/"}]}
    assert carol.post(f"{LIST}add/", given(cast, conditions=json.dumps(conditions))).status_code == 302
    rule = Rule.objects.get()
    assert rule.conditions == conditions
    answer = submit(carol, f"{LIST}{rule.pk}/change/", reason="Changed")
    assert answer.status_code == 302
    rule.refresh_from_db()
    assert (rule.conditions, rule.reason) == (conditions, "Changed")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"conditions": '{"all": [}'}, "conditions", "no JSON: line 1"),
        ({"conditions": '{"argument": "repo"}'}, "conditions", "operator"),
        ({"argument": "repo"}, "operator", "a comparison"),
        ({"argument": "rep", "operator": "equals", "value": "x"}, "conditions", "no argument “rep”. It has"),
        (
            {"argument": "repo", "operator": "equals", "value": "x", "conditions": '{"unless": {}}'},
            "conditions",
            "not both",
        ),
        ({"capability": "github:create_issue"}, "capability", "Leave out the integration"),
        ({"layer": "application", "application": ""}, "application", "Choose the application"),
        ({"valid_from_0": "2026-02-01", "valid_until_0": "2026-01-01"}, "valid_until", ""),
    ],
)
def test_add_with_bad_input_says_why_beside_the_field(
    cast: Cast, carol: Client, changes: dict[str, Any], field: str, words: str
) -> None:
    answer = carol.post(f"{LIST}add/", given(cast, **changes))
    assert answer.status_code == 200
    assert words in str(answer.context["adminform"].form.errors[field])
    assert not Rule.objects.exists()


def test_add_about_another_organization_is_refused(cast: Cast, carol: Client) -> None:
    for changes in (
        {"integration": str(cast.globex_github.pk)},
        {"application": str(cast.spy_bot.pk)},
        {"organization": str(cast.globex.pk)},
        {"layer": "org", "application": "", "user": str(cast.mallory.pk)},
    ):
        assert carol.post(f"{LIST}add/", given(cast, **changes)).status_code == 200
    assert not Rule.objects.exists()


def test_personal_rule_can_be_read_and_not_changed(cast: Cast, carol: Client) -> None:
    rule = create_rule(
        organization=cast.acme, layer="user", effect="allow", user=cast.alice, author=cast.alice, reason="mine"
    )
    page = carol.get(f"{LIST}{rule.pk}/change/")
    assert "Alice Adams lets every application use every integration" in page.content.decode()
    assert carol.post(f"{LIST}{rule.pk}/change/", given(cast)).status_code == 403
    assert carol.post(f"{LIST}{rule.pk}/delete/", {"post": "yes"}).status_code == 403
    answer = carol.post(f"{LIST}add/", given(cast, layer="user", application="", user=str(cast.alice.pk)))
    assert "may not write this rule" in answer.content.decode()
    assert list(Rule.objects.values_list("reason", flat=True)) == ["mine"]


def test_policy_author_writes_rules_and_auditor_does_not(cast: Cast) -> None:
    cast.bob.is_staff = True
    cast.bob.save()
    bob = sign_in(cast.bob)
    Membership.objects.filter(user=cast.bob).update(role=Membership.Role.AUDITOR)
    assert bob.get(LIST).status_code == 200
    assert bob.post(f"{LIST}add/", given(cast)).status_code == 403
    Membership.objects.filter(user=cast.bob).update(role=Membership.Role.POLICY_AUTHOR)
    assert bob.post(f"{LIST}add/", given(cast)).status_code == 302
    assert Rule.objects.get().created_by_id == cast.bob.pk


def test_switch_off_and_delete_record_it(cast: Cast, carol: Client) -> None:
    rule = make_rule(cast.acme, "org", "allow", integration=cast.github)
    assert "no longer counts" in carol.get(f"{LIST}{rule.pk}/switch-off/").content.decode()
    assert carol.post(f"{LIST}{rule.pk}/switch-off/").status_code == 302
    rule.refresh_from_db()
    assert not rule.is_enabled
    assert carol.post(f"{LIST}{rule.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Rule.objects.exists()
    assert [event.type for event in AuditEvent.objects.filter(type__startswith="rule.").order_by("id")] == [
        "rule.changed",
        "rule.deleted",
    ]


def test_other_organizations_rule_is_not_found(cast: Cast, carol: Client) -> None:
    theirs = make_rule(cast.globex, "org", "allow", reason="globex only")
    assert "globex only" not in carol.get(LIST).content.decode()
    for page in ("change", "delete", "switch-off"):
        assert carol.post(f"{LIST}{theirs.pk}/{page}/", {"post": "yes"}).status_code in (403, 404)
    assert Rule.objects.filter(pk=theirs.pk, is_enabled=True).exists()


def test_baseline_is_set_changed_and_removed_through_the_service(cast: Cast, carol: Client) -> None:
    sent = {"organization": str(cast.acme.pk), "layer": "user", "effect": "allow"}
    assert carol.post(f"{BASELINES}add/", sent).status_code == 302
    baseline = Baseline.objects.get()
    assert carol.post(f"{BASELINES}{baseline.pk}/change/", {"effect": "ask"}).status_code == 302
    baseline.refresh_from_db()
    assert baseline.effect == "ask"
    assert carol.post(f"{BASELINES}{baseline.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Baseline.objects.exists()
    assert AuditEvent.objects.filter(type="baseline.changed").count() == 3


def test_simulation_explains_a_call_that_is_not_made(cast: Cast, carol: Client) -> None:
    make_rule(cast.acme, "org", "allow", group=cast.engineering)
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    condition = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, conditions=condition)
    asked = {"application": str(cast.pr_bot.pk), "user": str(cast.alice.pk), "capability": str(cast.create_issue.pk)}
    allowed = carol.get(SIMULATE, {**asked, "arguments": '{"repo": "acme/frontend"}'})
    assert allowed.context["explanation"]["effect"] == "allow"
    denied = carol.get(SIMULATE, {**asked, "arguments": '{"repo": "acme/backend"}'})
    assert denied.context["explanation"]["deciding"] == "application"
    assert "What would change this" in denied.content.decode()
    matrix = carol.get(SIMULATE, {"application": str(cast.pr_bot.pk), "user": str(cast.alice.pk)})
    assert [verdict.words for verdict in matrix.context["verdicts"]] == ["Depends on the arguments"] * 2
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "words"), [("{", "no JSON: line 1"), ("[]", "begin with {"), ('"x"', "begin with {")]
)
def test_simulation_with_bad_arguments_says_why(cast: Cast, carol: Client, arguments: str, words: str) -> None:
    answer = carol.get(SIMULATE, {"application": str(cast.pr_bot.pk), "arguments": arguments})
    assert answer.status_code == 200
    assert words in str(answer.context["form"].errors["arguments"])


def test_simulation_knows_nothing_of_other_organizations(cast: Cast, carol: Client) -> None:
    page = carol.get(SIMULATE).content.decode()
    assert "Spy-Bot" not in page
    assert "Mallory" not in page
    answer = carol.get(SIMULATE, {"application": str(cast.spy_bot.pk)})
    assert "application" in answer.context["form"].errors


def test_saving_points_out_what_stands_in_the_way(cast: Cast, carol: Client) -> None:
    make_rule(cast.acme, "org", "deny", integration=cast.github)
    words = "“Nobody may use Github” refuses every call that it is about."
    answer = carol.post(f"{LIST}add/", given(cast), follow=True)
    assert words in answer.content.decode()
    rule = Rule.objects.get(layer="application")
    assert words in carol.get(f"{LIST}{rule.pk}/change/").content.decode()


def test_limit_is_entered_in_three_fields(cast: Cast, carol: Client) -> None:
    limit = {"limit_count": "20", "limit_period": "hour", "limit_per": "application"}
    assert carol.post(f"{LIST}add/", given(cast, **limit)).status_code == 302
    rule = Rule.objects.get()
    assert (rule.limit_count, rule.limit_period, rule.limit_per) == (20, "hour", "application")
    assert "at most 20 times an hour for each application" in carol.get(LIST).content.decode()
    answer = carol.post(f"{LIST}add/", given(cast, limit_count="20"))
    assert "whose calls it counts together" in str(answer.context["adminform"].form.errors["limit_period"])


def test_choices_follow_what_is_chosen_and_stay_inside_the_organization(cast: Cast, carol: Client) -> None:
    make_capability(cast.globex_github, "globex_only")
    chosen = {"integration": str(cast.github.pk), "capability": "create_issue", "argument": "size"}
    offered = carol.get(f"{LIST}choices/", chosen).json()
    assert [name for name, _ in offered["capabilities"]] == ["create_issue", "delete_repo"]
    assert offered["arguments"] == [["draft", "true or false"], ["repo", "text"], ["size", "number"]]
    assert offered["operators"] == ["equals", "in", "less_than", "at_most", "greater_than", "at_least", "exists"]
    assert carol.get(f"{LIST}choices/", {**chosen, "capability": "delete_*"}).json()["arguments"] == []
    assert "globex_only" not in carol.get(f"{LIST}choices/").content.decode()
    for elsewhere in (str(cast.globex_github.pk), "x"):
        assert carol.get(f"{LIST}choices/", {"integration": elsewhere}).json()["capabilities"] == []
    assert sign_in(cast.alice).get(f"{LIST}choices/").status_code in (302, 403)


def test_list_of_numbers_is_entered_with_commas(cast: Cast, carol: Client) -> None:
    entered = {"argument": "size", "operator": "in", "value": "1, 2"}
    assert carol.post(f"{LIST}add/", given(cast, **entered)).status_code == 302
    rule = Rule.objects.get()
    assert rule.conditions == {"argument": "size", "operator": "in", "value": [1, 2]}
    form = carol.get(f"{LIST}{rule.pk}/change/").context["adminform"].form
    assert form["value"].value() == "1, 2"
