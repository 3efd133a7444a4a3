"""Conditions of a rule: the grammar, and a parser that accepts nothing else.

A condition is JSON, and one of

    {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    {"context": "network", "value": ["10.0.0.0/8", "2001:db8::/32"]}
    {"context": "time", "zone": "Europe/Berlin", "days": ["mon", "fri"], "from": "09:00", "until": "17:00"}
    {"context": "autonomous", "value": true}
    {"all": [condition, ...]}    {"any": [condition, ...]}    {"unless": condition}

`argument` is a path of names joined by dots (`issue.title`). Texts compare exactly, or with `"ignore_case": true` by
their case folding. Numbers in rules are whole (Cedar has no others); a call's may be fractions, and compare exactly.

    operator                                  value            holds when the argument is
    equals                                    text, number, boolean    the same
    in                                        list of texts or numbers    one of them
    matches                                   text with *      a text of that form; * stands for any run of characters
    starts_with, ends_with                    text             a text that does
    contains                                  text, number     a text with that in it, or a list with that element
    less_than, at_most, greater_than, at_least    number       a number that is
    length_at_most, length_at_least           number           a text (of code points) or a list of that length
    any_in, all_in                            list             a list of which some element is, or all are, among these
    exists                                    none             there, and not null

An argument that is missing, null or of another type makes a test neither hold nor fail: it *errs*, and so does what
depends on it, as in Kleene's logic (`all` with something that fails fails, `any` with something that holds holds). An
allow matches only when its condition holds. A deny and an ask match unless it fails. `exists` never errs.

Days and times are those of `zone` at the moment of the call; `from` is included, `until` is not and may be 24:00.
Every construct has an exact equivalent in Cedar (policy.engine.cedar), or it isn't added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from zoneinfo import ZoneInfo

MAX_DEPTH = 10
MAX_TESTS = 100
MAX_VALUES = 1000
MAX_TEXT = 1024
MAX_PATH = 10
# What every JSON reader keeps exactly (RFC 7493 §2.2).
MAX_NUMBER = 2**53 - 1

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Scalar = str | int | bool


class ConditionError(ValueError):
    """A condition that the grammar does not accept. `path` says where, as `all[1].unless`."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


@dataclass(frozen=True, slots=True)
class ArgumentTest:
    path: tuple[str, ...]
    operator: str
    value: Scalar | tuple[Scalar, ...] | None = None
    ignore_case: bool = False

    @property
    def name(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class NetworkTest:
    networks: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class TimeTest:
    """`start` and `end` are minutes of the day, `days` counts from Monday as 0."""

    zone: str
    days: frozenset[int]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AutonomousTest:
    value: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Unless:
    part: Condition


Condition = ArgumentTest | NetworkTest | TimeTest | AutonomousTest | AllOf | AnyOf | Unless


def parse_conditions(data: Any) -> Condition:
    """Return the condition that `data` (decoded JSON) writes. Raises ConditionError for anything else."""
    condition = _parse(data, "", 1)
    if sum(1 for _ in iterate_tests(condition)) > MAX_TESTS:
        raise ConditionError(f"at most {MAX_TESTS} tests fit into one rule; use `in` with a list, or several rules")
    return condition


def iterate_tests(condition: Condition) -> Sequence[ArgumentTest | NetworkTest | TimeTest | AutonomousTest]:
    """Return the tests of a condition in the order in which they are written."""
    if isinstance(condition, AllOf | AnyOf):
        return [test for part in condition.parts for test in iterate_tests(part)]
    if isinstance(condition, Unless):
        return iterate_tests(condition.part)
    return [condition]


def requires_autonomy(condition: Condition | None) -> bool:
    """Tell whether a rule with this condition says that it is for calls without a user."""
    if isinstance(condition, AllOf):
        return any(map(requires_autonomy, condition.parts))
    return condition == AutonomousTest(True)


def _parse(data: Any, path: str, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise ConditionError(f"conditions may be nested {MAX_DEPTH} deep at most", path)
    if not isinstance(data, dict):
        raise ConditionError("a condition is an object", path)
    kinds = [kind for kind in _PARSERS if kind in data]
    if len(kinds) != 1:
        raise ConditionError(f"a condition has exactly one of the keys {', '.join(_PARSERS)}", path)
    return _PARSERS[kinds[0]](data, path, depth)


def _parse_group(key: str, make: Callable[[tuple[Condition, ...]], Condition]) -> Callable[..., Condition]:
    def parse(data: Mapping[str, Any], path: str, depth: int) -> Condition:
        _check_keys(data, {key}, path)
        parts = data[key]
        if not isinstance(parts, list) or not 0 < len(parts) <= MAX_TESTS:
            raise ConditionError(f"`{key}` takes a list of 1 to {MAX_TESTS} conditions", path)
        return make(tuple(_parse(part, f"{_join(path, key)}[{n}]", depth + 1) for n, part in enumerate(parts)))

    return parse


def _parse_unless(data: Mapping[str, Any], path: str, depth: int) -> Condition:
    _check_keys(data, {"unless"}, path)
    return Unless(_parse(data["unless"], _join(path, "unless"), depth + 1))


def _parse_argument(data: Mapping[str, Any], path: str, depth: int) -> Condition:
    _check_keys(data, {"argument", "operator", "value", "ignore_case"}, path)
    names = _parse_path(data["argument"], path)
    operator = data.get("operator")
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise ConditionError(f"the operator is one of {', '.join(OPERATORS)}", path)
    if operator == "exists":
        _check_keys(data, {"argument", "operator"}, path)
        return ArgumentTest(names, operator)
    value = OPERATORS[operator](data.get("value"), path)
    ignore_case = data.get("ignore_case", False)
    if not isinstance(ignore_case, bool):
        raise ConditionError("`ignore_case` is true or false", path)
    if ignore_case and not _has_only_texts(value):
        raise ConditionError("`ignore_case` is for texts", path)
    return ArgumentTest(names, operator, value, ignore_case)


def _parse_path(data: Any, path: str) -> tuple[str, ...]:
    names = tuple(_text(data, path).split("."))
    if len(names) > MAX_PATH or not all(names):
        raise ConditionError(f"`argument` is up to {MAX_PATH} names joined by dots", path)
    return names


def _parse_context(data: Mapping[str, Any], path: str, depth: int) -> Condition:
    kind = data["context"]
    if not isinstance(kind, str) or kind not in _CONTEXTS:
        raise ConditionError(f"`context` is one of {', '.join(_CONTEXTS)}", path)
    return _CONTEXTS[kind](data, path)


def _parse_network(data: Mapping[str, Any], path: str) -> Condition:
    _check_keys(data, {"context", "value"}, path)
    value = data.get("value")
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
        raise ConditionError("`value` is a list of networks such as 10.0.0.0/8", path)
    return NetworkTest(tuple(_parse_one_network(text, path) for text in value))


def _parse_one_network(data: Any, path: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(_text(data, path))
    except ValueError:
        raise ConditionError("a network is written as 10.0.0.0/8, with no bits set beyond its length", path) from None
    if isinstance(network, IPv6Network) and (network.network_address.scope_id or network.network_address.ipv4_mapped):
        raise ConditionError("write the network without a zone, and an IPv4 one as IPv4", path)
    return network


def _parse_time(data: Mapping[str, Any], path: str) -> Condition:
    _check_keys(data, {"context", "zone", "days", "from", "until"}, path)
    start, end = _parse_minutes(data.get("from", "00:00"), path), _parse_minutes(data.get("until", "24:00"), path)
    if start >= end:
        raise ConditionError("`from` comes before `until`; write a window over midnight as two, joined by `any`", path)
    days = data.get("days", list(DAYS))
    if not isinstance(days, list) or not days or not all(isinstance(day, str) and day in DAYS for day in days):
        raise ConditionError(f"`days` is a list out of {', '.join(DAYS)}", path)
    return TimeTest(_parse_zone(data.get("zone"), path), frozenset(map(DAYS.index, days)), start, end)


def _parse_zone(data: Any, path: str) -> str:
    zone = _text(data, path)
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # unknown, malformed, a folder of the zone files
        raise ConditionError("`zone` is a time zone's name such as Europe/Berlin or UTC", path) from None
    return zone


_MINUTES = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)


def _parse_minutes(data: Any, path: str) -> int:
    if not isinstance(data, str) or not _MINUTES.fullmatch(data):
        raise ConditionError("a time of day is written as 09:00, with 24:00 as the last", path)
    hours, minutes = data.split(":")
    return int(hours) * 60 + int(minutes)


def _parse_autonomous(data: Mapping[str, Any], path: str) -> Condition:
    _check_keys(data, {"context", "value"}, path)
    if not isinstance(data.get("value"), bool):
        raise ConditionError("`value` is true (no user is behind the call) or false", path)
    return AutonomousTest(data["value"])


def _scalar(data: Any, path: str) -> Scalar:
    if isinstance(data, bool):
        return data
    return _number(data, path) if isinstance(data, int) else _text(data, path)


def _text_or_number(data: Any, path: str) -> Scalar:
    if isinstance(data, bool):
        raise ConditionError("`value` is a text or a whole number here", path)
    return _scalar(data, path)


def _number(data: Any, path: str) -> int:
    if not isinstance(data, int) or isinstance(data, bool) or abs(data) > MAX_NUMBER:
        raise ConditionError(f"`value` is a whole number between -{MAX_NUMBER} and {MAX_NUMBER}", path)
    return data


def _length(data: Any, path: str) -> int:
    if _number(data, path) < 0:
        raise ConditionError("a length is 0 or more", path)
    return int(data)


def _text(data: Any, path: str) -> str:
    if not isinstance(data, str) or not 0 < len(data) <= MAX_TEXT:
        raise ConditionError(f"a text of 1 to {MAX_TEXT} characters belongs here", path)
    # Neither can be stored by PostgreSQL, nor sent anywhere as UTF-8.
    if "\0" in data or any("\ud800" <= character <= "\udfff" for character in data):
        raise ConditionError("texts are valid Unicode without NUL", path)
    return data


def _values(data: Any, path: str) -> tuple[Scalar, ...]:
    if not isinstance(data, list) or not 0 < len(data) <= MAX_VALUES:
        raise ConditionError(f"`value` is a list of 1 to {MAX_VALUES} texts or numbers", path)
    values = tuple(_text_or_number(value, path) for value in data)
    if len({type(value) for value in values}) > 1:
        raise ConditionError("`value` is a list either of texts or of numbers", path)
    return values


def _has_only_texts(value: Scalar | tuple[Scalar, ...]) -> bool:
    return all(isinstance(one, str) for one in (value if isinstance(value, tuple) else (value,)))


def _check_keys(data: Mapping[str, Any], known: set[str], path: str) -> None:
    if data.keys() <= known:
        return
    unknown = sorted(str(key) for key in data.keys() - known)
    raise ConditionError(f"unknown key {unknown[0][:40]!r}; known are {', '.join(sorted(known))}", path)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


OPERATORS: Mapping[str, Callable[[Any, str], Scalar | tuple[Scalar, ...]]] = {
    "equals": _scalar,
    "in": _values,
    "matches": _text,
    "starts_with": _text,
    "ends_with": _text,
    "contains": _text_or_number,
    "less_than": _number,
    "at_most": _number,
    "greater_than": _number,
    "at_least": _number,
    "length_at_most": _length,
    "length_at_least": _length,
    "any_in": _values,
    "all_in": _values,
    "exists": _scalar,
}

_PARSERS: Mapping[str, Callable[[Mapping[str, Any], str, int], Condition]] = {
    "argument": _parse_argument,
    "context": _parse_context,
    "all": _parse_group("all", AllOf),
    "any": _parse_group("any", AnyOf),
    "unless": _parse_unless,
}

_CONTEXTS: Mapping[str, Callable[[Mapping[str, Any], str], Condition]] = {
    "network": _parse_network,
    "time": _parse_time,
    "autonomous": _parse_autonomous,
}
