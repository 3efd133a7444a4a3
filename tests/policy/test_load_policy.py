"""Stored rules decide as the tables say, are read in few queries, and never across organizations."""

from __future__ import annotations

import datetime as dt
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from orgs.models import SnapshotVersion
from policy.compile import load_policy
from policy.models import Baseline
from policy.services.create_rule import create_rule
from policy.services.simulate import simulate
from tests.factories import Cast, make_application, make_group, make_integration, make_rule
from tests.policy.golden import Row, Table, load_tables
from tests.policy.test_decide import check_expectations

TABLES = load_tables()


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_stored_rules_decide_as_the_table_says(cast: Cast, table: Table) -> None:
    world = _World(cast)
    written = {world.store(rule): rule.id for rule in table.rules}
    for layer, effect in table.baselines.items():
        Baseline.objects.create(organization=cast.acme, layer=layer, effect=effect)
    policy = load_policy(cast.acme.pk)
    for row in table.rows:
        # Explanations are kept by the engine and belong to it: a copy is changed here.
        explanation = deepcopy(policy.decide(world.translate(row)).explain())
        assert explanation["effect"] == row.effect, row.name
        for layer in explanation["layers"]:
            for rule in layer["rules"]:
                rule["id"] = written[rule["id"]]
        check_expectations(replace(row, why=None), explanation)


class _World:
    """The rows that the names in the tables stand for."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.rows: dict[str, Any] = {name: getattr(cast, name) for name in ("alice", "bob", "carol", "pr_bot")}
        self.rows |= {"engineering": cast.engineering, "sales": cast.sales, "github": cast.github}
        self.rows |= {name: make_application(cast.acme, name) for name in ("triage", "carol_bot")}
        self.rows["slack"] = make_integration(cast.acme, "slack")

    def store(self, rule: Any) -> str:
        references = {name: self.find(getattr(rule, name)) for name in ("user", "group", "application", "integration")}
        stored = create_rule(
            organization=self.cast.acme,
            layer=rule.layer,
            effect=rule.effect,
            capability=rule.capability,
            klass=rule.klass,
            conditions=rule.conditions,
            reason=rule.reason,
            valid_from=_moment(rule.valid_from),
            valid_until=_moment(rule.valid_until),
            mode="shadow" if rule.is_shadow else "enforce",
            author=None,
            **references,
        )
        return str(stored.pk)

    def translate(self, row: Row) -> Any:
        call = row.call
        return replace(
            call,
            user=str(self.find(call.user).pk) if call.user else None,
            groups=frozenset(str(self.find(group, make_group).pk) for group in call.groups),
            application=str(self.find(call.application).pk),
            integration=str(self.find(call.integration).pk),
        )

    def find(self, name: str | None, make: Any = None) -> Any:
        if name is not None and name not in self.rows and make is not None:
            self.rows[name] = make(self.cast.acme, name)
        return None if name is None else self.rows[name]


def _moment(seconds: float | None) -> Any:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)


@pytest.mark.parametrize("rules", [0, 1, 60])
def test_load_takes_five_queries_however_many_rules(
    cast: Cast, rules: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(rules):
        make_rule(cast.acme, "org", "allow", group=make_group(cast.acme, str(number)), integration=cast.github)
    with django_assert_num_queries(5):
        load_policy(cast.acme.pk)


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
