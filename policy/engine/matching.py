"""Conditions and patterns as closures. A closure answers True, False, or None where the condition errs.

Every test costs time linear in the argument: no regular expression ever sees a rule's or a call's text.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from zoneinfo import ZoneInfo

from policy.engine.conditions import (
    AllOf,
    AnyOf,
    ArgumentTest,
    AutonomousTest,
    Condition,
    NetworkTest,
    Scalar,
    TimeTest,
    Unless,
)
from policy.engine.types import Call

Test = Callable[[Call], bool | None]
Check = Callable[[Any], bool | None]
Getter = Callable[[Mapping[str, Any]], Any]


# Tests by what they test, so that equal parts of conditions are one object.
Known = dict[object, Test]


def compile_condition(condition: Condition, known: Known | None = None) -> Test:
    """Return what tells whether a condition holds for a call.

    With `known`, conditions and parts of them that are equal become one closure. Thousands of rules mostly test the
    same few things, and what the last decision used is still in the processor's cache for the next.
    """
    return _compile(condition, _compile_argument_test, {} if known is None else known)


def compile_without_arguments(condition: Condition) -> Test:
    """Return the same for a call whose arguments aren't known yet: None also means that they decide."""
    return _compile(condition, lambda test: lambda call: None, {})


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a text has the form of a pattern, in which `*` stands for any run of characters."""
    if "*" not in pattern:
        return pattern.__eq__
    first, *middle, last = pattern.split("*")
    fixed = len(first) + len(last)

    def matches(text: str) -> bool:
        if len(text) < fixed or not text.startswith(first) or not text.endswith(last):
            return False
        position, end = len(first), len(text) - len(last)
        for piece in middle:
            found = text.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True

    return matches


def make_getter(path: tuple[str, ...]) -> Getter:
    """Return what finds the argument at a path; None where there is nothing."""
    if len(path) == 1:
        name = path[0]
        return lambda arguments: arguments.get(name)

    def get(arguments: Mapping[str, Any]) -> Any:
        found: Any = arguments
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found

    return get


@lru_cache(maxsize=4096)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, an IPv4 one that came over an IPv6 socket as IPv4; None for what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or (None if address.scope_id else address)
    return address


@lru_cache(maxsize=1024)
def get_local_time(now: float, zone: str) -> tuple[int, int]:
    """Return the day (from Monday, 0) and the minute of the day in a time zone."""
    local = dt.datetime.fromtimestamp(now, ZoneInfo(zone))
    return local.weekday(), local.hour * 60 + local.minute


def get_key(value: Any) -> Any:
    """Return what two JSON values share when a rule takes them for equal: 1 and 1.0 do, 1 and true don't."""
    if isinstance(value, bool):
        return (value,)
    if isinstance(value, str | int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def is_number(value: Any) -> bool:
    # True is no number here. Asking for the type is a third of asking whether it is an instance.
    kind = type(value)
    return kind is int or (kind is float and math.isfinite(value))


def _compile(condition: Condition, compile_argument_test: Callable[[ArgumentTest], Test], known: Known) -> Test:
    key: object
    parts: tuple[Test, ...] = ()
    match condition:
        case AllOf() | AnyOf():
            parts = tuple(_compile(part, compile_argument_test, known) for part in condition.parts)
            key = (type(condition), parts)
        case Unless():
            parts = (_compile(condition.part, compile_argument_test, known),)
            key = (Unless, parts)
        case ArgumentTest():
            key = (condition, type(condition.value))  # 1 equals True, and tests something else
        case _:
            key = condition
    test = known.get(key)
    if test is None:
        test = known[key] = _make_test(condition, parts, compile_argument_test)
    return test


def _make_test(
    condition: Condition, parts: tuple[Test, ...], compile_argument_test: Callable[[ArgumentTest], Test]
) -> Test:
    match condition:
        case ArgumentTest():
            return compile_argument_test(condition)
        case NetworkTest():
            return _compile_network_test(condition)
        case TimeTest():
            return _compile_time_test(condition)
        case AutonomousTest():
            return lambda call: (call.user is None) is condition.value
        case AllOf():
            return _all_of(parts)
        case AnyOf():
            return _any_of(parts)
        case Unless():
            return _unless(*parts)


def _all_of(parts: tuple[Test, ...]) -> Test:
    def test(call: Call) -> bool | None:
        result: bool | None = True
        for part in parts:
            found = part(call)
            if found is False:
                return False
            if found is None:
                result = None
        return result

    return test


def _any_of(parts: tuple[Test, ...]) -> Test:
    def test(call: Call) -> bool | None:
        result: bool | None = False
        for part in parts:
            found = part(call)
            if found is True:
                return True
            if found is None:
                result = None
        return result

    return test


def _unless(part: Test) -> Test:
    def test(call: Call) -> bool | None:
        found = part(call)
        return None if found is None else not found

    return test


def _compile_network_test(condition: NetworkTest) -> Test:
    networks = condition.networks

    def test(call: Call) -> bool | None:
        address = parse_address(call.source_address)
        return None if address is None else any(address in network for network in networks)

    return test


def _compile_time_test(condition: TimeTest) -> Test:
    def test(call: Call) -> bool:
        # To the whole minute, so that calls of one minute share what they find. Zones are off by whole minutes only.
        day, minute = get_local_time(call.now // 60 * 60, condition.zone)
        return day in condition.days and condition.start <= minute < condition.end

    return test


def _compile_argument_test(test: ArgumentTest) -> Test:
    if test.ignore_case:
        folded = CHECKS[test.operator](fold(test.value))
        return _apply(lambda value: folded(fold(value)), test.path)
    if test.operator == "equals" and isinstance(test.value, str) and len(test.path) == 1:
        return _compile_equal_text(test.path[0], test.value)
    return _apply(CHECKS[test.operator](test.value), test.path)


def _apply(check: Check, path: tuple[str, ...]) -> Test:
    if len(path) == 1:
        name = path[0]
        return lambda call: check(call.arguments.get(name))
    get = make_getter(path)
    return lambda call: check(get(call.arguments))


def _compile_equal_text(name: str, text: str) -> Test:
    """Do at once what most tests in practice are."""

    def test(call: Call) -> bool | None:
        value = call.arguments.get(name)
        return value == text if isinstance(value, str) else None

    return test


def fold(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, list | tuple):
        return type(value)(element.casefold() if isinstance(element, str) else element for element in value)
    return value


def _equals(operand: Scalar) -> Check:
    if isinstance(operand, str):
        return lambda value: value == operand if isinstance(value, str) else None
    if isinstance(operand, bool):
        return lambda value: value is operand if isinstance(value, bool) else None
    return lambda value: value == operand if is_number(value) else None


def _in(operand: tuple[Scalar, ...]) -> Check:
    keys = frozenset(operand)
    if isinstance(operand[0], str):
        return lambda value: value in keys if isinstance(value, str) else None
    return lambda value: value in keys if is_number(value) else None


def _on_text(make: Callable[[str], Callable[[str], bool]]) -> Callable[[str], Check]:
    def make_check(operand: str) -> Check:
        holds = make(operand)
        return lambda value: holds(value) if isinstance(value, str) else None

    return make_check


def _contains(operand: Scalar) -> Check:
    def check(value: Any) -> bool | None:
        if isinstance(value, str) and isinstance(operand, str):
            return operand in value
        if isinstance(value, list):
            return any(get_key(element) == operand for element in value)
        return None

    return check


def _on_number(compare: Callable[[float, int], bool]) -> Callable[[int], Check]:
    def make_check(operand: int) -> Check:
        return lambda value: compare(value, operand) if is_number(value) else None

    return make_check


def _on_length(compare: Callable[[float, int], bool]) -> Callable[[int], Check]:
    def make_check(operand: int) -> Check:
        return lambda value: compare(len(value), operand) if isinstance(value, str | list) else None

    return make_check


def _any_in(operand: tuple[Scalar, ...]) -> Check:
    keys = frozenset(operand)
    return lambda value: any(get_key(element) in keys for element in value) if isinstance(value, list) else None


def _all_in(operand: tuple[Scalar, ...]) -> Check:
    keys = frozenset(operand)
    return lambda value: all(get_key(element) in keys for element in value) if isinstance(value, list) else None


CHECKS: Mapping[str, Callable[[Any], Check]] = {
    "equals": _equals,
    "in": _in,
    "matches": _on_text(compile_pattern),
    "starts_with": _on_text(lambda operand: lambda text: text.startswith(operand)),
    "ends_with": _on_text(lambda operand: lambda text: text.endswith(operand)),
    "contains": _contains,
    "less_than": _on_number(operator.lt),
    "at_most": _on_number(operator.le),
    "greater_than": _on_number(operator.gt),
    "at_least": _on_number(operator.ge),
    "length_at_most": _on_length(operator.le),
    "length_at_least": _on_length(operator.ge),
    "any_in": _any_in,
    "all_in": _all_in,
    "exists": lambda operand: lambda value: value is not None,
}
