"""Starting sets: as few rules as will do, of one's own layer, and back again."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from audit.models import AuditEvent
from connections.models import Integration
from orgs.models import Membership
from policy.models import Baseline, Rule
from policy.services.choose_starting_set import choose_starting_set
from policy.services.simulate import simulate
from policy.starting_sets import find_class_rules, find_current_set, find_unanswered, plan_starting_set
from tests.factories import Cast, make_application, make_capability, make_integration, make_rule


@pytest.fixture(autouse=True)
def _others_allow(cast: Cast) -> None:
    make_capability(cast.github, "list_issues", klass="read")
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)


def choose(cast: Cast, key: str | None, integrations: list[Integration] | None = None) -> Any:
    membership = Membership.objects.get(organization=cast.acme, user=cast.alice)
    return choose_starting_set(membership=membership, application=cast.pr_bot, integrations=integrations, key=key)


def read_sentences(cast: Cast) -> list[str]:
    plan = plan_starting_set(
        organization=cast.acme, user=cast.alice, application=cast.pr_bot, integrations=None, key=None
    )
    return plan.removed_sentences


def find_current(cast: Cast) -> str | None:
    about: dict[str, Any] = {"organization": cast.acme, "user": cast.alice, "application": cast.pr_bot}
    return find_current_set(list(find_class_rules(**about, among=None)))


def decide(cast: Cast) -> list[str]:
    """Decide reading, writing and destroying, in this order."""
    capabilities = [cast.github.capabilities.get(name=name) for name in ("list_issues", "create_issue", "delete_repo")]
    return [
        simulate(
            organization=cast.acme, user=cast.alice, application=cast.pr_bot, capability=one, arguments={}
        ).effect.value
        for one in capabilities
    ]


@pytest.mark.parametrize(
    ("key", "decisions", "number"),
    [
        ("read_only", ["allow", "deny", "deny"], 1),
        ("ask_before_writing", ["allow", "ask", "ask"], 3),
        ("everything", ["allow", "allow", "allow"], 1),
    ],
)
def test_choose_writes_few_rules_that_do_what_it_says(cast: Cast, key: str, decisions: list[str], number: int) -> None:
    assert decide(cast) == ["deny", "deny", "deny"]
    choose(cast, key)
    assert decide(cast) == decisions
    assert Rule.objects.filter(layer="user").count() == number
    assert find_current(cast) == key
    events = AuditEvent.objects.filter(type="rule.created", user_id=cast.alice.pk)
    assert events.count() == number


def test_choose_the_same_again_changes_nothing(cast: Cast) -> None:
    choose(cast, "ask_before_writing")
    before = set(Rule.objects.values_list("pk", "updated_at"))
    plan = choose(cast, "ask_before_writing")
    assert (plan.added, plan.removed) == ([], [])
    assert set(Rule.objects.values_list("pk", "updated_at")) == before


def test_choose_another_keeps_what_both_have_and_none_takes_all_back(cast: Cast) -> None:
    choose(cast, "read_only")
    kept = Rule.objects.get(layer="user")
    choose(cast, "ask_before_writing")
    assert Rule.objects.filter(pk=kept.pk).exists()
    assert read_sentences(cast) == [
        "Alice Adams lets PR-Bot read in every integration",
        "Alice Adams is asked before PR-Bot writes in any integration",
        "Alice Adams is asked before PR-Bot destroys anything in any integration",
    ]
    choose(cast, None)
    assert not Rule.objects.filter(layer="user").exists()
    assert AuditEvent.objects.filter(type="rule.deleted").count() == 3


def test_choose_leaves_denies_other_people_and_finer_rules_alone(cast: Cast) -> None:
    repo = {"argument": "repo", "operator": "equals", "value": "x"}
    about: dict[str, Any] = {"user": cast.alice, "application": cast.pr_bot}
    kept = [
        make_rule(cast.acme, "user", "deny", **about, klass="destructive"),
        make_rule(cast.acme, "user", "ask", **about, capability="create_issue"),
        make_rule(cast.acme, "user", "ask", **about, klass="write", conditions=repo),
        make_rule(cast.acme, "user", "allow", user=cast.alice, klass="read"),
        make_rule(cast.acme, "user", "ask", user=cast.bob, application=cast.pr_bot, klass="write"),
    ]
    choose(cast, "everything")
    choose(cast, None)
    assert set(Rule.objects.filter(layer="user")) == set(kept)


def test_choose_for_every_integration_takes_the_place_of_single_ones(cast: Cast) -> None:
    choose(cast, "ask_before_writing", [cast.github])
    assert find_current(cast) is None
    choose(cast, "everything")
    assert read_sentences(cast) == ["Alice Adams lets PR-Bot use every integration"]


def test_choose_for_one_integration_leaves_others_as_they_are(cast: Cast) -> None:
    linear = make_integration(cast.acme, "linear")
    choose(cast, "read_only", [linear])
    choose(cast, "everything", [cast.github])
    choose(cast, None, [cast.github])
    assert read_sentences(cast) == ["Alice Adams lets PR-Bot read in Linear"]


def test_choose_unknown_set_is_refused_and_changes_nothing(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="Choose one of read_only"):
        choose(cast, "all")
    assert not Rule.objects.filter(layer="user").exists()


def test_find_unanswered_names_applications_that_nothing_speaks_for(cast: Cast) -> None:
    other = make_application(cast.acme, "Triage")

    def find() -> list[str]:
        found = find_unanswered(organization=cast.acme, user=cast.alice, applications=[cast.pr_bot, other])
        return [str(application) for application in found]

    assert find() == ["PR-Bot", "Triage"]
    make_rule(cast.acme, "user", "deny", user=cast.alice)
    make_rule(cast.acme, "user", "allow", user=cast.bob)
    assert find() == ["PR-Bot", "Triage"]
    choose(cast, "read_only")
    assert find() == ["Triage"]
    make_rule(cast.acme, "user", "ask", group=cast.engineering)
    assert find() == []
    Rule.objects.filter(layer="user").delete()
    Baseline.objects.create(organization=cast.acme, layer="user", effect="ask")
    assert find() == []
