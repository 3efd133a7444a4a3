"""Conditions are held against what a capability takes."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from policy.conditions import check_conditions

SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {
        "Issue": {"type": "object", "properties": {"title": {"type": "string"}, "next": {"$ref": "#/$defs/Issue"}}}
    },
    "properties": {
        "repo": {"type": "string"},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "draft": {"type": "boolean"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "issue": {"$ref": "#/$defs/Issue"},
        "options": {"type": "object", "additionalProperties": True},
        "anything": {},
        "whatever": True,
        "loop": {"anyOf": [{"$ref": "#/properties/loop"}, {"type": "string"}]},
    },
}


def leaf(argument: str, operator: str = "equals", value: Any = "x") -> dict[str, Any]:
    return {"argument": argument, "operator": operator, "value": value}


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        leaf("repo"),
        leaf("count", "at_most", 3),
        leaf("draft", value=False),
        leaf("labels", "contains"),
        leaf("labels", "any_in", ["x"]),
        leaf("issue.title", "starts_with"),
        leaf("issue.next.next.title"),
        leaf("options.deep.deeper", "at_most", 3),
        leaf("anything", "at_most", 3),
        leaf("anything.inside"),
        leaf("whatever", "length_at_most", 3),
        leaf("loop"),
        {"context": "autonomous", "value": False},
    ],
)
def test_check_of_arguments_in_the_schema_passes(conditions: Any) -> None:
    check_conditions(conditions, schema=SCHEMA)


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        (leaf("repository"), "The capability has no argument “repository”. It has anything, count, draft, issue"),
        ({"any": [leaf("repo"), {"unless": leaf("nothing")}]}, "no argument “nothing”"),
        (leaf("issue.body"), "“issue” has no argument “body”. It has next, title."),
        (leaf("repo.name"), "“repo” has no argument “name”. It has none."),
        (leaf("repo", "at_most", 3), "“repo” is of the type string, so “at_most” would never hold"),
        (leaf("repo", value=3), "“repo” is of the type string, so “equals” would never hold: it is for integer"),
        (leaf("count"), "“count” is of the type integer"),
        (leaf("draft", value=1), "“draft” is of the type boolean"),
        (leaf("labels", "matches"), "“labels” is of the type array"),
        (leaf("repo", "any_in", ["x"]), "“repo” is of the type string"),
        (leaf("repo", "regex"), "The operator is one of"),
    ],
)
def test_check_of_what_would_never_hold_is_refused(conditions: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        check_conditions(conditions, schema=SCHEMA)
    assert problem in " ".join(refused.value.message_dict["conditions"])


def test_check_against_no_arguments_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="It has none"):
        check_conditions(leaf("repo"), schema={"type": "object", "properties": {}})


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, {"$ref": "https://elsewhere.test/schema"}, {"$ref": "#/no"}]
)
def test_check_against_a_schema_that_says_nothing_passes(schema: dict[str, Any]) -> None:
    check_conditions(leaf("repo"), schema=schema)
