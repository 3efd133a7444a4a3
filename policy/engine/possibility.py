"""Whether conditions can hold at all, alone or together with others.

What is said to be impossible is so for every call there could be; what is said to be possible need not be. Conditions
are written out as ways, each a list of tests and the results they must have; a way is impossible when one argument, the
time, the network or the user can't be such that its tests have these results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from itertools import pairwise, product
from typing import Any

from policy.engine.conditions import (
    AllOf,
    AnyOf,
    ArgumentTest,
    AutonomousTest,
    Condition,
    NetworkTest,
    TimeTest,
    Unless,
)
from policy.engine.matching import CHECKS, compile_pattern, fold, get_key

# Beyond these, conditions are taken to be possible: nobody waits for a form longer than a moment.
_MAX_WAYS = 200
_MAX_CANDIDATES = 4000

_MINUTES = 24 * 60


class Result(Enum):
    """Which results of a condition are wanted; None is what errs."""

    HOLDS = frozenset({True})
    FAILS = frozenset({False})
    DOES_NOT_HOLD = frozenset({False, None})
    DOES_NOT_FAIL = frozenset({True, None})


@dataclass(frozen=True, slots=True)
class Demand:
    """A condition (None: always holds) and the result it must have."""

    condition: Condition | None
    result: Result


_NEGATED = {
    Result.HOLDS: Result.FAILS,
    Result.FAILS: Result.HOLDS,
    Result.DOES_NOT_HOLD: Result.DOES_NOT_FAIL,
    Result.DOES_NOT_FAIL: Result.DOES_NOT_HOLD,
}

Test = ArgumentTest | NetworkTest | TimeTest | AutonomousTest
Wanted = frozenset[bool | None]
Literal = tuple[Test, Wanted]
ArgumentLiteral = tuple[ArgumentTest, Wanted]
Way = tuple[Literal, ...]


class _TooManyError(Exception):
    pass


def is_possible(demands: Iterable[Demand], *, with_user: Sequence[bool] = (True, False)) -> bool:
    """Tell whether there may be a call with which every demand is met; `with_user` says for which calls to look."""
    try:
        ways = _combine([_write_out(demand.condition, demand.result) for demand in demands])
    except _TooManyError:
        return True
    return any(_is_possible(way, with_user) for way in ways)


def _write_out(condition: Condition | None, result: Result) -> list[Way]:
    match condition:
        case None:
            return [()] if True in result.value else []
        case Unless():
            return _write_out(condition.part, _NEGATED[result])
        case AllOf() | AnyOf():
            ways = [_write_out(part, result) for part in condition.parts]
            needs_every_part = isinstance(condition, AllOf) == (True in result.value)
            return _combine(ways) if needs_every_part else _check_number([way for some in ways for way in some])
    return [((condition, result.value),)]


def _combine(parts: Sequence[list[Way]]) -> list[Way]:
    """Return every way to go one way of each part."""
    combined: list[Way] = [()]
    for ways in parts:
        combined = [(*former, *way) for former, way in product(combined, _check_number(ways))]
        _check_number(combined)
    return combined


def _check_number(ways: list[Way]) -> list[Way]:
    if len(ways) > _MAX_WAYS:
        raise _TooManyError
    return ways


def _is_possible(way: Way, with_user: Sequence[bool]) -> bool:
    arguments: dict[tuple[str, ...], list[ArgumentLiteral]] = defaultdict(list)
    times: dict[str, list[Literal]] = defaultdict(list)
    networks: list[Literal] = []
    users: list[Literal] = []
    for test, wanted in way:
        match test:
            case ArgumentTest():
                arguments[test.path].append((test, wanted))
            case TimeTest():
                times[test.zone].append((test, wanted))
            case NetworkTest():
                networks.append((test, wanted))
            case AutonomousTest():
                users.append((test, wanted))
    return (
        _fits_one(users, with_user, lambda test, has_user: test.value is not has_user)
        and all(map(_could_be_moment, times.values()))
        and _could_be_address(networks)
        and all(map(_could_be_argument, arguments.values()))
    )


def _fits_one(literals: Sequence[Literal], values: Iterable[Any], check: Callable[[Any, Any], bool | None]) -> bool:
    return any(all(check(test, value) in wanted for test, wanted in literals) for value in values)


def _could_be_moment(literals: Sequence[Literal]) -> bool:
    """Look at each day, at every minute at which some test begins or ends to hold."""
    tests = [test for test, _ in literals if isinstance(test, TimeTest)]
    minutes = {0, *(minute for test in tests for minute in (test.start, test.end) if minute < _MINUTES)}
    return _fits_one(
        literals,
        product(range(7), minutes),
        lambda test, moment: moment[0] in test.days and test.start <= moment[1] < test.end,
    )


def _could_be_address(literals: Sequence[Literal]) -> bool:
    """Look at every address at which some network begins, or is left."""
    if all(None in wanted for _, wanted in literals):
        return True  # a call that comes from nowhere known
    networks = [network for test, _ in literals if isinstance(test, NetworkTest) for network in test.networks]
    addresses = {ip_address("0.0.0.0"), ip_address("::")}  # noqa: S104  # the first of each kind
    for network in networks:
        addresses.add(network[0])
        if int(network[-1]) + 1 < 2**network.max_prefixlen:
            addresses.add(network[-1] + 1)
    if len(addresses) > _MAX_CANDIDATES:
        return True
    return _fits_one(literals, addresses, lambda test, address: any(address in network for network in test.networks))


def _could_be_argument(literals: Sequence[ArgumentLiteral]) -> bool:
    # Nothing, either truth, and an object, to which every test but `exists` says the same as to an infinite number.
    if _fits_one(literals, (None, True, False, {}, []), _check):
        return True
    return _could_be_number(literals) or _could_be_text(literals) or _could_be_list(literals)


def _check(test: ArgumentTest, value: Any) -> bool | None:
    if test.ignore_case:
        return CHECKS[test.operator](fold(test.value))(fold(value))
    return CHECKS[test.operator](test.value)(value)


def _could_be_number(literals: Sequence[ArgumentLiteral]) -> bool:
    """Look at every number that a test names, and at one between each two and beyond them."""
    named = sorted({value for test, _ in literals for value in _get_values(test) if type(value) is int})
    between = ((low + high) // 2 if high - low > 1 else low + 0.5 for low, high in pairwise(named))
    candidates = [0, *named, *between, *((named[0] - 1, named[-1] + 1) if named else ())]
    return len(candidates) > _MAX_CANDIDATES or _fits_one(literals, candidates, _check)


def _get_values(test: ArgumentTest) -> tuple[Any, ...]:
    return test.value if isinstance(test.value, tuple) else (test.value,)


def _could_be_text(literals: Sequence[ArgumentLiteral]) -> bool:
    if not _agree(literals, ""):
        return False
    for test, is_wanted in _on(literals, ""):
        if test.operator in ("equals", "in") and is_wanted:
            if test.ignore_case and not all(other.ignore_case for other, _ in _on(literals, "")):
                continue  # the other tests care which of its many forms the text has
            return _fits_one(literals, _get_values(test), _check)
    return _Shape(literals).is_possible()


def _agree(literals: Sequence[ArgumentLiteral], example: Any) -> bool:
    """Tell whether, for values of the example's type, no test errs that mustn't and none is wanted both ways."""
    results: dict[object, Wanted] = {}
    for test, wanted in literals:
        possible: Wanted = frozenset({True, False}) if _reads(test, example) else frozenset({_check(test, example)})
        key = (test, type(test.value))  # to Python, a test for 1 is one for true
        results[key] = results.get(key, possible) & wanted
    return all(results.values())


def _reads(test: ArgumentTest, example: Any) -> bool:
    """Tell whether the test's result depends on which value of the example's type it is."""
    return test.operator != "exists" and _check(test, example) is not None


def _on(literals: Sequence[ArgumentLiteral], example: Any) -> Iterator[tuple[ArgumentTest, bool]]:
    """Yield the tests that read such values, and whether each has to hold: there, none of them errs."""
    for test, wanted in literals:
        if _reads(test, example):
            yield test, True in wanted


class _Shape:
    """What tests say of a text that none of them names: how it begins, ends, what it contains, how long it is."""

    def __init__(self, literals: Sequence[ArgumentLiteral]) -> None:
        self._demanded: list[str] = []
        self._refused: list[str] = []
        for test, is_wanted in _on(literals, ""):
            pattern = None if test.ignore_case else _write_pattern(test)
            if pattern is not None:
                (self._demanded if is_wanted else self._refused).append(pattern)
        self._least, self._most = _find_lengths(literals, "")

    def is_possible(self) -> bool:
        least = max([self._least, *(len(pattern.replace("*", "")) for pattern in self._demanded)])
        starts = sorted((pattern.partition("*")[0] for pattern in self._demanded), key=len)
        ends = sorted((pattern.rpartition("*")[2] for pattern in self._demanded), key=len)
        return (
            least <= self._most
            and all(long.startswith(short) for short, long in pairwise(starts))
            and all(long.endswith(short) for short, long in pairwise(ends))
            and not any(covers_pattern(refused, one) for refused in self._refused for one in self._demanded)
        )


def covers_pattern(wide: str, narrow: str) -> bool:
    """Tell whether every text of the one form is of the other, too. False where that can't be told."""
    # Whatever a star of the narrow one stands for has to be within a star of the wide one.
    return compile_pattern(wide)(narrow.replace("*", "\0"))


def can_meet(one: str, other: str) -> bool:
    """Tell whether some text may be of both forms. False only if none is."""
    if "*" not in one or "*" not in other:
        exact, pattern = (one, other) if "*" not in one else (other, one)
        return compile_pattern(pattern)(exact)
    starts = sorted((one.partition("*")[0], other.partition("*")[0]), key=len)
    ends = sorted((one.rpartition("*")[2], other.rpartition("*")[2]), key=len)
    return starts[1].startswith(starts[0]) and ends[1].endswith(ends[0])


def _write_pattern(test: ArgumentTest) -> str | None:
    """Return a test of a text as a pattern with at least one star, where it can be written so."""
    if test.operator == "matches" and "*" in str(test.value):
        return str(test.value)
    text = str(test.value)
    if "*" in text:
        return None
    return {"starts_with": f"{text}*", "ends_with": f"*{text}", "contains": f"*{text}*"}.get(test.operator)


def _find_lengths(literals: Sequence[ArgumentLiteral], example: Any) -> tuple[int, float]:
    """Return the least and the most that a text or list may be long."""
    least, most = 0, float("inf")
    for test, is_wanted in _on(literals, example):
        if test.operator not in ("length_at_least", "length_at_most") or not isinstance(test.value, int):
            continue
        if (test.operator == "length_at_least") == is_wanted:
            least = max(least, test.value if is_wanted else test.value + 1)
        else:
            most = min(most, test.value if is_wanted else test.value - 1)
    return least, most


def _could_be_list(literals: Sequence[ArgumentLiteral]) -> bool:
    """Look at lists with something in them: what every element must be, and what must be among them."""
    if not _agree(literals, []):
        return False
    least, most = _find_lengths(literals, [])
    allowed: set[Any] | None = None
    refused: set[Any] = set()
    demanded: list[set[Any]] = []
    for test, is_wanted in _on(literals, []):
        if test.ignore_case or test.operator not in ("contains", "any_in", "all_in"):
            continue
        keys = set(map(get_key, _get_values(test)))
        if test.operator == "all_in":
            if is_wanted:
                allowed = keys if allowed is None else allowed & keys
        elif is_wanted:
            demanded.append(keys)
        else:
            refused |= keys
    if allowed is not None:
        demanded = [keys & allowed for keys in demanded]
        demanded += [allowed] if least > 0 else []
    return least <= most and all(keys - refused for keys in demanded)
