"""Random rules and calls, small enough that they meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from policy.engine import Call, Effect, Layer, Rule
from policy.engine.conditions import DAYS, OPERATORS

NOW = 1_795_600_000  # a Wednesday, 09:46:40 UTC
PEOPLE = {"alice": ["engineering"], "bob": ["engineering", "sales"], "carol": []}
APPLICATIONS = ("pr-bot", "triage")
INTEGRATIONS = ("github", "slack")
CAPABILITIES = ("create_issue", "list_issues", "delete_repo")
PATTERNS = ("", "*", "create_issue", "*_issue*", "list_*", "*repo", "c*e*")
CLASSES = ("read", "write", "destructive")
ADDRESSES = ("10.1.2.3", "10.2.0.1", "::ffff:10.1.0.1", "2001:db8::1", "8.8.8.8", "", "x")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata")

texts = st.sampled_from(["", "a", "ab", "abc", "Ab", "b*", "ß", "acme/web", "ACME/WEB", '"\\', "äö", "\n"])
written_texts = texts.filter(bool)
numbers = st.integers(-3, 3)
scalars = st.one_of(written_texts, numbers, st.booleans())
value_lists = st.one_of(st.lists(written_texts, min_size=1, max_size=3), st.lists(numbers, min_size=1, max_size=3))
paths = st.sampled_from(["repo", "count", "labels", "issue.title", "issue.size"])

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("equals",), scalars),
    **dict.fromkeys(("in", "any_in", "all_in"), value_lists),
    **dict.fromkeys(("matches", "starts_with", "ends_with"), written_texts | st.just("a*b*")),
    **dict.fromkeys(("contains",), st.one_of(written_texts, numbers)),
    **dict.fromkeys(("less_than", "at_most", "greater_than", "at_least"), numbers),
    **dict.fromkeys(("length_at_most", "length_at_least"), st.integers(0, 3)),
}


@st.composite
def argument_tests(draw: st.DrawFn) -> dict[str, Any]:
    operator = draw(st.sampled_from(sorted(OPERATORS)))
    test: dict[str, Any] = {"argument": draw(paths), "operator": operator}
    if operator == "exists":
        return test
    test["value"] = draw(_VALUES[operator])
    values = test["value"] if isinstance(test["value"], list) else [test["value"]]
    if all(isinstance(value, str) for value in values) and draw(st.booleans()):
        test["ignore_case"] = True
    return test


@st.composite
def time_tests(draw: st.DrawFn) -> dict[str, Any]:
    start, end = draw(st.sampled_from([("00:00", "24:00"), ("09:00", "10:00"), ("10:00", "11:30"), ("15:00", "15:17")]))
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
    return {"context": "time", "zone": draw(st.sampled_from(ZONES)), "days": days, "from": start, "until": end}


context_tests = st.one_of(
    time_tests(),
    st.builds(lambda value: {"context": "autonomous", "value": value}, st.booleans()),
    st.builds(
        lambda networks: {"context": "network", "value": networks},
        st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "0.0.0.0/0"]), min_size=1, max_size=2),
    ),
)
conditions = st.recursive(
    st.one_of(argument_tests(), argument_tests(), context_tests),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"unless": part}, inner),
    ),
    max_leaves=5,
)

_SUBJECTS = {
    Layer.ORG: st.one_of(
        st.just({}),
        st.builds(lambda group: {"group": group}, st.sampled_from(["engineering", "sales"])),
        st.builds(lambda user: {"user": user}, st.sampled_from(sorted(PEOPLE))),
        st.builds(lambda application: {"application": application}, st.sampled_from(APPLICATIONS)),
    ),
    Layer.USER: st.builds(
        lambda person, application: {**person, "application": application},
        st.one_of(
            st.builds(lambda user: {"user": user}, st.sampled_from(sorted(PEOPLE))),
            st.builds(lambda group: {"group": group}, st.sampled_from(["engineering", "sales"])),
        ),
        st.sampled_from([None, *APPLICATIONS]),
    ),
    Layer.APPLICATION: st.builds(lambda application: {"application": application}, st.sampled_from(APPLICATIONS)),
}


@st.composite
def rules(draw: st.DrawFn, /, **fixed: Any) -> Rule:
    layer = fixed.pop("layer", None) or draw(st.sampled_from(Layer))
    fields: dict[str, Any] = {
        "id": f"{draw(st.integers(0, 10**9)):010}",
        "layer": layer,
        "effect": draw(st.sampled_from([Effect.ALLOW, Effect.ALLOW, Effect.DENY, Effect.ASK])),
        "integration": draw(st.sampled_from([None, None, *INTEGRATIONS])),
        "capability": draw(st.sampled_from(PATTERNS)),
        "klass": draw(st.sampled_from(["", "", "", *CLASSES])),
        "conditions": draw(st.one_of(st.none(), conditions, conditions)),
        "valid_from": draw(st.sampled_from([None, None, NOW - 60, NOW, NOW + 60])),
        "valid_until": draw(st.sampled_from([None, None, NOW, NOW + 60])),
        **draw(_SUBJECTS[layer]),
    }
    return Rule(**{**fields, **fixed})


rule_sets = st.lists(rules(), max_size=14, unique_by=lambda rule: rule.id)
# Left to itself, hypothesis prefers sets so small that hardly any call meets a condition.
dense_rule_sets = st.lists(
    rules(integration=None, capability="", klass="") | rules(), min_size=10, max_size=14, unique_by=lambda rule: rule.id
)
baselines = st.dictionaries(st.sampled_from(Layer), st.sampled_from(Effect), max_size=3)

elements = st.one_of(texts, numbers, st.booleans(), st.none(), st.sampled_from([1.0, 0.5, []]))
arguments = st.one_of(
    texts,
    numbers,
    st.booleans(),
    st.none(),
    st.sampled_from([1.0, 2.5, -0.5, 10**30, -(10**30), float("inf"), float("nan"), {}, {"title": "a"}]),
    st.lists(elements, max_size=3),
)


@st.composite
def argument_sets(draw: st.DrawFn) -> dict[str, Any]:
    given = draw(st.dictionaries(st.sampled_from(["repo", "count", "labels", "other", "a.b"]), arguments, max_size=4))
    issue = draw(st.dictionaries(st.sampled_from(["title", "size", "x"]), arguments, max_size=2) | arguments)
    return {**given, "issue": issue} if draw(st.booleans()) else given


@st.composite
def bare_calls(draw: st.DrawFn) -> Call:
    """Calls without arguments."""
    user = draw(st.sampled_from([None, *PEOPLE, *PEOPLE]))
    return Call(
        user=user,
        groups=frozenset(PEOPLE[user]) if user else frozenset(),
        application=draw(st.sampled_from(APPLICATIONS)),
        integration=draw(st.sampled_from(INTEGRATIONS)),
        capability=draw(st.sampled_from(CAPABILITIES)),
        klass=draw(st.sampled_from(["", *CLASSES])),
        arguments={},
        now=float(NOW + draw(st.sampled_from([-61, -1, 0, 1, 60, 3600, 86_400]))),
        source_address=draw(st.sampled_from(ADDRESSES)),
    )


calls = st.builds(lambda call, given: replace(call, arguments=given), bare_calls(), argument_sets())
