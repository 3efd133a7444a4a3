"""The engine and Cedar agree on random rules and calls: one of them being wrong would show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import cedarpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.engine import Call, Layer, Limit, Per, Period, Rule, compile_policy
from policy.engine.cedar import export_rules, find_zones, make_entities, make_request
from policy.engine.types import Effect
from tests.policy import strategies
from tests.policy.golden import Table, load_tables

PEOPLE = cedarpy.Entities.from_json_str(json.dumps(make_entities(strategies.PEOPLE)))
# Each of five calls with each of ten sets of arguments: 50 for a set of rules.
calls = st.builds(
    lambda bare, given: [replace(call, arguments=arguments) for call in bare for arguments in given],
    st.lists(strategies.bare_calls(), min_size=5, max_size=5),
    st.lists(strategies.argument_sets(), min_size=10, max_size=10),
)
samples = st.tuples(strategies.dense_rule_sets, strategies.baselines, calls)
Sample = tuple[list[Rule], dict[Layer, Effect], list[Call]]


def decide_with_cedar(
    rules: Sequence[Rule], baselines: Mapping[Layer, Effect], calls: Sequence[Call], people: cedarpy.Entities
) -> list[list[str]]:
    """Return what each layer says to each call: allow, ask or deny."""
    policies = cedarpy.PolicySet.from_str(export_rules(rules, baselines))
    zones = find_zones(rules)
    questions = [(call, layer) for call in calls for layer in Layer]
    verdicts = dict.fromkeys(range(len(questions)), "allow")
    for is_approved, otherwise in ((False, "ask"), (True, "deny")):
        denied = [n for n, verdict in verdicts.items() if verdict == ("ask" if is_approved else "allow")]
        requests = [make_request(*questions[n], is_approved=is_approved, zones=zones) for n in denied]
        for n, result in zip(denied, cedarpy.is_authorized_batch(requests, policies, people), strict=True):
            assert result.diagnostics.errors == []
            if not result.allowed:
                verdicts[n] = otherwise
    return [[verdicts[at + n] for n in range(len(Layer))] for at in range(0, len(questions), len(Layer))]


def decide_with_engine(
    rules: Sequence[Rule], baselines: Mapping[Layer, Effect], calls: Sequence[Call]
) -> list[list[str]]:
    policy = compile_policy(rules, baselines=baselines)
    explanations = [policy.decide(call).explain() for call in calls]
    return [[layer["verdict"] for layer in explanation["layers"]] for explanation in explanations]


def check_agreement(sample: Sample) -> None:
    rules, baselines, calls = sample
    ours = decide_with_engine(rules, baselines, calls)
    theirs = decide_with_cedar(rules, baselines, calls, PEOPLE)
    for call, mine, other in zip(calls, ours, theirs, strict=True):
        compared = [("deny" if m == "silent" else m, t) for m, t in zip(mine, other, strict=True) if m != "absent"]
        assert [m for m, _ in compared] == [t for _, t in compared], call


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(samples)
def test_cedar_agrees_on_five_thousand_random_calls(sample: Sample) -> None:
    check_agreement(sample)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(samples)
def test_cedar_agrees_on_a_hundred_thousand_random_calls(sample: Sample) -> None:
    check_agreement(sample)


# Cedar decides each call by itself: whether a limit is used up, it can't say. So rules with limits stay outside of the
# comparison, here and in the random ones; what they do besides is what rules without limits do.
COMPARABLE = [table for table in load_tables() if not any(rule.limit for rule in table.rules)]


@pytest.mark.parametrize("table", COMPARABLE, ids=lambda table: table.name)
def test_cedar_agrees_with_the_tables(table: Table) -> None:
    for row in table.rows:
        people = make_entities({row.call.user: row.call.groups} if row.call.user else {})
        entities = cedarpy.Entities.from_json_str(json.dumps(people))
        theirs = decide_with_cedar(table.rules, table.baselines, [row.call], entities)[0]
        ours = decide_with_engine(table.rules, table.baselines, [row.call])[0]
        assert [v for v, mine in zip(theirs, ours, strict=True) if mine != "absent"] == [
            "deny" if mine == "silent" else mine for mine in ours if mine != "absent"
        ], row.name


def test_export_tells_a_limit_and_takes_it_for_unused() -> None:
    limit = Limit(count=20, period=Period.HOUR, per=Per.APPLICATION)
    exported = export_rules([Rule(id="r", layer=Layer.ORG, effect=Effect.ALLOW, limit=limit)])
    assert '@limit("20 times an hour for each application")' in exported
    cedarpy.PolicySet.from_str(exported)
