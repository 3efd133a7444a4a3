"""What the analysis says of rules, held against what the engine decides."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.engine import Call, Effect, Layer, Limit, Per, Period, Rule, compile_policy, parse_conditions
from policy.engine.analysis import IDLE, Analysis, Kind
from policy.engine.matching import compile_condition
from policy.engine.possibility import Demand, Result, is_possible
from tests.policy.strategies import NOW, PEOPLE, arguments, baselines, calls, conditions, dense_rule_sets, rules

ONCE = Limit(count=1, period=Period.HOUR, per=Per.RULE)
GROUPS = {user: frozenset(groups) for user, groups in PEOPLE.items()}
thorough = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

# One argument, so that the tests of a condition have something to do with each other.
narrow_conditions = conditions.map(lambda data: _about_one(data))


def _about_one(data: Any) -> Any:
    if isinstance(data, list):
        return [_about_one(one) for one in data]
    if not isinstance(data, Mapping):
        return data
    return {key: "repo" if key == "argument" else _about_one(value) for key, value in data.items()}


@thorough
@given(narrow_conditions, narrow_conditions, st.lists(arguments, min_size=5, max_size=20), calls)
def test_what_is_impossible_never_happens(first: Any, second: Any, values: list[Any], call: Call) -> None:
    one, other = parse_conditions(first), parse_conditions(second)
    tests = compile_condition(one), compile_condition(other)
    found = set()
    for value in values:
        made = replace(call, arguments={"repo": value})
        found.add(tuple(test(made) for test in tests))
    for states in found:
        for results in ((a, b) for a in Result for b in Result):
            if all(state in result.value for state, result in zip(states, results, strict=True)):
                demands = [Demand(one, results[0]), Demand(other, results[1])]
                assert is_possible(demands, with_user=[call.user is not None]), (states, results)


@thorough
@given(
    dense_rule_sets,
    baselines,
    st.lists(calls, min_size=5, max_size=20),
    st.sampled_from([NOW - 70, NOW, NOW + 30]),
    st.lists(st.sampled_from(["no limit", "no limit", "unused", "used up"]), min_size=14, max_size=14),
)
def test_rules_said_to_change_nothing_change_nothing(
    given_rules: list[Rule],
    given_baselines: dict[Layer, Effect],
    given_calls: list[Call],
    now: int,
    limits: list[str],
) -> None:
    given_rules = [
        replace(rule, limit=ONCE) if limit != "no limit" and rule.effect is Effect.ALLOW else rule
        for rule, limit in zip(given_rules, limits, strict=False)
    ]
    spent = {rule.id: 0.0 for rule, limit in zip(given_rules, limits, strict=False) if limit == "used up"}
    given_calls = [replace(call, spent=spent) for call in given_calls]
    analysis = Analysis(given_rules, given_baselines, now=now, groups=GROUPS)
    whole = compile_policy(given_rules, baselines=given_baselines)
    for rule in given_rules:
        findings = analysis.examine(rule)
        if not any(finding.kind in IDLE for finding in findings):
            continue
        fewer = compile_policy([one for one in given_rules if one.id != rule.id], baselines=given_baselines)
        for call in given_calls:
            if call.now >= now:
                assert fewer.decide(call).effect is whole.decide(call).effect, findings


@thorough
@given(rules(layer=Layer.ORG), rules(layer=Layer.ORG), st.lists(calls, min_size=10, max_size=30))
def test_rules_said_to_outweigh_leave_the_other_nothing(first: Rule, second: Rule, given_calls: list[Call]) -> None:
    """Twice as probable as in large sets: two rules of one layer, and a third that makes the others agree."""
    first, second = replace(first, id="1"), replace(second, id="2")
    findings = Analysis([first, second], {}, now=NOW, groups=GROUPS).examine(first)
    if not any(finding.kind is Kind.OUTWEIGHS for finding in findings):
        return
    frame = [Rule(id=f"frame-{layer}", layer=layer, effect=Effect.ALLOW) for layer in (Layer.USER, Layer.APPLICATION)]
    whole, fewer = compile_policy([first, second, *frame]), compile_policy([first, *frame])
    for call in given_calls:
        if call.now >= NOW:
            assert whole.decide(call).effect is fewer.decide(call).effect


def check(name: str, operator: str, value: Any = None) -> dict[str, Any]:
    return {"argument": name, "operator": operator} | ({} if value is None else {"value": value})


IMPOSSIBLE = [
    [check("repo", "equals", "a"), check("repo", "equals", "b")],
    [check("repo", "equals", "a"), {"unless": check("repo", "in", ["a", "b"])}],
    [check("repo", "equals", "a"), check("repo", "at_most", 3)],
    [check("repo", "starts_with", "acme/"), check("repo", "starts_with", "globex/")],
    [check("repo", "starts_with", "acme/web"), {"unless": check("repo", "starts_with", "acme/")}],
    [check("repo", "matches", "acme/*-old"), {"unless": check("repo", "ends_with", "-old")}],
    [check("repo", "contains", "secret"), {"unless": check("repo", "contains", "secret")}],
    [check("repo", "starts_with", "acme/"), check("repo", "length_at_most", 3)],
    [check("count", "at_most", 3), check("count", "greater_than", 3)],
    [check("count", "greater_than", 3), check("count", "less_than", 4), check("count", "in", [1, 4])],
    [check("labels", "all_in", ["bug"]), check("labels", "contains", "docs")],
    [check("labels", "any_in", ["bug"]), {"unless": check("labels", "contains", "bug")}],
    [check("draft", "equals", True), check("draft", "equals", False)],
    [{"unless": check("draft", "exists")}, check("draft", "equals", True)],
    [{"context": "autonomous", "value": True}, {"context": "autonomous", "value": False}],
    [{"context": "network", "value": ["10.0.0.0/8"]}, {"context": "network", "value": ["192.168.0.0/16"]}],
    [
        {"context": "time", "zone": "UTC", "until": "09:00"},
        {"context": "time", "zone": "UTC", "from": "09:00"},
    ],
    [
        {"context": "time", "zone": "UTC", "days": ["sat"]},
        {"unless": {"context": "time", "zone": "UTC", "days": ["sat", "sun"]}},
    ],
    [{"any": [check("repo", "equals", "a"), check("repo", "equals", "b")]}, check("repo", "equals", "c")],
]
POSSIBLE = [
    [check("repo", "starts_with", "a"), check("repo", "ends_with", "b"), {"unless": check("repo", "equals", "ab")}],
    [check("repo", "contains", "a"), check("repo", "contains", "b"), {"unless": check("repo", "matches", "*a*b*")}],
    [check("count", "greater_than", 3), check("count", "less_than", 4)],
    [check("labels", "contains", "bug"), {"unless": check("labels", "all_in", ["bug"])}],
    [
        check("repo", "equals", "a"),
        {"unless": {"argument": "repo", "operator": "equals", "value": "B", "ignore_case": True}},
    ],
]


@pytest.mark.parametrize("parts", IMPOSSIBLE, ids=str)
def test_examine_allow_that_nothing_could_meet_says_so(parts: list[Any]) -> None:
    assert _examine(_allow(conditions={"all": parts})) == [Kind.NEVER_MATCHES]


@pytest.mark.parametrize("parts", POSSIBLE, ids=str)
def test_examine_allow_that_something_could_meet_says_nothing(parts: list[Any]) -> None:
    assert _examine(_allow(conditions={"all": parts})) == []


REPO = check("repo", "equals", "acme/web")
ACME = check("repo", "starts_with", "acme/")


def _allow(**fields: Any) -> Rule:
    base = {
        "id": "r",
        "layer": Layer.APPLICATION,
        "effect": Effect.ALLOW,
        "application": "bot",
        "integration": "github",
    }
    return Rule(**{**base, **fields})


OTHERS: list[tuple[str, Rule, Rule, list[Kind]]] = [
    ("same again", _allow(), _allow(id="x"), [Kind.DUPLICATE]),
    ("same with a reason", _allow(), _allow(id="x", reason="Because"), [Kind.DUPLICATE]),
    ("narrower", _allow(capability="create_issue"), _allow(id="x", capability="create_*"), [Kind.COVERED]),
    ("narrower condition", _allow(conditions=REPO), _allow(id="x", conditions=ACME), [Kind.COVERED]),
    ("wider condition", _allow(conditions=ACME), _allow(id="x", conditions=REPO), []),
    ("denied", _allow(conditions=REPO), _allow(id="x", effect=Effect.DENY), [Kind.OUTWEIGHED]),
    ("asked", _allow(conditions=REPO), _allow(id="x", effect=Effect.ASK), [Kind.OUTWEIGHED]),
    ("denied in part", _allow(), _allow(id="x", effect=Effect.DENY, conditions=REPO), []),
    ("denied for a while", _allow(), _allow(id="x", effect=Effect.DENY, valid_until=NOW + 60.0), []),
    ("denied by a recorded rule", _allow(), _allow(id="x", effect=Effect.DENY, is_shadow=True), []),
    ("denied elsewhere", _allow(), _allow(id="x", effect=Effect.DENY, integration="slack"), []),
    ("denying", _allow(effect=Effect.DENY), _allow(id="x", conditions=REPO), [Kind.OUTWEIGHS]),
    ("limited, beside one without limit", _allow(limit=ONCE), _allow(id="x"), [Kind.COVERED]),
    ("without limit, beside a limited one", _allow(), _allow(id="x", limit=ONCE), [Kind.OUTWEIGHS]),
    ("limited twice", _allow(limit=ONCE), _allow(id="x", limit=ONCE), []),
    ("denied by the organization", _allow(), Rule(id="x", layer=Layer.ORG, effect=Effect.DENY), [Kind.BLOCKED]),
    ("denied for others", _allow(), Rule(id="x", layer=Layer.ORG, effect=Effect.DENY, application="other"), []),
    ("ended", _allow(valid_until=NOW - 1.0), _allow(id="x", capability="other"), [Kind.EXPIRED]),
    ("unreadable", _allow(conditions={"never": 1}), _allow(id="x", capability="other"), [Kind.UNREADABLE]),
]


@pytest.mark.parametrize(("name", "rule", "other", "kinds"), OTHERS, ids=[one[0] for one in OTHERS])
def test_examine_beside_another_rule(name: str, rule: Rule, other: Rule, kinds: list[Kind]) -> None:
    assert _examine(rule, other) == kinds


def test_examine_deny_of_what_can_only_err_says_so() -> None:
    parts = [check("repo", "equals", "a"), check("repo", "equals", "b")]
    assert _examine(_allow(effect=Effect.DENY, conditions={"all": parts})) == [Kind.ONLY_WHAT_ERRS]


def test_examine_for_calls_without_a_user_in_a_persons_layer_says_so() -> None:
    rule = Rule(
        id="r", layer=Layer.USER, effect=Effect.ALLOW, user="alice", conditions={"context": "autonomous", "value": True}
    )
    assert _examine(rule) == [Kind.ONLY_WITH_USER]


def test_examine_names_the_layers_that_allow_none_of_it() -> None:
    rule = Rule(id="r", layer=Layer.USER, effect=Effect.ALLOW, user="alice", integration="github")
    others = [
        Rule(id="org", layer=Layer.ORG, effect=Effect.ALLOW, integration="slack"),
        Rule(id="sales", layer=Layer.ORG, effect=Effect.ALLOW, group="sales"),
    ]
    findings = Analysis(others, {}, now=NOW, groups=GROUPS).examine(rule)
    assert [(one.kind, one.layer) for one in findings] == [
        (Kind.UNANSWERED, Layer.ORG),
        (Kind.UNANSWERED, Layer.APPLICATION),
    ]
    assert Analysis(others, {Layer.APPLICATION: Effect.ASK}, now=NOW).examine(rule) == []


def test_examine_group_rule_covers_its_members_alone() -> None:
    by_group = Rule(id="x", layer=Layer.ORG, effect=Effect.DENY, group="sales")
    for user, kinds in (("bob", [Kind.OUTWEIGHED]), ("alice", []), ("unknown", [])):
        rule = Rule(id="r", layer=Layer.ORG, effect=Effect.ALLOW, user=user)
        assert _examine(rule, by_group) == kinds


def test_examine_among_ten_thousand_rules_is_quick() -> None:
    many = [_allow(id=f"{n}", capability=f"name_{n}", conditions=REPO) for n in range(10_000)]
    analysis = Analysis(many, {}, now=NOW)
    began = time.perf_counter()
    analysis.examine(_allow(conditions=ACME))
    assert time.perf_counter() - began < 2


def _examine(rule: Rule, *others: Rule) -> list[Kind]:
    baselines = dict.fromkeys(Layer, Effect.ALLOW)
    return [finding.kind for finding in Analysis(others, baselines, now=NOW, groups=GROUPS).examine(rule)]
