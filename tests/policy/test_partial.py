"""Calls whose arguments are not known: nothing is guessed, and what is certain is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.engine import Call, Effect, Layer, Limit, Per, Period, Policy, Rule, compile_policy
from policy.engine.partial import Overview, read_known, tell_effects
from tests.policy.strategies import baselines, calls, dense_rule_sets

FRONTEND = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
# Drawing such sets is slow where others share the machine, and says nothing about what is tested.
_patiently = settings(suppress_health_check=[HealthCheck.too_slow])
_OTHER = {Effect.ALLOW: Effect.DENY, Effect.DENY: Effect.ASK, Effect.ASK: Effect.ALLOW}
CALL = Call(user="alice", application="bot", integration="github", capability="create_issue", arguments={}, now=1.0)


def rule(id: str, layer: Layer, effect: Effect, **fields: Any) -> Rule:
    return Rule(id=id, layer=layer, effect=effect, **fields)


ORG, USER = rule("org", Layer.ORG, Effect.ALLOW), rule("user", Layer.USER, Effect.ALLOW, user="alice")
BOT = rule("bot", Layer.APPLICATION, Effect.ALLOW, application="bot", conditions=FRONTEND)


@_patiently
@given(dense_rule_sets, baselines, calls)
def test_tell_effects_includes_what_the_arguments_lead_to(
    rules: list[Rule], given_baselines: dict[Layer, Effect], call: Call
) -> None:
    policy = compile_policy(rules, baselines=given_baselines)
    assert policy.decide(call).effect in tell_effects(policy, call, {})


@_patiently
@given(dense_rule_sets, baselines, calls)
def test_tell_effects_by_its_own_explanation_is_certain(
    rules: list[Rule], given_baselines: dict[Layer, Effect], call: Call
) -> None:
    policy = compile_policy(rules, baselines=given_baselines)
    decision = policy.decide(call)
    known = _read(policy, call, decision.explain(), rules)
    assert decision.effect in tell_effects(policy, call, known)


@_patiently
@given(dense_rule_sets, baselines, calls)
def test_tell_effects_of_a_draft_includes_what_it_would_decide(
    rules: list[Rule], given_baselines: dict[Layer, Effect], call: Call
) -> None:
    explanation = compile_policy(rules, baselines=given_baselines).decide(call).explain()
    kept = rules[::2]
    changed = [replace(one, effect=_OTHER[one.effect]) for one in rules[1::2]]
    draft = compile_policy([*kept, *changed], baselines=given_baselines)
    known = _read(draft, call, explanation, kept)
    assert draft.decide(call).effect in tell_effects(draft, call, known)


@_patiently
@given(dense_rule_sets, baselines, st.lists(calls, min_size=1, max_size=8))
def test_overview_tells_the_same(rules: list[Rule], given_baselines: dict[Layer, Effect], some: list[Call]) -> None:
    policy = compile_policy(rules, baselines=given_baselines)
    overview = Overview(policy)
    for call in some:
        now = replace(call, now=some[0].now, source_address=some[0].source_address)
        assert overview.tell_effects(now) == tell_effects(policy, now, None)


def test_tell_effects_depends_on_arguments_that_are_not_known() -> None:
    policy = compile_policy([ORG, USER, BOT])
    assert tell_effects(policy, CALL, {}) == {Effect.ALLOW, Effect.DENY}
    assert tell_effects(policy, CALL, {"bot": True}) == {Effect.ALLOW}
    assert tell_effects(policy, CALL, {"bot": False}) == {Effect.DENY}


def test_tell_effects_is_certain_where_no_argument_matters() -> None:
    assert tell_effects(compile_policy([ORG, USER]), CALL, {}) == {Effect.DENY}
    never = rule("never", Layer.ORG, Effect.DENY, capability="create_*")
    assert tell_effects(compile_policy([ORG, USER, BOT, never]), CALL, {}) == {Effect.DENY}


def test_tell_effects_of_a_limited_rule_depends_on_its_uses() -> None:
    limited = replace(BOT, conditions=None, limit=Limit(count=1, period=Period.DAY, per=Per.RULE))
    policy = compile_policy([ORG, USER, limited])
    assert tell_effects(policy, CALL, {}) == {Effect.ALLOW, Effect.DENY}
    assert tell_effects(policy, CALL, {"bot": True}) == {Effect.ALLOW}
    assert tell_effects(policy, CALL, {"bot": False}) == {Effect.DENY}
    assert tell_effects(policy, CALL, None) == Overview(policy).tell_effects(CALL) == {Effect.ALLOW}


def test_read_known_tells_which_rules_held_and_which_did_not() -> None:
    other = rule("other", Layer.APPLICATION, Effect.ALLOW, application="bot", conditions=FRONTEND | {"value": "x"})
    policy = compile_policy([ORG, USER, BOT, other])
    call = Call(
        user="alice",
        application="bot",
        integration="github",
        capability="create_issue",
        arguments={"repo": "acme/frontend"},
        now=1.0,
    )
    explanation = policy.decide(call).explain()
    assert _read(policy, CALL, explanation, [BOT, other]) == {"bot": True, "other": False}
    assert _read(policy, CALL, explanation, [other]) == {"other": False}
    assert read_known(policy, CALL, explanation, is_same=lambda one: True, was_about=lambda one: False)["bot"] is True
    assert "other" not in read_known(policy, CALL, explanation, is_same=lambda one: True, was_about=lambda one: False)


def _read(policy: Policy, call: Call, explanation: Any, same: list[Rule]) -> dict[str, bool]:
    ids = {one.id for one in same}
    return read_known(policy, call, explanation, is_same=lambda one: one.id in ids, was_about=lambda one: True)
