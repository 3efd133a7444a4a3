"""What holds for every set of rules and every call."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.engine import Call, Effect, Layer, Rule, compile_policy
from tests.policy import strategies
from tests.policy.strategies import baselines, calls, dense_rule_sets, rule_sets, rules

SECRET = "zq-argument-zq"
ORDER = [Effect.DENY, Effect.ASK, Effect.ALLOW]

quick = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(calls)
def test_decide_without_rules_denies(call: Call) -> None:
    policy = compile_policy([])
    assert policy.decide(call).effect is Effect.DENY
    assert not policy.could_allow(call)


@quick
@given(dense_rule_sets, baselines, calls, st.randoms(use_true_random=False))
def test_decide_ignores_the_order_of_rules(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], call: Call, rng: random.Random
) -> None:
    shuffled = rng.sample(given_rules, len(given_rules))
    first, second = (compile_policy(some, baselines=given_baselines).decide(call) for some in (given_rules, shuffled))
    assert (first.effect, first.deciding, first.rule_ids) == (second.effect, second.deciding, second.rule_ids)
    assert first.explain() == second.explain()


@quick
@given(dense_rule_sets, baselines, st.lists(calls, min_size=2, max_size=8))
def test_explain_after_other_calls_says_what_a_fresh_policy_says(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], given_calls: list[Call]
) -> None:
    allowing = [Rule(id=f"allow-{layer}", layer=layer, effect=Effect.ALLOW) for layer in Layer]
    used = compile_policy([*given_rules, *allowing], baselines=given_baselines)
    for call in [*given_calls, *given_calls]:
        fresh = compile_policy([*given_rules, *allowing], baselines=given_baselines)
        decision, expected = used.decide(call), fresh.decide(call).explain()
        assert decision.explain() == expected
        assert json.loads(decision.explain_as_json()) == json.loads(json.dumps(expected))


@quick
@given(rule_sets, baselines, rules(effect=Effect.DENY, id="new"), calls)
def test_adding_a_deny_never_allows(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], added: Rule, call: Call
) -> None:
    before, after = _decide_both(given_rules, given_baselines, added, call)
    assert ORDER.index(after) <= ORDER.index(before)


@quick
@given(rule_sets, baselines.filter(lambda given: Effect.ALLOW not in given.values()), rules(id="new"), calls)
def test_adding_an_allow_never_denies(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], added: Rule, call: Call
) -> None:
    before, after = _decide_both(given_rules, given_baselines, replace(added, effect=Effect.ALLOW), call)
    assert ORDER.index(after) >= ORDER.index(before)


@quick
@given(rule_sets, baselines, rules(effect=Effect.ASK, id="new"), calls)
def test_adding_an_ask_allows_nothing_by_itself(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], added: Rule, call: Call
) -> None:
    before, after = _decide_both(given_rules, given_baselines, added, call)
    assert after is not Effect.ALLOW or before is Effect.ALLOW


def _decide_both(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], added: Rule, call: Call
) -> tuple[Effect, Effect]:
    before = compile_policy(given_rules, baselines=given_baselines).decide(call).effect
    return before, compile_policy([*given_rules, added], baselines=given_baselines).decide(call).effect


@quick
@given(dense_rule_sets, calls)
def test_rules_about_others_change_nothing_and_are_never_named(given_rules: list[Rule], call: Call) -> None:
    """Another person's rules, another application's, and those of groups the person isn't in."""
    mine = [rule for rule in given_rules if _is_about(rule, call)]
    everything, less = compile_policy(given_rules).decide(call), compile_policy(mine).decide(call)
    assert everything.explain() == less.explain()
    named = json.dumps(everything.explain())
    assert not [rule.id for rule in given_rules if rule not in mine and rule.id in named]


def _is_about(rule: Rule, call: Call) -> bool:
    return (
        rule.user in (None, call.user)
        and (rule.group is None or rule.group in call.groups)
        and rule.application in (None, call.application)
    )


@quick
@given(dense_rule_sets, baselines, st.lists(rules(is_shadow=True), max_size=5), calls)
def test_shadow_rules_change_no_decision(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], shadow: list[Rule], call: Call
) -> None:
    shadow = [replace(rule, id=f"shadow{number}") for number, rule in enumerate(shadow)]
    alone = compile_policy(given_rules, baselines=given_baselines).decide(call)
    policy = compile_policy([*given_rules, *shadow], baselines=given_baselines)
    explanation = policy.decide(call).explain()
    assert (policy.decide(call).effect, policy.decide(call).rule_ids) == (alone.effect, alone.rule_ids)
    if explanation["shadow"]:
        enforced = [*given_rules, *(replace(rule, is_shadow=False) for rule in shadow)]
        expected = compile_policy(enforced, baselines=given_baselines).decide(call).effect
        assert explanation["shadow_effect"] == expected


@quick
@given(dense_rule_sets, baselines, calls, st.lists(strategies.argument_sets(), max_size=5))
def test_could_allow_is_false_only_if_no_arguments_help(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], call: Call, others: list[dict[str, Any]]
) -> None:
    policy = compile_policy(given_rules, baselines=given_baselines)
    effects = {policy.decide(replace(call, arguments=arguments)).effect for arguments in [call.arguments, *others]}
    if effects != {Effect.DENY}:
        assert policy.could_allow(call)


@quick
@given(dense_rule_sets, baselines, calls)
def test_applying_the_fix_allows_or_asks(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], call: Call
) -> None:
    decision = compile_policy(given_rules, baselines=given_baselines).decide(call)
    fix = decision.explain()["fix"]
    assert (fix is None) == (decision.effect is not Effect.DENY)
    if fix is not None:
        changed = _apply(given_rules, fix["changes"])
        assert compile_policy(changed, baselines=given_baselines).decide(call).effect is not Effect.DENY
        for left_out in range(len(fix["changes"])):
            fewer = _apply(given_rules, [change for n, change in enumerate(fix["changes"]) if n != left_out])
            assert compile_policy(fewer, baselines=given_baselines).decide(call).effect is Effect.DENY


def _apply(given_rules: list[Rule], changes: list[dict[str, Any]]) -> list[Rule]:
    removed = {change["rule"]["id"] for change in changes if change["action"] == "remove_rule"}
    added = [
        Rule(id=f"added{number}", **{**change["rule"], "layer": Layer(change["layer"]), "effect": Effect.ALLOW})
        for number, change in enumerate(changes)
        if change["action"] == "add_rule"
    ]
    return [*(rule for rule in given_rules if rule.id not in removed), *added]


@quick
@given(dense_rule_sets, calls)
def test_explanation_holds_none_of_the_arguments(given_rules: list[Rule], call: Call) -> None:
    call = replace(call, arguments=dict.fromkeys(("repo", "count", "labels", "issue"), SECRET))
    assert SECRET not in json.dumps(compile_policy(given_rules).decide(call).explain())


@quick
@given(dense_rule_sets, baselines, calls)
def test_deciding_rules_are_among_the_explained(
    given_rules: list[Rule], given_baselines: dict[Layer, Effect], call: Call
) -> None:
    decision = compile_policy(given_rules, baselines=given_baselines).decide(call)
    explained = {rule["id"] for layer in decision.explain()["layers"] for rule in layer["rules"]}
    assert set(decision.rule_ids) <= explained


@quick
@given(
    st.lists(rules(layer=Layer.ORG, integration=None, capability="", klass=""), min_size=12, max_size=20),
    calls,
    st.data(),
)
def test_decide_among_many_rules_of_one_target_finds_what_each_says_alone(
    given_rules: list[Rule], call: Call, data: st.DataObject
) -> None:
    """With many rules, a text of the call leads to those that demand it, and only the rest of them is tested."""
    demanding = [_demand_text(rule, number, data) for number, rule in enumerate(given_rules)]
    repo = data.draw(st.sampled_from(["a", "ab", "b*", "acme/web", "x", 3]))
    call = replace(call, user="alice", arguments={**call.arguments, "repo": repo})
    holding = {rule.id for rule in demanding if _holds_alone(rule, call)}
    decision = compile_policy(demanding).decide(call)
    effects = {rule.effect for rule in demanding if rule.id in holding}
    strongest = next((effect for effect in ORDER if effect in effects), None)
    org = decision.explain()["layers"][0]
    assert org["verdict"] == (strongest or "silent")
    expected = sorted(rule.id for rule in demanding if rule.id in holding and rule.effect is strongest)
    assert [rule["id"] for rule in org["rules"]] == expected[:10]


def _demand_text(rule: Rule, number: int, data: st.DataObject) -> Rule:
    """Return a rule for everyone that holds only where `repo` is some text."""
    value = data.draw(st.sampled_from(["a", "ab", "b*", ["a", "ß"], ["acme/web", "abc"]]))
    text = {"argument": "repo", "operator": "in" if isinstance(value, list) else "equals", "value": value}
    all_of = {"all": [text, *([rule.conditions] if rule.conditions is not None else [])]}
    conditions = data.draw(st.sampled_from([all_of, {"all": [*all_of["all"][1:], all_of]}, text, rule.conditions]))
    return replace(rule, id=f"{number:03}", user=None, group=None, application=None, conditions=conditions)


def _holds_alone(rule: Rule, call: Call) -> bool:
    alone = compile_policy([rule], baselines={Layer.ORG: Effect.ASK if rule.effect is Effect.ALLOW else Effect.ALLOW})
    return bool(alone.decide(call).explain()["layers"][0]["rules"])
