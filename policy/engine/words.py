"""Conditions as people read them: “repo is acme/frontend and labels has bug”. Never a call's own values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from policy.engine.conditions import (
    DAYS,
    AllOf,
    AnyOf,
    ArgumentTest,
    AutonomousTest,
    Condition,
    NetworkTest,
    TimeTest,
    Unless,
)

# Longer lists are cut: a sentence has to stay one.
MAX_LISTED = 6

_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def describe_condition(condition: Condition) -> str:
    """Return a clause that goes after “where”."""
    match condition:
        case ArgumentTest():
            return _describe_argument_test(condition)
        case NetworkTest():
            return f"the call comes from {join_words(map(str, condition.networks), 'or')}"
        case TimeTest():
            return _describe_time(condition)
        case AutonomousTest():
            return "no user is behind the call" if condition.value else "a user is behind the call"
        case AllOf():
            return _join_parts(condition.parts, "and", AnyOf)
        case AnyOf():
            return _join_parts(condition.parts, "or", AllOf)
        case Unless():
            return f"not ({describe_condition(condition.part)})"


def join_words(words: Iterable[str], conjunction: str) -> str:
    listed = list(words)
    if len(listed) > MAX_LISTED:
        left_out = len(listed) - MAX_LISTED + 1
        listed = [*listed[: MAX_LISTED - 1], f"{left_out} more"]
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} {conjunction} {listed[-1]}"


def _join_parts(parts: tuple[Condition, ...], conjunction: str, bracketed: type) -> str:
    described = [
        f"({describe_condition(part)})" if isinstance(part, bracketed) else describe_condition(part) for part in parts
    ]
    return f" {conjunction} ".join(described)


def _describe_argument_test(test: ArgumentTest) -> str:
    words = WORDS[test.operator](test.value)
    return f"{test.name} {words}{' (in any case)' if test.ignore_case else ''}"


def _describe_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _list(values: Iterable[Any], conjunction: str) -> str:
    return join_words(map(_describe_value, values), conjunction)


def _describe_time(test: TimeTest) -> str:
    hours = f"{_describe_minutes(test.start)} to {_describe_minutes(test.end)}"
    return f"it is {_describe_days(test.days)}, {hours} ({test.zone})"


def _describe_days(days: frozenset[int]) -> str:
    ordered = sorted(days)
    if len(ordered) == len(DAYS):
        return "any day"
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{_DAY_NAMES[ordered[0]]} to {_DAY_NAMES[ordered[-1]]}"
    return join_words((_DAY_NAMES[day] for day in ordered), "or")


def _describe_minutes(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


WORDS: Mapping[str, Callable[[Any], str]] = {
    "equals": lambda value: f"is {_describe_value(value)}",
    "in": lambda values: f"is {_list(values, 'or')}",
    "matches": lambda value: f"matches {value}",
    "starts_with": lambda value: f"starts with {value}",
    "ends_with": lambda value: f"ends with {value}",
    "contains": lambda value: f"contains {_describe_value(value)}",
    "less_than": lambda value: f"is less than {value}",
    "at_most": lambda value: f"is at most {value}",
    "greater_than": lambda value: f"is more than {value}",
    "at_least": lambda value: f"is at least {value}",
    "length_at_most": lambda value: f"is at most {value} long",
    "length_at_least": lambda value: f"is at least {value} long",
    "any_in": lambda values: f"has {_list(values, 'or')}",
    "all_in": lambda values: f"has nothing but {_list(values, 'and')}",
    "exists": lambda value: "is given",
}
