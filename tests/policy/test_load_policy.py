"""Stored rules decide as the tables say, are read in few queries, and never across organizations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from orgs.models import SnapshotVersion
from policy.compile import load_current_policy, load_policy
from policy.engine import Call
from policy.models import Baseline
from policy.services.simulate import simulate
from tests.factories import Cast, make_group, make_organization, make_rule
from tests.policy.golden import Table, load_tables
from tests.policy.stored import StoredTable
from tests.policy.test_decide import check_expectations

TABLES = load_tables()


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_stored_rules_decide_as_the_table_says(db: None, table: Table) -> None:
    stored = StoredTable(make_organization(), table)
    policy = load_policy(stored.organization.pk)
    for row in table.rows:
        explanation = stored.name_rules(policy.decide(_translate(stored, row.call)).explain())
        assert explanation["effect"] == row.effect, row.name
        check_expectations(replace(row, why=None), explanation)


def _translate(stored: StoredTable, call: Call) -> Call:
    return replace(
        call,
        user=str(stored.find("user", call.user).pk) if call.user else None,
        groups=frozenset(str(stored.find("group", group).pk) for group in call.groups),
        application=str(stored.find("application", call.application).pk),
        integration=str(stored.find("integration", call.integration).pk),
        spent={key: until for key, name in stored.written.items() if (until := (call.spent or {}).get(name))},
    )


@pytest.mark.parametrize("rules", [0, 1, 60])
def test_load_takes_five_queries_however_many_rules(
    cast: Cast, rules: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(rules):
        make_rule(cast.acme, "org", "allow", group=make_group(cast.acme, str(number)), integration=cast.github)
    with django_assert_num_queries(5):
        load_policy(cast.acme.pk)


def test_load_current_compiles_anew_only_after_a_change(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_rule(cast.acme, "org", "allow")
    first = load_current_policy(cast.acme.pk)
    with django_assert_num_queries(1):
        assert load_current_policy(cast.acme.pk) is first
    make_rule(cast.globex, "org", "deny")
    assert load_current_policy(cast.acme.pk) is first
    make_rule(cast.acme, "org", "deny")
    changed = load_current_policy(cast.acme.pk)
    assert (changed is not first, changed.version) == (True, SnapshotVersion.objects.get(pk=cast.acme.pk).version)


def test_load_carries_the_snapshots_version(cast: Cast) -> None:
    make_rule(cast.acme, "org", "deny")
    assert load_policy(cast.acme.pk).version == SnapshotVersion.objects.get(pk=cast.acme.pk).version


def test_load_leaves_out_disabled_rules_and_other_organizations(cast: Cast) -> None:
    _allow_everything(cast)
    make_rule(cast.acme, "org", "deny", is_enabled=False)
    make_rule(cast.globex, "org", "deny")
    Baseline.objects.create(organization=cast.globex, layer="org", effect="deny")
    decision = _simulate(cast)
    assert decision.is_allowed
    assert "Globex" not in str(decision.explain())


def test_simulate_explains_with_sentences_and_names(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github)
    make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, capability="create_issue")
    conditions = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    make_rule(
        cast.acme, "application", "allow", application=cast.pr_bot, integration=cast.github, conditions=conditions
    )
    explanation = _simulate(cast, {"repo": "acme/backend"}).explain()
    assert explanation["sentence"] == (
        "Denied by the application layer: no rule there allows github:create_issue. "
        "Nearest is “PR-Bot may use Github where repo is acme/frontend”, but “repo is acme/frontend” does not hold."
    )
    assert [layer["rules"][0]["sentence"] for layer in explanation["layers"][:2]] == [
        "Engineering may use Github",
        "Alice Adams lets every application use github:create_issue",
    ]
    assert explanation["fix"]["sentence"] == (
        "The owner of PR-Bot or an administrator could add the rule “PR-Bot may use github:create_issue”."
    )
    assert "acme/backend" not in str(explanation)


def test_simulate_without_user_leaves_the_user_layer_out(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    decision = simulate(
        organization=cast.acme, user=None, application=cast.pr_bot, capability=cast.create_issue, arguments={}
    )
    assert decision.is_allowed
    assert decision.explain()["layers"][1]["verdict"] == "absent"


def test_load_with_unreadable_conditions_fails_closed(cast: Cast) -> None:
    _allow_everything(cast)
    broken = make_rule(cast.acme, "org", "deny", conditions={"written": "by a later version"})
    decision = _simulate(cast)
    assert (decision.effect, decision.rule_ids) == ("deny", (str(broken.pk),))
    assert decision.explain()["layers"][0]["rules"][0]["problem"]


def _allow_everything(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)


def _simulate(cast: Cast, arguments: dict[str, Any] | None = None) -> Any:
    return simulate(
        organization=cast.acme,
        user=cast.alice,
        application=cast.pr_bot,
        capability=cast.create_issue,
        arguments=arguments or {},
    )
