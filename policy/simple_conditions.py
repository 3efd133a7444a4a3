"""Conditions on one argument, as a form can ask for them: the argument, a comparison, a text that people type.

What the form can't say stays what it is: `read_simple` returns None for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_ARGUMENTS = 100

# By comparison: its words, and the types of arguments it is for. `not_…` are written with the grammar's `unless`.
_TEXT, _NUMBER, _TRUTH, _LIST = "string", "integer", "boolean", "array"
COMPARISONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "equals": ("is", (_TEXT, _NUMBER, _TRUTH)),
    "not_equals": ("is not", (_TEXT, _NUMBER, _TRUTH)),
    "in": ("is one of", (_TEXT, _NUMBER)),
    "not_in": ("is none of", (_TEXT, _NUMBER)),
    "starts_with": ("starts with", (_TEXT,)),
    "ends_with": ("ends with", (_TEXT,)),
    "contains": ("contains", (_TEXT, _LIST)),
    "matches": ("matches (* stands for anything)", (_TEXT,)),
    "at_most": ("is at most", (_NUMBER,)),
    "at_least": ("is at least", (_NUMBER,)),
    "any_in": ("has one of", (_LIST,)),
    "all_in": ("has nothing but", (_LIST,)),
}
_TAKES_LIST = ("in", "any_in", "all_in")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a capability, by its path (`issue.title`). `items` is the type of a list's elements."""

    path: str
    type: str
    items: str = _TEXT
    choices: tuple[str, ...] = ()

    @property
    def value_type(self) -> str:
        return self.items if self.type == _LIST else self.type


@dataclass(frozen=True, slots=True)
class SimpleCondition:
    argument: str
    comparison: str
    value: str


def list_arguments(schema: object) -> list[Argument]:
    """Return the arguments that a JSON schema names, also inside of objects, as far as one can compare them."""
    return [argument for argument, _ in zip(_walk(schema, ""), range(MAX_ARGUMENTS), strict=False)]


def list_comparisons(argument: Argument | None) -> list[tuple[str, str]]:
    return [(key, words) for key, (words, types) in COMPARISONS.items() if argument is None or argument.type in types]


def write_simple(condition: SimpleCondition, argument: Argument) -> dict[str, Any]:
    """Return the condition in the engine's grammar. Raises ValueError, fit for people, for a value of another type."""
    operator = condition.comparison.removeprefix("not_")
    if operator in _TAKES_LIST:
        value: Any = [_read_value(text.strip(), argument) for text in condition.value.split(",") if text.strip()]
        if not value:
            raise ValueError("Enter at least one value; separate several by commas.")
    else:
        value = _read_value(condition.value.strip(), argument)
    leaf = {"argument": argument.path, "operator": operator, "value": value}
    return {"unless": leaf} if condition.comparison.startswith("not_") else leaf


def read_simple(conditions: object) -> SimpleCondition | None:
    """Return what a form shows of stored conditions; None where they say more than a form could."""
    if not isinstance(conditions, Mapping):
        return None
    is_negated = set(conditions) == {"unless"}
    leaf = conditions["unless"] if is_negated else conditions
    if not isinstance(leaf, Mapping) or set(leaf) != {"argument", "operator", "value"}:
        return None
    comparison = ("not_" if is_negated else "") + str(leaf["operator"])
    value = leaf["value"]
    values = value if isinstance(value, list) else [value]
    if comparison not in COMPARISONS or any("," in str(one) for one in values if isinstance(value, list)):
        return None
    return SimpleCondition(str(leaf["argument"]), comparison, ", ".join(map(_write_value, values)))


def make_example(condition: SimpleCondition, argument: Argument) -> dict[str, Any]:
    """Return arguments of a call for which the condition holds. Raises ValueError as `write_simple` does."""
    written = write_simple(condition, argument)
    leaf = written.get("unless", written)
    value = leaf["value"][0] if leaf["operator"] in ("in", "any_in", "all_in") else leaf["value"]
    if "unless" in written:
        value = _make_other(leaf["value"])
    elif leaf["operator"] == "matches":
        value = value.replace("*", "")
    example: Any = [value] if argument.type == _LIST else value
    for name in reversed(argument.path.split(".")):
        example = {name: example}
    return dict(example)


def _make_other(value: Any) -> Any:
    """Return a value of the same type that is none of those given."""
    if isinstance(value, list):
        return max(value) + 1 if isinstance(value[0], int) else "".join(value) + "-other"
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}-other"


def _walk(schema: object, prefix: str) -> Iterator[Argument]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or prefix.count(".") > 3:
        return
    for name, inner in properties.items():
        if not isinstance(inner, Mapping) or not name or "." in name:
            continue
        kind = _read_type(inner)
        if kind == "object":
            yield from _walk(inner, f"{prefix}{name}.")
        else:
            items = inner.get("items")
            inside = _read_type(items) if isinstance(items, Mapping) else _TEXT
            yield Argument(f"{prefix}{name}", kind, inside, _read_choices(inner))


def _read_type(schema: Mapping[str, Any]) -> str:
    """Return one of the four types there are comparisons for, or object. What a schema leaves open counts as text."""
    named = schema.get("type")
    names = [name for name in (named if isinstance(named, list) else [named]) if name != "null"]
    name = names[0] if len(names) == 1 else None
    if name is None and isinstance(schema.get("properties"), Mapping):
        return "object"
    return {"integer": _NUMBER, "number": _NUMBER, "boolean": _TRUTH, "array": _LIST, "object": "object"}.get(
        str(name), _TEXT
    )


def _read_choices(schema: Mapping[str, Any]) -> tuple[str, ...]:
    choices = schema.get("enum")
    return tuple(map(_write_value, choices)) if isinstance(choices, list) else ()


def _read_value(text: str, argument: Argument) -> str | int | bool:
    if not text:
        raise ValueError("Enter a value to compare with.")
    if argument.value_type == _NUMBER:
        if not text.removeprefix("-").isdecimal() or not text.isascii():
            raise ValueError(f"{argument.path} is a number: enter a whole one.")
        return int(text)
    if argument.value_type == _TRUTH:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{argument.path} is either true or false.")
        return text.lower() == "true"
    return text


def _write_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
