"""One rule, compiled: whether it holds for a call that it is about."""

from __future__ import annotations

from typing import Any

from policy.engine.conditions import (
    ArgumentTest,
    Condition,
    ConditionError,
    iterate_tests,
    parse_conditions,
    requires_autonomy,
)
from policy.engine.matching import Known, Test, compile_condition, compile_without_arguments
from policy.engine.types import Call, Effect, Rule


class CompiledRule:
    """A rule and its closures.

    `test` is None where neither conditions, validity nor a limit matter; ask `holds`, or see there what a raising test
    means. With `known` (policy.engine.matching), rules share what they test alike.
    `problem` says why conditions could not be read: such an allow never holds, such a deny or ask always does.
    """

    __slots__ = ("_without_arguments", "condition", "id", "is_allow", "is_specific", "problem", "rule", "test")

    def __init__(self, rule: Rule, known: Known) -> None:
        self.rule, self.id = rule, rule.id
        self.is_allow = rule.effect is Effect.ALLOW
        self.condition: Condition | None = None
        self.problem = ""
        test: Test | None = None
        self._without_arguments: Test | None = None
        if rule.conditions is not None:
            try:
                self.condition = parse_conditions(rule.conditions)
                test = compile_condition(self.condition, known)
            except ConditionError as error:
                self.problem = str(error)
                test = _err
        self.test = self._complete(test)
        # Counts for calls without a user: the rule names the application, or says that it is for such calls.
        self.is_specific = rule.application is not None or requires_autonomy(self.condition)

    def make_test_of(self, rest: Condition | None, known: Known) -> Test | None:
        """Return what `test` comes to where only this is left to be asked of the condition."""
        return self._complete(None if rest is None else compile_condition(rest, known))

    def _complete(self, test: Test | None) -> Test | None:
        return _add_limit(self.rule, _add_validity(self.rule, test))

    def holds(self, call: Call) -> bool:
        """Tell whether the rule matches a call that it is about."""
        return holds(self.test, call, self.rule.effect)

    def is_valid_at(self, now: float) -> bool:
        return _is_valid(self.rule, now)

    def could_hold(self, call: Call) -> bool:
        """Tell whether some arguments would make it hold."""
        if not self.is_valid_at(call.now):
            return False
        if self.problem:
            return not self.is_allow
        return self._tell_without_arguments(call) is not False

    def must_hold(self, call: Call) -> bool:
        """Tell whether it holds whatever the arguments."""
        if not self.is_valid_at(call.now):
            return False
        if self.problem:
            return not self.is_allow
        return self._tell_without_arguments(call) is True

    def _tell_without_arguments(self, call: Call) -> bool | None:
        if self.condition is None:
            return True
        if self._without_arguments is None:  # lists of tools need it, decisions don't
            self._without_arguments = compile_without_arguments(self.condition)
        return _ask(self._without_arguments, call)

    @property
    def reads_context(self) -> bool:
        """Tell whether it can hold whatever the arguments: for that, something but arguments has to decide."""
        if self.condition is None:
            return True
        return not all(isinstance(test, ArgumentTest) for test in iterate_tests(self.condition))


def holds(test: Test | None, call: Call, effect: Effect) -> bool:
    """Tell whether a rule of this effect matches by its test."""
    if test is None:
        return True
    try:
        found = test(call)
    except Exception:  # a call that can't be understood is not allowed by accident, nor does it slip past a deny
        found = None
    return effect is not Effect.ALLOW if found is None else found


def _add_validity(rule: Rule, test: Test | None) -> Test | None:
    if rule.valid_from is None and rule.valid_until is None:
        return test
    if test is None:
        return lambda call: _is_valid(rule, call.now)
    inner = test
    return lambda call: _is_valid(rule, call.now) and inner(call)


def _add_limit(rule: Rule, test: Test | None) -> Test | None:
    if rule.limit is None:
        return test
    key, inner = rule.id, test
    if inner is None:
        return lambda call: not call.spent or key not in call.spent
    return lambda call: (not call.spent or key not in call.spent) and inner(call)


def _is_valid(rule: Rule, now: float) -> bool:
    return (rule.valid_from is None or rule.valid_from <= now) and (rule.valid_until is None or now < rule.valid_until)


def _err(call: Any) -> None:
    return None


def _ask(test: Test, call: Call) -> bool | None:
    try:
        return test(call)
    except Exception:
        return None
