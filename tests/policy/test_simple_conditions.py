"""What a form can say about one argument, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from policy.conditions import check_conditions
from policy.engine.conditions import parse_conditions
from policy.engine.matching import compile_condition
from policy.engine.types import Call
from policy.simple_conditions import (
    COMPARISONS,
    MAX_ARGUMENTS,
    Argument,
    SimpleCondition,
    list_arguments,
    list_comparisons,
    make_example,
    read_simple,
    write_simple,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "repo": {"type": "string"},
        "count": {"type": ["integer", "null"]},
        "draft": {"type": "boolean"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "state": {"enum": ["open", "closed"]},
        "issue": {"type": "object", "properties": {"title": {"type": "string"}}},
        "dotted.name": {"type": "string"},
        "anything": True,
    },
}
ARGUMENTS = {argument.path: argument for argument in list_arguments(SCHEMA)}
VALUES = {"string": "acme/a, b", "integer": "7, 8", "boolean": "true", "array": "x, y"}


def test_list_arguments_finds_what_can_be_compared() -> None:
    assert {path: (one.type, one.items) for path, one in ARGUMENTS.items()} == {
        "repo": ("string", "string"),
        "count": ("integer", "string"),
        "draft": ("boolean", "string"),
        "labels": ("array", "string"),
        "numbers": ("array", "integer"),
        "state": ("string", "string"),
        "issue.title": ("string", "string"),
    }
    assert ARGUMENTS["state"].choices == ("open", "closed")


@pytest.mark.parametrize("schema", [None, [], "x", {}, {"properties": []}, {"properties": {"a": 1}}])
def test_list_arguments_of_a_strange_schema_finds_none(schema: Any) -> None:
    assert list_arguments(schema) == []


def test_list_arguments_ends_in_huge_and_in_deep_schemas() -> None:
    many = {"properties": {f"a{number}": {"type": "string"} for number in range(1000)}}
    assert len(list_arguments(many)) == MAX_ARGUMENTS
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(50):
        deep = {"type": "object", "properties": {"a": deep}}
    assert list_arguments(deep) == []


@pytest.mark.parametrize(
    ("path", "comparison"),
    [(path, key) for path, argument in ARGUMENTS.items() for key, _ in list_comparisons(argument)],
)
def test_every_comparison_is_written_read_again_and_holds_for_its_example(path: str, comparison: str) -> None:
    argument = ARGUMENTS[path]
    takes_list = comparison.endswith("in")
    value = ("7, 8" if takes_list else "7") if argument.value_type == "integer" else VALUES[argument.type]
    wanted = SimpleCondition(path, comparison, value)

    written = write_simple(wanted, argument)

    assert read_simple(written) == wanted
    check_conditions(written, schema=SCHEMA)
    holds = compile_condition(parse_conditions(written))
    assert holds(_call(make_example(wanted, argument))) is True
    assert holds(_call({})) is not True


def _call(arguments: dict[str, Any]) -> Call:
    return Call(user=None, application="a", integration="i", capability="c", arguments=arguments, now=0.0)


@pytest.mark.parametrize(
    ("path", "comparison", "value"),
    [
        *[("count", "equals", value) for value in ("", "x", "1.5", "--1", "٣", "1e3", " ")],
        *[("draft", "equals", value) for value in ("yes", "1", "")],
        *[("repo", comparison, "") for comparison in ("equals", "starts_with", "in")],
        ("repo", "in", " , ,"),
        ("numbers", "any_in", "1, two"),
    ],
)
def test_write_simple_of_an_unfit_value_says_so(path: str, comparison: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        write_simple(SimpleCondition(path, comparison, value), ARGUMENTS[path])


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        {},
        [],
        {"all": [{"argument": "a", "operator": "equals", "value": "b"}]},
        {"argument": "a", "operator": "exists"},
        {"argument": "a", "operator": "equals", "value": "b", "ignore_case": True},
        {"argument": "a", "operator": "length_at_most", "value": 3},
        {"argument": "a", "operator": "in", "value": ["one, two", "three"]},
        {"unless": {"unless": {"argument": "a", "operator": "equals", "value": "b"}}},
        {"unless": {"argument": "a", "operator": "starts_with", "value": "b"}},
        {"context": "time", "zone": "UTC"},
    ],
)
def test_read_simple_leaves_alone_what_the_form_cannot_say(conditions: Any) -> None:
    assert read_simple(conditions) is None


def test_list_comparisons_without_an_argument_offers_all() -> None:
    assert [key for key, _ in list_comparisons(None)] == list(COMPARISONS)
    assert Argument("a", "boolean").value_type == "boolean"
