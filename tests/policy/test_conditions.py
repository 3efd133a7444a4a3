"""The grammar takes what it describes, refuses the rest with a place, and stays cheap whatever it is given."""

from __future__ import annotations

import time
from fnmatch import translate
from re import DOTALL, match
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.engine import Call, ConditionError, Effect, Layer, Rule, compile_policy, parse_conditions
from policy.engine.conditions import MAX_DEPTH, MAX_TESTS, MAX_TEXT, MAX_VALUES
from policy.engine.matching import compile_condition, compile_pattern
from policy.engine.words import describe_condition
from tests.policy import strategies

REPO = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}


def nest(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = REPO
    for _ in range(depth - 1):
        condition = {"unless": condition}
    return condition


REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": (None, "a condition is an object"),
    "a text": ("repo", "a condition is an object"),
    "a list": ([REPO], "a condition is an object"),
    "an empty object": ({}, "exactly one of the keys"),
    "two kinds": ({"all": [REPO], "unless": REPO}, "exactly one of the keys"),
    "an unknown key": ({**REPO, "negate": True}, "unknown key 'negate'"),
    "an unknown operator": ({**REPO, "operator": "regex"}, "the operator is one of"),
    "an operator that is no text": ({**REPO, "operator": ["equals"]}, "the operator is one of"),
    "no operator": ({"argument": "repo", "value": 1}, "the operator is one of"),
    "no value": ({"argument": "repo", "operator": "equals"}, "a text of 1 to"),
    "null": ({**REPO, "value": None}, "a text of 1 to"),
    "a fraction": ({**REPO, "operator": "less_than", "value": 1.5}, "a whole number"),
    "a boolean as a number": ({**REPO, "operator": "less_than", "value": True}, "a whole number"),
    "a number beyond JSON's": ({**REPO, "value": 2**53}, "a whole number"),
    "a negative length": ({**REPO, "operator": "length_at_most", "value": -1}, "0 or more"),
    "a text that is too long": ({**REPO, "value": "x" * (MAX_TEXT + 1)}, "a text of 1 to"),
    "a NUL": ({**REPO, "value": "a\0"}, "valid Unicode"),
    "half a character": ({**REPO, "value": "\ud800"}, "valid Unicode"),
    "an empty path": ({**REPO, "argument": ""}, "a text of 1 to"),
    "a path with a gap": ({**REPO, "argument": "a..b"}, "names joined by dots"),
    "a long path": ({**REPO, "argument": ".".join("abcdefghijk")}, "names joined by dots"),
    "a path that is no text": ({**REPO, "argument": ["repo"]}, "a text of 1 to"),
    "an empty list of values": ({**REPO, "operator": "in", "value": []}, "a list of 1 to"),
    "too many values": ({**REPO, "operator": "in", "value": ["x"] * (MAX_VALUES + 1)}, "a list of 1 to"),
    "values of two types": ({**REPO, "operator": "in", "value": ["1", 1]}, "either of texts or of numbers"),
    "values that are lists": ({**REPO, "operator": "in", "value": [["a"]]}, "a text of 1 to"),
    "exists with a value": ({"argument": "repo", "operator": "exists", "value": True}, "unknown key 'value'"),
    "case of a number": ({**REPO, "value": 1, "ignore_case": True}, "is for texts"),
    "case that is no boolean": ({**REPO, "ignore_case": "yes"}, "true or false"),
    "an empty group": ({"any": []}, "a list of 1 to"),
    "a group that is no list": ({"all": REPO}, "a list of 1 to"),
    "a bad part": ({"all": [REPO, {"unless": {"any": [REPO, 7]}}]}, "all[1].unless.any[1]: a condition is an object"),
    "an unknown context": ({"context": "weather", "value": "rain"}, "`context` is one of"),
    "a context that is no text": ({"context": {}, "value": "rain"}, "`context` is one of"),
    "no network": ({"context": "network", "value": []}, "a list of networks"),
    "a network with host bits": ({"context": "network", "value": ["10.0.0.1/8"]}, "no bits set"),
    "a network that is none": ({"context": "network", "value": ["localhost"]}, "a network is written"),
    "a network with a zone": ({"context": "network", "value": ["fe80::%1/64"]}, "without a zone"),
    "an IPv4 network as IPv6": ({"context": "network", "value": ["::ffff:10.0.0.0/104"]}, "an IPv4 one as IPv4"),
    "no zone": ({"context": "time"}, "a text of 1 to"),
    "an unknown zone": ({"context": "time", "zone": "Mars/Olympus"}, "a time zone's name"),
    "a zone that leads elsewhere": ({"context": "time", "zone": "../../etc/passwd"}, "a time zone's name"),
    "a zone that is a folder": ({"context": "time", "zone": "Europe"}, "a time zone's name"),
    "a window over midnight": (
        {"context": "time", "zone": "UTC", "from": "22:00", "until": "06:00"},
        "write a window over midnight as two",
    ),
    "an hour too many": ({"context": "time", "zone": "UTC", "until": "24:01"}, "written as 09:00"),
    "a digit of another script": ({"context": "time", "zone": "UTC", "until": "1٢:00"}, "written as 09:00"),
    "a time with a line break": ({"context": "time", "zone": "UTC", "until": "12:00\n"}, "written as 09:00"),
    "an unknown day": ({"context": "time", "zone": "UTC", "days": ["someday"]}, "`days` is a list"),
    "no days": ({"context": "time", "zone": "UTC", "days": []}, "`days` is a list"),
    "autonomy that is no boolean": ({"context": "autonomous", "value": 1}, "`value` is true"),
    "too deep": (nest(MAX_DEPTH + 1), f"nested {MAX_DEPTH} deep"),
    "too many tests": ({"all": [{"any": [REPO] * 11}] * 10}, f"at most {MAX_TESTS} tests"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parse_of_anything_else_is_refused_with_a_reason(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ConditionError) as refused:
        parse_conditions(data)
    assert reason in str(refused.value)


@pytest.mark.parametrize("data", [nest(MAX_DEPTH), {"all": [{"any": [REPO] * 10}] * 10}])
def test_parse_at_the_limits_is_accepted(data: Any) -> None:
    assert describe_condition(parse_conditions(data))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.conditions, st.data())
def test_parse_of_mutated_conditions_parses_or_refuses(condition: dict[str, Any], data: st.DataObject) -> None:
    """Replace, drop or add somewhere: never another exception, and what is accepted can be described and decided."""
    mutated = _mutate(condition, data)
    try:
        parsed = parse_conditions(mutated)
    except ConditionError:
        return
    assert describe_condition(parsed)
    assert compile_condition(parsed)(data.draw(strategies.calls)) in (True, False, None)


def _mutate(node: Any, data: st.DataObject) -> Any:
    if isinstance(node, dict) and node and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(node)))
        changed = dict(node)
        match_ = data.draw(st.sampled_from(["drop", "replace", "inside", "add"]))
        if match_ == "drop":
            del changed[key]
        elif match_ == "add":
            changed[data.draw(st.sampled_from(["all", "value", "x"]))] = data.draw(json_values)
        else:
            changed[key] = _mutate(node[key], data) if match_ == "inside" else data.draw(json_values)
        return changed
    if isinstance(node, list) and node:
        at = data.draw(st.integers(0, len(node) - 1))
        return [_mutate(part, data) if number == at else part for number, part in enumerate(node)]
    return data.draw(json_values)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(json_values)
def test_parse_of_any_json_parses_or_refuses(data: Any) -> None:
    with pytest.raises(ConditionError):
        parse_conditions(data)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.conditions, st.dictionaries(st.sampled_from(["repo", "count", "labels", "issue"]), json_values))
def test_decide_of_any_arguments_decides(condition: dict[str, Any], arguments: dict[str, Any]) -> None:
    rules = [Rule(id=effect, layer=Layer.ORG, effect=effect, conditions=condition) for effect in Effect]
    decision = compile_policy(rules).decide(_call(arguments))
    assert decision.explain()["effect"] == decision.effect


class Hostile(dict[str, Any]):
    """Arguments that raise whatever is done with them."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("boom")


def test_decide_of_arguments_that_raise_fails_closed() -> None:
    for effect in Effect:
        allows = [Rule(id=layer, layer=layer, effect=Effect.ALLOW) for layer in Layer]
        rule = Rule(id="x", layer=Layer.ORG, effect=effect, conditions=REPO)
        others = allows if effect is not Effect.ALLOW else allows[1:]
        decision = compile_policy([*others, rule]).decide(_call(Hostile()))
        assert decision.effect is (Effect.ASK if effect is Effect.ASK else Effect.DENY)
        assert decision.explain()["effect"] == decision.effect


def test_decide_tells_conditions_apart_that_python_takes_for_equal() -> None:
    """Equal conditions share what tests them; 1 and True are equal in Python."""
    rules = [
        Rule(id=str(value), layer=Layer.ORG, effect=Effect.DENY, conditions={"all": [test, {"unless": test}]})
        for value in (True, 1, False, 0)
        for test in [{"argument": "count", "operator": "equals", "value": value}]
    ]
    for value in (True, 1, False, 0):
        [said, *_] = compile_policy(rules).decide(_call({"count": value})).explain()["layers"]
        assert [rule["id"] for rule in said["rules"]] == [
            str(other) for other in (0, 1, False, True) if type(other) is not type(value)
        ]


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_compare_whole_number_beyond_any_fraction_compares_exactly(value: int) -> None:
    holds = compile_condition(parse_conditions({"argument": "count", "operator": "at_least", "value": 5}))
    assert holds(_call({"count": value})) is (value > 0)


@settings(max_examples=500, deadline=None)
@given(st.text("ab*", max_size=8), st.text("ab*", max_size=12))
def test_pattern_matches_as_fnmatch_does(pattern: str, text: str) -> None:
    assert compile_pattern(pattern)(text) == (match(translate(pattern), text, DOTALL) is not None)


def test_pattern_on_a_hostile_text_costs_linear_time() -> None:
    matches = compile_pattern("*a" * 500 + "*b*")
    assert not matches("a" * 20_000)  # also warms up
    times = [min(_time(matches, "a" * size) for _ in range(5)) for size in (50_000, 400_000)]
    assert times[1] < times[0] * 8 * 4 + 0.01


def _time(matches: Any, text: str) -> float:
    start = time.process_time()
    assert not matches(text)
    return time.process_time() - start


def _call(arguments: dict[str, Any]) -> Call:
    return Call(user="alice", application="pr-bot", integration="github", capability="x", arguments=arguments, now=0.0)
