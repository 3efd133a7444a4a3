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
from policy.engine.types import Limit, Per, Period

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
            return _describe_negated(condition.part)


def describe_limit(limit: Limit) -> str:
    """Return how often: “20 times an hour for each application”."""
    times = "once" if limit.count == 1 else f"{limit.count} times"
    period = "an hour" if limit.period is Period.HOUR else f"a {limit.period}"
    whose = {Per.RULE: "", Per.APPLICATION: " for each application", Per.USER: " for each person"}[limit.per]
    return f"{times} {period}{whose}"


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


def _describe_negated(condition: Condition) -> str:
    match condition:
        case ArgumentTest():
            return _describe_argument_test(condition, is_negated=True)
        case NetworkTest():
            return f"the call does not come from {join_words(map(str, condition.networks), 'or')}"
        case TimeTest():
            return _describe_time(condition, "is not")
        case AutonomousTest():
            return describe_condition(AutonomousTest(not condition.value))
        case AllOf():
            return f"not all of this holds: ({describe_condition(condition)})"
        case AnyOf():
            return f"none of this holds: ({describe_condition(condition)})"
        case Unless():
            return describe_condition(condition.part)


def _describe_argument_test(test: ArgumentTest, *, is_negated: bool = False) -> str:
    words = WORDS[test.operator](test.value)
    if is_negated:
        words = _negate(words)
    return f"{test.name} {words}{' (in any case)' if test.ignore_case else ''}"


def _negate(words: str) -> str:
    """Negate what WORDS returned: “is 3” to “is not 3”, “starts with a” to “does not start with a”."""
    if words.startswith(_ONLY):
        return f"has something other than {words.removeprefix(_ONLY)}"
    verb, _, rest = words.partition(" ")
    return f"{_NEGATED[verb]} {rest}"


def _describe_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _list(values: Iterable[Any], conjunction: str) -> str:
    return join_words(map(_describe_value, values), conjunction)


def _describe_time(test: TimeTest, verb: str = "is") -> str:
    is_whole_day = (test.start, test.end) == (0, 24 * 60)
    hours = "" if is_whole_day else f"{_describe_minutes(test.start)} to {_describe_minutes(test.end)}"
    days = "any day" if is_whole_day and len(test.days) == len(DAYS) else _describe_days(test.days)
    return f"it {verb} {', '.join(filter(None, (days, hours)))} ({test.zone})"


def _describe_days(days: frozenset[int]) -> str:
    """Return the days in words; nothing where it is any of them."""
    ordered = sorted(days)
    if len(ordered) == len(DAYS):
        return ""
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{_DAY_NAMES[ordered[0]]} to {_DAY_NAMES[ordered[-1]]}"
    return join_words((_DAY_NAMES[day] for day in ordered), "or")


def _describe_minutes(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


_ONLY = "has nothing but "
_NEGATED = {
    "is": "is not",
    "has": "does not have",
    "matches": "does not match",
    "starts": "does not start",
    "ends": "does not end",
    "contains": "does not contain",
}

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
    "all_in": lambda values: f"{_ONLY}{_list(values, 'and')}",
    "exists": lambda value: "is given",
}
