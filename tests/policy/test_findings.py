"""What a rule's author is told: never more than a word, and never about other people."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from connections.models import Capability
from orgs.models import Application, Membership
from policy.documents import read_document
from policy.findings import Examiner, RuleWarning, find_warnings
from policy.models import Baseline, Rule
from tests.factories import Cast, make_application, make_capability, make_group, make_rule

REPO = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
OTHER = {"argument": "repo", "operator": "equals", "value": "acme/backend"}


@pytest.fixture(autouse=True)
def _agreeing(cast: Cast) -> None:
    for layer in ("org", "user", "application"):
        Baseline.objects.create(organization=cast.acme, layer=layer, effect="allow")
    Capability.objects.update(klass_confirmed=True)


def examine(cast: Cast, **fields: Any) -> dict[str, str]:
    return {warning.code: warning.sentence for warning in find_warnings(draft(cast, **fields))}


def draft(cast: Cast, **fields: Any) -> Rule:
    base = {"layer": "application", "effect": "allow", "application": cast.pr_bot, "integration": cast.github}
    return Rule(organization=cast.acme, **{**base, **fields})


def test_find_nothing_where_nothing_stands_in_the_way(cast: Cast) -> None:
    assert examine(cast, capability="create_issue", conditions=REPO) == {}
    assert examine(cast, capability="create_isue", is_enabled=False) == {}


def test_find_capability_that_is_not_offered_names_the_nearest(cast: Cast) -> None:
    assert examine(cast, capability="create_isue") == {
        "no_such_capability": "Github offers nothing called create_isue, so it matches no call. "
        "Did you mean create_issue?"
    }
    assert examine(cast, capability="create_isue", integration=None)["no_such_capability"].startswith("No integration")


def test_find_class_of_nothing_and_class_that_is_only_claimed(cast: Cast) -> None:
    assert list(examine(cast, klass="read")) == ["no_such_class"]
    make_capability(cast.github, "list_issues", klass=Capability.Klass.READ)
    claimed = examine(cast, klass="read")["class_claimed"]
    assert claimed == (
        "That list_issues is of the class “read” is only what Github claims. An administrator can confirm or correct "
        "it under Capabilities."
    )
    mine = {"layer": "user", "user": cast.alice}
    assert examine(cast, klass="read", **mine) == {}


def test_find_what_can_not_be_checked_yet(cast: Cast) -> None:
    Capability.objects.all().delete()
    assert list(examine(cast, capability="create_issue")) == ["nothing_known"]
    assert examine(cast) == {}


def test_find_people_and_groups_who_make_no_calls(cast: Cast) -> None:
    nobody = {"application": None, "layer": "org"}
    assert list(examine(cast, **nobody, group=make_group(cast.acme, "Empty"))) == ["empty_group"]
    Membership.objects.filter(user=cast.bob).update(status="suspended")
    assert list(examine(cast, **nobody, user=cast.bob)) == ["no_member"]
    assert list(examine(cast, **nobody, group=cast.sales)) == ["empty_group"]


def test_find_applications_that_can_not_use_it(cast: Cast) -> None:
    stranger = make_application(cast.acme, "Triage")
    found = examine(cast, application=stranger)
    assert found == {
        "integration_not_allowed": "Triage may not use Github at all yet, whatever rules say. An administrator can add "
        "Github on Triage's page."
    }
    assert examine(cast, application=stranger, effect="deny") == {}
    Application.objects.update(status="suspended")
    cast.github.status = "disabled"
    cast.pr_bot.refresh_from_db()
    assert list(examine(cast)) == ["application_inactive", "integration_inactive"]


def test_find_other_rules_in_the_way_and_name_them(cast: Cast) -> None:
    deny = make_rule(cast.acme, "application", "deny", application=cast.pr_bot, capability="create_*")
    assert examine(cast, capability="create_issue") == {
        "outweighed": "It changes nothing: “PR-Bot may not use create_* in any integration” refuses every call that it "
        "is about, and in one layer a deny outweighs an ask, and an ask an allow. Change that rule, or leave this one "
        "out."
    }
    deny.delete()
    make_rule(cast.acme, "org", "deny", application=cast.pr_bot)
    assert examine(cast)["blocked"].endswith(
        "in the organization layer, “PR-Bot may not use any integration” refuses every call that it is about. "
        "An administrator could change that."
    )


def test_find_duplicate_of_a_stored_rule_but_not_of_itself(cast: Cast) -> None:
    rule = make_rule(cast.acme, "application", "allow", application=cast.pr_bot, integration=cast.github)
    assert find_warnings(rule) == []
    assert examine(cast)["duplicate"].startswith("It changes nothing: “PR-Bot may use Github” is there already")


def test_find_layers_without_an_answer_and_who_could_give_it(cast: Cast) -> None:
    Baseline.objects.all().delete()
    found = find_warnings(draft(cast, layer="user", user=cast.alice))
    assert [warning.sentence.rpartition("this. ")[2] for warning in found] == [
        "An administrator could add one.",
        "The owner of PR-Bot or an administrator could add one.",
    ]


def test_find_conditions_and_times_that_no_call_meets(cast: Cast) -> None:
    yesterday = timezone.now() - dt.timedelta(days=1)
    assert list(examine(cast, valid_until=yesterday)) == ["expired"]
    assert list(examine(cast, conditions={"all": [REPO, OTHER]})) == ["never_matches"]
    assert list(examine(cast, conditions={"all": [REPO, OTHER]}, effect="deny")) == ["only_what_errs"]


def test_find_nothing_that_a_person_said_in_their_own_layer(cast: Cast) -> None:
    make_rule(cast.acme, "user", "allow", user=cast.bob, integration=cast.github)
    inherited = draft(cast, layer="user", effect="deny", group=cast.sales, application=None)
    assert find_warnings(inherited) == []
    own = draft(cast, layer="user", effect="deny", user=cast.bob, application=None)
    assert [warning.code for warning in find_warnings(own)] == ["outweighs"]


def test_find_nothing_of_other_organizations(cast: Cast) -> None:
    make_rule(cast.globex, "org", "deny")
    make_rule(cast.globex, "application", "allow", application=cast.spy_bot)
    assert examine(cast) == {}


def test_examine_document_goes_by_what_it_says(cast: Cast) -> None:
    make_rule(cast.acme, "application", "deny", application=cast.pr_bot)
    text = (
        "rules: [{layer: application, effect: allow, application: PR-Bot}, {layer: org, effect: deny, capability: x}]"
    )
    document = read_document(cast.acme, text)
    [allow, deny] = document.rules
    examiner = Examiner(cast.acme, document=document)
    assert [warning.code for warning in examiner.examine(allow)] == ["unanswered"]
    assert examiner.examine(deny) == [
        RuleWarning(
            "no_such_capability",
            "No integration offers anything called x, so it matches no call. "
            "Check the name, or discover anew what is offered.",
        )
    ]
