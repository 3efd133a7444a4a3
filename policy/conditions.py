"""Conditions against what a capability takes: a test of an argument that does not exist would never hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from policy.engine.conditions import ArgumentTest, ConditionError, iterate_tests, parse_conditions

_MAX_LISTED = 12
_TEXT, _NUMBER, _LIST = {"string"}, {"number", "integer"}, {"array"}
_TYPES = {
    **dict.fromkeys(("matches", "starts_with", "ends_with"), _TEXT),
    **dict.fromkeys(("less_than", "at_most", "greater_than", "at_least"), _NUMBER),
    **dict.fromkeys(("length_at_most", "length_at_least"), _TEXT | _LIST),
    **dict.fromkeys(("any_in", "all_in"), _LIST),
}


def check_conditions(conditions: Any, *, schema: Mapping[str, Any] | None = None) -> None:
    """Raise ValidationError, keyed `conditions`, unless the engine reads them and `schema` has their arguments.

    `schema` is the JSON Schema of a capability's arguments. Where it leaves open what else there may be, so do we.
    """
    if conditions is None:
        return
    try:
        parsed = parse_conditions(conditions)
    except ConditionError as error:
        raise ValidationError({"conditions": [f"{_start(str(error))}."]}) from None
    if schema is not None:
        tests = [test for test in iterate_tests(parsed) if isinstance(test, ArgumentTest)]
        if problems := [problem for test in tests if (problem := _find_problem(test, schema))]:
            raise ValidationError({"conditions": problems})


def check_conditions_against_any(conditions: Any, schemas: Iterable[Mapping[str, Any]]) -> None:
    """Do the same where a pattern is about several capabilities: one that has the arguments is enough."""
    check_conditions(conditions)
    refused = []
    for schema in schemas:
        try:
            check_conditions(conditions, schema=schema)
        except ValidationError as error:
            refused.append(error)
        else:
            return
    if refused:
        raise refused[0]


def _find_problem(test: ArgumentTest, schema: Mapping[str, Any]) -> str:
    nodes = _expand(schema, schema)
    for depth, name in enumerate(test.path):
        found = [child for node in nodes for child in _get_children(node, name)]
        if not found and any(map(_is_open, nodes)):
            return ""
        if not found:
            known = sorted({key for node in nodes for key in _get_properties(node)})[:_MAX_LISTED]
            place = f"“{'.'.join(test.path[:depth])}”" if depth else "The capability"
            return f"{place} has no argument “{name}”. It has {', '.join(known) or 'none'}."
        nodes = [option for child in found for option in _expand(child, schema)]
    return _find_type_problem(test, nodes)


def _find_type_problem(test: ArgumentTest, nodes: list[Mapping[str, Any]]) -> str:
    wanted = _TYPES.get(test.operator) or _get_types_of_value(test)
    given = {name for node in nodes for name in _get_types(node)}
    if not wanted or not given or wanted & given or any(not _get_types(node) for node in nodes):
        return ""
    return (
        f"“{test.name}” is of the type {' or '.join(sorted(given))}, so “{test.operator}” would never hold: "
        f"it is for {' or '.join(sorted(wanted))}."
    )


def _get_types_of_value(test: ArgumentTest) -> set[str]:
    if test.operator not in ("equals", "in", "contains"):
        return set()
    value = test.value[0] if isinstance(test.value, tuple) else test.value
    if test.operator == "contains":
        return _TEXT | _LIST if isinstance(value, str) else _LIST
    return {"boolean"} if isinstance(value, bool) else _NUMBER if isinstance(value, int) else _TEXT


def _get_types(node: Mapping[str, Any]) -> set[str]:
    kind = node.get("type")
    return {kind} if isinstance(kind, str) else {one for one in _list(kind) if isinstance(one, str)}


def _get_children(node: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    child = _get_properties(node).get(name)
    if isinstance(child, Mapping):
        yield child
    elif child is True:
        yield {}


def _get_properties(node: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = node.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _is_open(node: Mapping[str, Any]) -> bool:
    """Tell whether a schema lets in names that it doesn't list. One that lists some and is silent means those."""
    kinds = _get_types(node)
    if node.get("additionalProperties") is False or (kinds and "object" not in kinds):
        return False
    return bool(node.get("additionalProperties") or node.get("patternProperties")) or "properties" not in node


def _expand(node: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a schema's alternatives, with references inside the document followed, each once."""
    found: list[Mapping[str, Any]] = []
    waiting: list[Any] = [node]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, Mapping) or id(one) in seen or one.get("type") == "null":
            continue
        seen.add(id(one))
        further = [option for key in ("anyOf", "oneOf", "allOf") for option in _list(one.get(key))]
        if "$ref" in one:
            further.append(_resolve(one["$ref"], root))
        if not further or _get_properties(one):
            found.append(one)
        waiting += further
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _resolve(reference: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference inside the document leads to; one that leads nowhere we know says nothing."""
    node: Any = root if isinstance(reference, str) and reference.startswith("#/") else None
    for name in str(reference)[2:].split("/"):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]
