"""My rules: a person's own layer, in their hands alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from audit.models import AuditEvent
from connections.models import Capability
from orgs.models import Application, User
from policy.models import Rule
from tests.factories import Cast, make_capability, make_rule

SignIn = Callable[[User], Client]
NOBODYS = UUID(int=7)
FRONTEND = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
COMPLICATED = {"all": [FRONTEND, {"unless": {"context": "network", "value": ["10.0.0.0/8"]}}]}


@pytest.fixture(autouse=True)
def _schema(cast: Cast) -> None:
    properties = {"repo": {"type": "string"}, "count": {"type": "integer"}, "state": {"enum": ["open", "closed"]}}
    schema = {"type": "object", "properties": properties}
    Capability.objects.filter(integration=cast.github).update(input_schema=schema)


@pytest.fixture
def alice(cast: Cast, sign_in: SignIn) -> Client:
    return sign_in(cast.alice)


def filled_in(cast: Cast, **changes: object) -> dict[str, str]:
    """What the form sends for a rule about PR-Bot creating issues in one repository."""
    whole: dict[str, object] = {
        "effect": "allow",
        "application": cast.pr_bot.pk,
        "integration": cast.github.pk,
        "target": "name:create_issue",
        "argument": "repo",
        "comparison": "equals",
        "value": "acme/frontend",
        "reason": "Only there.",
    }
    return {name: str(value) for name, value in (whole | changes).items()}


def test_rules_lists_my_own_and_my_groups_as_sentences(cast: Cast, alice: Client) -> None:
    make_rule(cast.acme, "user", "deny", user=cast.alice, integration=cast.github, capability="delete_repo")
    make_rule(cast.acme, "user", "allow", group=cast.engineering, reason="Everyone reads")
    make_rule(cast.acme, "user", "deny", user=cast.bob, reason="Of Bob")
    make_rule(cast.acme, "user", "deny", group=cast.sales, reason="Of Sales")
    make_rule(cast.acme, "org", "deny", reason="Of the organization")
    page = alice.get("/rules/").content.decode()
    assert "Alice Adams lets no application use github:delete_repo" in page
    assert "Everyone reads" in page
    assert "What none of these allows is refused" in page
    for foreign in ("Of Bob", "Of Sales", "Of the organization"):
        assert foreign not in page


def test_rules_of_a_newcomer_say_what_comes_first(alice: Client) -> None:
    page = alice.get("/rules/").content.decode()
    assert "You have no rules yet" in page
    assert 'href="/rules/add/"' in page


def test_add_stores_a_rule_of_my_own_and_records_it(cast: Cast, alice: Client) -> None:
    answer = alice.post("/rules/add/", filled_in(cast), follow=True)
    rule = Rule.objects.get()
    assert (rule.layer, rule.user, rule.effect, rule.created_by) == ("user", cast.alice, "allow", cast.alice)
    assert (rule.application, rule.integration, rule.capability) == (cast.pr_bot, cast.github, "create_issue")
    assert (rule.conditions, rule.reason) == (FRONTEND, "Only there.")
    event = AuditEvent.objects.get(type="rule.created")
    assert (event.user_id, event.organization_id) == (cast.alice.pk, cast.acme.pk)
    assert "Saved. It holds from the next call on." in answer.content.decode()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"target": "", "argument": ""}, {"capability": "", "klass": "", "conditions": None}),
        ({"target": "class:destructive", "argument": ""}, {"capability": "", "klass": "destructive"}),
        ({"application": "", "argument": ""}, {"application": None}),
        ({"integration": "", "target": "class:read", "argument": ""}, {"integration": None, "klass": "read"}),
        ({"comparison": "not_equals"}, {"conditions": {"unless": FRONTEND}}),
        (
            {"argument": "count", "comparison": "at_most", "value": "3"},
            {"conditions": {**FRONTEND} | {"argument": "count", "operator": "at_most", "value": 3}},
        ),
    ],
)
def test_add_writes_what_was_chosen(
    cast: Cast, alice: Client, changes: dict[str, str], expected: dict[str, Any]
) -> None:
    alice.post("/rules/add/", filled_in(cast, **changes))
    rule = Rule.objects.get()
    assert {name: getattr(rule, name) for name in expected} == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"effect": ""},
        {"effect": "perhaps"},
        {"application": NOBODYS},
        {"application": "x"},
        {"integration": NOBODYS},
        {"target": "name:no_such_thing"},
        {"target": "class:no_such_class"},
        {"target": "kept"},
        {"value": ""},
        {"argument": "count", "value": "many"},
        {"argument": "count", "value": "9" * 40},
        {"argument": "repo", "comparison": "at_most"},
        {"argument": "elsewhere"},
        {"reason": "x" * 256},
        {"value": "\0"},
    ],
    ids=str,
)
def test_add_with_bad_input_says_so_and_stores_nothing(cast: Cast, alice: Client, changes: dict[str, object]) -> None:
    answer = alice.post("/rules/add/", filled_in(cast, **changes))
    assert answer.status_code == 422
    assert b'class="error-summary" role="alert"' in answer.content
    assert not Rule.objects.exists()


def test_add_offers_only_what_is_mine_to_choose(cast: Cast, alice: Client) -> None:
    strangers = [cast.spy_bot, Application.objects.create(organization=cast.acme, name="Not mine")]
    for application in strangers:
        assert alice.post("/rules/add/", filled_in(cast, application=application.pk)).status_code == 422
    assert alice.post("/rules/add/", filled_in(cast, integration=cast.globex_github.pk)).status_code == 422
    page = alice.get("/rules/add/").content.decode()
    assert "Spy-Bot" not in page
    assert not Rule.objects.exists()


def test_refreshing_the_form_offers_what_fits_and_stores_nothing(cast: Cast, alice: Client) -> None:
    make_capability(cast.globex_github, "globex_only")
    answer = alice.post("/rules/add/", filled_in(cast, argument="state", value="") | {"refresh": "1"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "This needs a change" not in page
    for words in ("delete_repo", "It is one of: open, closed."):
        assert words in page
    assert "globex_only" not in page
    assert not Rule.objects.exists()


def test_link_fills_in_the_form(cast: Cast, alice: Client) -> None:
    form = alice.get("/rules/add/", filled_in(cast, effect="deny")).context["form"]
    assert form.capability == cast.create_issue
    assert form["value"].value() == "acme/frontend"


@pytest.mark.parametrize(
    "query", ["integration=%00", "integration=x", "target=%00", "argument=a&effect=%00", "value=%00"]
)
def test_link_with_nonsense_is_harmless(alice: Client, query: str) -> None:
    assert alice.get(f"/rules/add/?{query}").status_code == 200


def test_preview_shows_where_other_layers_still_refuse(cast: Cast, alice: Client) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, conditions=FRONTEND)

    def preview(value: str) -> tuple[str, str]:
        answer = alice.post("/rules/add/", filled_in(cast, value=value) | {"refresh": "1"})
        [shown] = answer.context["previews"]
        return shown.before, shown.after

    assert preview("acme/frontend") == ("deny", "allow")
    assert preview("acme/backend") == ("deny", "deny")
    assert not Rule.objects.filter(layer="user").exists()


def test_preview_of_a_change_leaves_out_what_it_replaces(cast: Cast, alice: Client) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    rule = make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, capability="create_issue")
    answer = alice.post(f"/rules/{rule.pk}/", filled_in(cast, effect="deny", argument="") | {"refresh": "1"})
    [shown] = answer.context["previews"]
    assert (shown.before, shown.after) == ("allow", "deny")


def test_change_updates_the_rule_and_records_it(cast: Cast, alice: Client) -> None:
    rule = make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, capability="create_issue")
    form = alice.get(f"/rules/{rule.pk}/").context["form"]
    assert (form["effect"].value(), form["target"].value()) == ("allow", "name:create_issue")
    alice.post(f"/rules/{rule.pk}/", filled_in(cast, effect="deny"))
    rule.refresh_from_db()
    assert (rule.effect, rule.application, rule.conditions) == ("deny", cast.pr_bot, FRONTEND)
    assert AuditEvent.objects.get(type="rule.changed").user_id == cast.alice.pk


def test_change_keeps_conditions_it_cannot_show_until_they_are_removed(cast: Cast, alice: Client) -> None:
    facts = {"user": cast.alice, "integration": cast.github, "capability": "create_issue"}
    rule = make_rule(cast.acme, "user", "allow", conditions=COMPLICATED, **facts)
    page = alice.get(f"/rules/{rule.pk}/").content.decode()
    assert "They say more than this form can show" in page
    alice.post(f"/rules/{rule.pk}/", filled_in(cast, effect="deny", argument=""))
    rule.refresh_from_db()
    assert (rule.effect, rule.conditions) == ("deny", COMPLICATED)
    alice.post(f"/rules/{rule.pk}/", filled_in(cast, effect="deny", argument="") | {"drop_conditions": "on"})
    rule.refresh_from_db()
    assert rule.conditions is None


def test_change_keeps_a_condition_on_an_argument_that_is_gone(cast: Cast, alice: Client) -> None:
    gone = {**FRONTEND, "argument": "gone"}
    facts = {"user": cast.alice, "integration": cast.github, "capability": "create_issue"}
    rule = make_rule(cast.acme, "user", "deny", conditions=gone, **facts)
    assert alice.get(f"/rules/{rule.pk}/").context["form"].kept_conditions == gone


@pytest.mark.parametrize(
    "target", [{"capability": "create_*"}, {"capability": "gone"}, {"klass": "read", "capability": "a"}]
)
def test_change_keeps_a_target_it_cannot_offer(cast: Cast, alice: Client, target: dict[str, str]) -> None:
    rule = make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, **target)
    shown = alice.get(f"/rules/{rule.pk}/").context["form"]["target"].value()
    alice.post(f"/rules/{rule.pk}/", filled_in(cast, effect="deny", target=shown, argument=""))
    rule.refresh_from_db()
    assert rule.effect == "deny"
    assert {name: getattr(rule, name) for name in target} == target


def test_delete_asks_first_then_deletes_and_records_it(cast: Cast, alice: Client) -> None:
    rule = make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, capability="create_issue")
    page = alice.get(f"/rules/{rule.pk}/delete/").content.decode()
    assert "Alice Adams lets every application use github:create_issue." in page
    assert Rule.objects.exists()
    answer = alice.post(f"/rules/{rule.pk}/delete/", follow=True)
    assert not Rule.objects.exists()
    assert "The rule no longer counts" in answer.content.decode()
    assert AuditEvent.objects.get(type="rule.deleted").user_id == cast.alice.pk
    assert alice.post(f"/rules/{rule.pk}/delete/").status_code == 404


def test_rules_of_others_are_not_found(cast: Cast, alice: Client) -> None:
    foreign = [
        make_rule(cast.acme, "user", "allow", user=cast.bob),
        make_rule(cast.acme, "user", "allow", group=cast.engineering),
        make_rule(cast.acme, "org", "allow", user=cast.alice),
        make_rule(cast.acme, "application", "allow", application=cast.pr_bot),
        make_rule(cast.globex, "user", "allow", user=cast.mallory),
    ]
    for rule in foreign:
        for url in (f"/rules/{rule.pk}/", f"/rules/{rule.pk}/delete/"):
            assert alice.get(url).status_code == 404
            assert alice.post(url, filled_in(cast, effect="deny")).status_code == 404
    assert set(Rule.objects.values_list("effect", flat=True)) == {"allow"}
    assert Rule.objects.count() == len(foreign)


def test_form_and_saving_point_out_what_stands_in_the_way(cast: Cast, alice: Client) -> None:
    make_rule(cast.acme, "user", "deny", user=cast.alice, application=cast.pr_bot)
    words = "“Alice Adams does not let PR-Bot use any integration” refuses every call that it is about"
    refreshed = alice.post("/rules/add/", filled_in(cast) | {"refresh": "1"}).content.decode()
    assert words in refreshed
    saved = alice.post("/rules/add/", filled_in(cast), follow=True).content.decode()
    assert words in saved
    assert Rule.objects.filter(effect="allow").exists()


def test_add_and_change_a_rule_with_a_limit(cast: Cast, alice: Client) -> None:
    limited = filled_in(cast, limit_count=20, limit_period="hour", limit_per="application")
    alice.post("/rules/add/", limited)
    rule = Rule.objects.get()
    assert (rule.limit_count, rule.limit_period, rule.limit_per) == (20, "hour", "application")
    page = alice.get("/rules/").content.decode()
    assert "where repo is acme/frontend, at most 20 times an hour for each application" in page
    assert 'value="20"' in alice.get(f"/rules/{rule.pk}/").content.decode()
    refused = alice.post(f"/rules/{rule.pk}/", {**limited, "effect": "deny"})
    assert (refused.status_code, b"Only a rule that allows can have a limit" in refused.content) == (422, True)
    alice.post(f"/rules/{rule.pk}/", filled_in(cast, limit_count=""))
    rule.refresh_from_db()
    assert (rule.limit_count, rule.limit_period, rule.limit_per) == (None, "", "")
    assert alice.post("/rules/add/", filled_in(cast, limit_count=0)).status_code == 422
