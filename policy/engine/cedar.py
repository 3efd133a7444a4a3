"""Rules as Cedar policies, so that somebody who trusts nobody here can ask another engine.

Cedar permits or forbids; we have three layers and a third effect. So each layer is a request of its own
(`context.layer`), asked twice: a layer asks if it forbids without approval and permits with it (`context.approved`).
The call is allowed if all layers are. Cedar skips a policy that errs, which would let a deny slip; so arguments come
sorted by type, as `context.arguments["issue.title"].text`, and each policy says itself what a missing one means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from policy.engine.conditions import (
    AllOf,
    AnyOf,
    ArgumentTest,
    AutonomousTest,
    Condition,
    ConditionError,
    NetworkTest,
    TimeTest,
    Unless,
    iterate_tests,
    parse_conditions,
    requires_autonomy,
)
from policy.engine.matching import get_key, get_local_time, is_number, parse_address
from policy.engine.types import Call, Effect, Layer, Rule
from policy.engine.words import describe_limit

_LONG = 2**63 - 1


def export_rules(rules: Iterable[Rule], baselines: Mapping[Layer, Effect] | None = None) -> str:
    """Return Cedar policies that say what the rules say. Shadow rules are left out.

    Cedar decides each call by itself, so it can't count: a limit is only told, in an annotation, and taken for unused.
    """
    enforced = sorted((rule for rule in rules if not rule.is_shadow), key=lambda rule: rule.id)
    parts = [policy for rule in enforced for policy in _export_rule(rule)]
    for layer, effect in (baselines or {}).items():
        parts += _export_baseline(layer, effect, [rule for rule in enforced if rule.layer is layer])
    return "\n\n".join(parts) + "\n"


def make_request(call: Call, layer: Layer, *, is_approved: bool, zones: Iterable[str] = ()) -> dict[str, Any]:
    """Return the Cedar request for one layer of a call. `zones` are those of `find_zones`."""
    address = parse_address(call.source_address)
    return {
        "principal": f"User::{quote(call.user)}" if call.user else f"Application::{quote(call.application)}",
        "action": 'Action::"invoke"',
        "resource": f"Integration::{quote(call.integration)}",
        "context": {
            "layer": layer.value,
            "approved": is_approved,
            "autonomous": call.user is None,
            "application": call.application,
            "capability": call.capability,
            "class": call.klass,
            "now": _to_microseconds(call.now),
            "clock": {zone: _make_clock(call.now, zone) for zone in zones},
            "arguments": dict(_sort_arguments(call.arguments)),
            **({"address": {"__extn": {"fn": "ip", "arg": str(address)}}} if address else {}),
        },
    }


def make_entities(groups: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    """Return the Cedar entities of people, given the groups of each."""
    return [
        {
            "uid": {"type": "User", "id": user},
            "attrs": {},
            "parents": [{"type": "Group", "id": group} for group in of_user],
        }
        for user, of_user in groups.items()
    ]


def find_zones(rules: Iterable[Rule]) -> set[str]:
    """Return the time zones whose clocks the rules look at."""
    conditions = [condition for rule in rules if (condition := _parse(rule)[0]) is not None]
    return {test.zone for one in conditions for test in iterate_tests(one) if isinstance(test, TimeTest)}


def quote(text: str) -> str:
    """Return a Cedar string literal."""
    plain = "".join(
        character if " " <= character <= "~" and character not in '"\\' else f"\\u{{{ord(character):x}}}"
        for character in text
    )
    return f'"{plain}"'


def _export_rule(rule: Rule) -> Iterator[str]:
    head = (
        f"@id({quote(rule.id)})\n@sentence({quote(rule.sentence)})\n" if rule.sentence else f"@id({quote(rule.id)})\n"
    )
    if rule.limit is not None:
        head += f"@limit({quote(describe_limit(rule.limit))})\n"
    expression = _make_expression(rule)
    counting = f"{expression}{_exclude_autonomous(rule)}"
    if rule.effect is Effect.ALLOW:
        yield f"{head}permit (principal, action, resource) when {{ {counting} }};"
    elif rule.effect is Effect.DENY:
        yield f"{head}forbid (principal, action, resource) when {{ {expression} }};"
    else:
        yield f"{head}forbid (principal, action, resource) when {{ {expression} && !context.approved }};"
        yield f"{head}permit (principal, action, resource) when {{ {counting} }};"


def _export_baseline(layer: Layer, effect: Effect, rules: list[Rule]) -> Iterator[str]:
    """A baseline speaks where no rule does: one to ask only where no rule allows."""
    if effect is Effect.DENY:
        return
    scope = f"context.layer == {quote(layer)}{' && !context.autonomous' if layer is Layer.ORG else ''}"
    yield f"permit (principal, action, resource) when {{ {scope} }};"
    if effect is Effect.ASK:
        allowing = [_make_expression(rule) for rule in rules if rule.effect is Effect.ALLOW]
        spoken = " || ".join(f"({expression})" for expression in allowing) or "false"
        yield f"forbid (principal, action, resource) when {{ {scope} && !context.approved }} unless {{ {spoken} }};"


def _make_expression(rule: Rule) -> str:
    """Return when a rule holds, without what calls without a user change about it."""
    parts = [f"context.layer == {quote(rule.layer)}", *_make_scope(rule)]
    if rule.valid_from is not None:
        parts.append(f"context.now >= {_to_microseconds(rule.valid_from)}")
    if rule.valid_until is not None:
        parts.append(f"context.now < {_to_microseconds(rule.valid_until)}")
    condition, is_readable = _parse(rule)
    if not is_readable:
        parts.append("false" if rule.effect is Effect.ALLOW else "true")
    elif condition is not None:
        export = _export_surely if rule.effect is Effect.ALLOW else _export_perhaps
        parts.append(export(condition))
    return " && ".join(parts)


def _make_scope(rule: Rule) -> Iterator[str]:
    if rule.user is not None:
        yield f"principal == User::{quote(rule.user)}"
    if rule.group is not None:
        yield f"principal in Group::{quote(rule.group)}"
    if rule.application is not None:
        yield f"context.application == {quote(rule.application)}"
    if rule.integration is not None:
        yield f"resource == Integration::{quote(rule.integration)}"
    if rule.capability:
        yield f"context.capability like {_quote_pattern(rule.capability)}"
    if rule.klass:
        yield f'context["class"] == {quote(rule.klass)}'


def _exclude_autonomous(rule: Rule) -> str:
    is_specific = rule.layer is not Layer.ORG or rule.application is not None or requires_autonomy(_parse(rule)[0])
    return "" if is_specific else " && !context.autonomous"


def _parse(rule: Rule) -> tuple[Condition | None, bool]:
    try:
        return (None if rule.conditions is None else parse_conditions(rule.conditions)), True
    except ConditionError:
        return None, False


def _export_surely(condition: Condition) -> str:
    """Return an expression that is true where the condition holds, and false where it errs."""
    match condition:
        case AllOf():
            return _join(map(_export_surely, condition.parts), "&&")
        case AnyOf():
            return _join(map(_export_surely, condition.parts), "||")
        case Unless():
            return f"!({_export_perhaps(condition.part)})"
    return _join((f"({typed} && {holds})" for typed, holds in _export_test(condition)), "||")


def _export_perhaps(condition: Condition) -> str:
    """Return an expression that is false where the condition fails, and true where it errs."""
    match condition:
        case AllOf():
            return _join(map(_export_perhaps, condition.parts), "&&")
        case AnyOf():
            return _join(map(_export_perhaps, condition.parts), "||")
        case Unless():
            return f"!({_export_surely(condition.part)})"
    cases = _export_test(condition)
    errs = f"!{_join((typed for typed, _ in cases), '||')}"
    return _join([errs, *(f"({typed} && {holds})" for typed, holds in cases)], "||")


def _join(expressions: Iterable[str], operator: str) -> str:
    return f"({f' {operator} '.join(expressions)})"


def _export_test(test: Condition) -> list[tuple[str, str]]:
    """Return what a test needs to be there, and when it then holds, for each type it is made for."""
    match test:
        case ArgumentTest():
            return _export_argument_test(test)
        case NetworkTest():
            ranges = (f"context.address.isInRange(ip({quote(str(network))}))" for network in test.networks)
            return [("context has address", _join(ranges, "||"))]
        case TimeTest():
            clock = f"context.clock[{quote(test.zone)}]"
            days = ", ".join(map(str, sorted(test.days)))
            hours = f"{clock}.minute >= {test.start} && {clock}.minute < {test.end}"
            return [("true", f"[{days}].contains({clock}.day) && {hours}")]
        case AutonomousTest():
            return [("true", f"context.autonomous == {_literal(test.value)}")]
    raise AssertionError(test)


def _export_argument_test(test: ArgumentTest) -> list[tuple[str, str]]:
    has = f"context.arguments has {quote(test.name)}"
    if test.operator == "exists":
        return [("true", has)]
    argument = f"context.arguments[{quote(test.name)}]"
    fields = ("folded", "folded_list") if test.ignore_case else ("text", "list")
    value = _fold(test.value) if test.ignore_case else test.value
    return [
        (f"({has} && {argument} has {field})", holds)
        for field, holds in _OPERATORS[test.operator](value, argument, *fields)
    ]


def _fold(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else tuple(one.casefold() for one in value)


Cases = Iterable[tuple[str, str]]


def _equals(value: Any, argument: str, text: str, elements: str) -> Cases:
    if isinstance(value, bool):
        yield "boolean", f"{argument}.boolean == {_literal(value)}"
    elif isinstance(value, int):
        yield "number", f"({argument}.number.floor == {value} && {argument}.number.ceiling == {value})"
    else:
        yield text, f"{argument}.{text} == {quote(value)}"


def _in(value: Any, argument: str, text: str, elements: str) -> Cases:
    if isinstance(value[0], str):
        yield text, f"{_literal(value)}.contains({argument}.{text})"
    else:
        whole = f"{argument}.number.floor == {argument}.number.ceiling"
        yield "number", f"({whole} && {_literal(value)}.contains({argument}.number.floor))"


def _like(before: str, after: str) -> Callable[..., Cases]:
    def export(value: Any, argument: str, text: str, elements: str) -> Cases:
        yield text, f'{argument}.{text} like "{before}{_escape(value)}{after}"'

    return export


def _matches(value: Any, argument: str, text: str, elements: str) -> Cases:
    yield text, f"{argument}.{text} like {_quote_pattern(value)}"


def _contains(value: Any, argument: str, text: str, elements: str) -> Cases:
    if isinstance(value, str):
        yield text, f'{argument}.{text} like "*{_escape(value)}*"'
    yield elements, f"{argument}.{elements}.contains({_literal(value)})"


def _compare(operator: str, bound: str) -> Callable[..., Cases]:
    def export(value: Any, argument: str, text: str, elements: str) -> Cases:
        yield "number", f"{argument}.number.{bound} {operator} {value}"

    return export


def _length(operator: str) -> Callable[..., Cases]:
    def export(value: Any, argument: str, text: str, elements: str) -> Cases:
        yield "length", f"{argument}.length {operator} {value}"

    return export


def _any_in(value: Any, argument: str, text: str, elements: str) -> Cases:
    yield elements, f"{argument}.{elements}.containsAny({_literal(value)})"


def _all_in(value: Any, argument: str, text: str, elements: str) -> Cases:
    yield elements, f"{_literal(value)}.containsAll({argument}.{elements})"


# A fraction lies between its floor and its ceiling, so that comparing it with a whole number needs one of them.
_OPERATORS: Mapping[str, Callable[..., Cases]] = {
    "equals": _equals,
    "in": _in,
    "matches": _matches,
    "starts_with": _like("", "*"),
    "ends_with": _like("*", ""),
    "contains": _contains,
    "less_than": _compare("<", "floor"),
    "at_most": _compare("<=", "ceiling"),
    "greater_than": _compare(">", "ceiling"),
    "at_least": _compare(">=", "floor"),
    "length_at_most": _length("<="),
    "length_at_least": _length(">="),
    "any_in": _any_in,
    "all_in": _all_in,
}


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return str(value) if isinstance(value, int) else quote(value)


def _escape(text: str) -> str:
    """Return a text inside a pattern, where a star would otherwise mean any."""
    return quote(text)[1:-1].replace("*", "\\*")


def _quote_pattern(pattern: str) -> str:
    return '"' + "*".join(_escape(piece) for piece in pattern.split("*")) + '"'


def _to_microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _make_clock(now: float, zone: str) -> dict[str, int]:
    day, minute = get_local_time(now, zone)
    return {"day": day, "minute": minute}


def _sort_arguments(arguments: Mapping[str, Any], above: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """Yield each argument's path and what it is, by type."""
    for name, value in arguments.items():
        if value is None or "." in name:  # null is as good as missing, and a name with a dot can't be written in a rule
            continue
        yield f"{above}{name}", _sort_value(value)
        if isinstance(value, dict) and depth < 10:
            yield from _sort_arguments(value, f"{above}{name}.", depth + 1)


def _sort_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolean": value}
    if isinstance(value, str):
        return {"text": value, "folded": value.casefold(), "length": len(value)}
    if isinstance(value, list):
        folded = [element.casefold() if isinstance(element, str) else element for element in value]
        return {
            "list": [_make_element(element) for element in value],
            "folded_list": [_make_element(element) for element in folded],
            "length": len(value),
        }
    if is_number(value):
        return {"number": {"floor": _clamp(math.floor(value)), "ceiling": _clamp(math.ceil(value))}}
    return {}


def _make_element(element: Any) -> Any:
    key = get_key(element)
    if isinstance(key, int) and abs(key) > _LONG:
        return {"number": str(key)}
    if isinstance(key, tuple):
        return key[0]
    return key if key is not None else {"other": str(type(element))}


def _clamp(number: int) -> int:
    return max(-_LONG, min(_LONG, number))
