"""Where the engine finds the few rules that are about a call, among ten thousand.

Rules lie in cells: one for each combination of layer, effect, subject and target. What is about a call is a handful of
cells, found by its subjects and its target. Inside a cell only conditions differ; where they demand that an argument
equals a text, a dictionary leads from the call's text to its rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from policy.engine.conditions import AllOf, ArgumentTest, Condition
from policy.engine.matching import Known, Test, compile_pattern, make_getter
from policy.engine.rules import CompiledRule, holds
from policy.engine.types import Call, Effect, Layer, Rule

# A test and the rule that it is of; no test, where the rule always holds.
Tested = tuple[Test | None, CompiledRule]
# Returns the rules that may hold for a call, with what is left to be tested.
Narrow = Callable[[Call], Sequence[Tested]]
# Answers as a test does, or with the rule that holds.
Find = Callable[[Call], Any]

# Below this a loop is as quick as a dictionary.
_FEW = 4


class Cell:
    """The rules of one layer and effect, about one subject and one target, by identifier, with limits or without."""

    __slots__ = (
        *("_checks", "_parts", "effect", "integration", "is_limited", "is_specific", "klass", "layer"),
        *("matches_capability", "rules"),
    )

    def __init__(self, first: CompiledRule) -> None:
        rule = first.rule
        self.layer, self.effect, self.is_specific = rule.layer, rule.effect, first.is_specific
        self.integration, self.klass = rule.integration, rule.klass
        self.is_limited = rule.limit is not None
        self.matches_capability = compile_pattern(rule.capability or "*")
        self.rules: list[CompiledRule] = []
        self._parts: tuple[list[Narrow], list[CompiledRule]] | None = None
        self._checks: list[tuple[Find, CompiledRule | None]] | None = None

    def is_about(self, call: Call) -> bool:
        """Tell whether the target is the call's; the subject is known to be."""
        return (
            (self.integration is None or self.integration == call.integration)
            and (not self.klass or self.klass == call.klass)
            and self.matches_capability(call.capability)
        )

    @property
    def checks(self) -> list[tuple[Find, CompiledRule | None]]:
        """What finds a rule that holds for a call, each with the rule, unless that is the answer. Built when needed."""
        if self._checks is None:
            self._checks = list(self._make_checks())
        return self._checks

    def _make_checks(self) -> Iterator[tuple[Find, CompiledRule | None]]:
        always = next((rule for rule in self.rules if rule.test is None), None)
        if always is not None:
            yield _hold, always
            return
        narrows, others = self.parts
        for narrow in narrows:
            yield _make_find(narrow, self.effect), None
        first: dict[Test, CompiledRule] = {}
        for rule in others:
            if rule.test is not None:
                first.setdefault(rule.test, rule)  # of those that test the same, one will do
        yield from first.items()

    @property
    def parts(self) -> tuple[list[Narrow], list[CompiledRule]]:
        """What finds rules by a text of the call, and the rules that nothing finds but a loop."""
        if self._parts is None:
            self._parts = _make_parts(self.rules, self.effect)
        return self._parts

    def find_all(self, call: Call) -> list[CompiledRule]:
        narrows, others = self.parts
        narrowed = (one for narrow in narrows for one in narrow(call))
        found = [rule for test, rule in narrowed if holds(test, call, self.effect)]
        return [*found, *(rule for rule in others if rule.holds(call))]


class Bucket:
    """The cells about one subject, by their integration and, where it is no pattern, their capability."""

    __slots__ = ("cells", "exact", "patterns")

    def __init__(self) -> None:
        self.cells: dict[object, Cell] = {}
        self.exact: dict[tuple[str | None, str], list[Cell]] = defaultdict(list)
        self.patterns: dict[str | None, list[Cell]] = defaultdict(list)

    def add(self, compiled: CompiledRule) -> None:
        rule = compiled.rule
        is_limited = rule.limit is not None
        key = (rule.layer, rule.effect, compiled.is_specific, is_limited, rule.integration, rule.capability, rule.klass)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = Cell(compiled)
            if rule.capability and "*" not in rule.capability:
                self.exact[rule.integration, rule.capability].append(cell)
            else:
                self.patterns[rule.integration].append(cell)
        cell.rules.append(compiled)

    def find_cells(self, call: Call) -> Iterator[Cell]:
        for integration in (None, call.integration):
            for cells in (self.exact.get((integration, call.capability)), self.patterns.get(integration)):
                for cell in cells or ():
                    if cell.is_about(call):
                        yield cell


class Index:
    """All cells, by the subject that their rules name."""

    __slots__ = ("_buckets",)

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self._buckets: dict[object, Bucket] = {}
        for compiled in rules:
            subject = _get_subject(compiled.rule)
            bucket = self._buckets.get(subject)
            if bucket is None:
                bucket = self._buckets[subject] = Bucket()
            bucket.add(compiled)

    @property
    def has_rules(self) -> bool:
        return bool(self._buckets)

    def find_buckets(self, call: Call) -> Iterator[Bucket]:
        """Yield what is about the people and the application of a call. Nobody else's rules are ever touched."""
        people = (None,) if call.user is None else (None, ("user", call.user), *(("group", g) for g in call.groups))
        for person in people:
            for application in (None, call.application):
                if (bucket := self._buckets.get((person, application))) is not None:
                    yield bucket

    def find_cells(self, call: Call) -> list[Cell]:
        cells = [cell for bucket in self.find_buckets(call) for cell in bucket.find_cells(call)]
        if call.user is None:
            return [cell for cell in cells if cell.layer is not Layer.USER]
        return cells


def _get_subject(rule: Rule) -> object:
    if rule.user is not None:
        # Nothing else names two of them; if something did, it would be about nobody rather than about too many.
        person = ("user", rule.user) if rule.group is None else ("both", rule.user, rule.group)
        return (person, rule.application)
    return (("group", rule.group) if rule.group is not None else None, rule.application)


def _hold(call: Call) -> bool:
    return True


def _make_find(narrow: Narrow, effect: Effect) -> Find:
    """Return what returns a rule that holds for a call, or False."""

    def find(call: Call) -> CompiledRule | Literal[False]:
        for test, rule in narrow(call):
            if holds(test, call, effect):
                return rule
        return False

    return find


def _make_parts(rules: Sequence[CompiledRule], effect: Effect) -> tuple[list[Narrow], list[CompiledRule]]:
    by_path: dict[tuple[str, ...], list[CompiledRule]] = defaultdict(list)
    others: list[CompiledRule] = []
    for rule in rules:
        test = find_required_text(rule.condition) if len(rules) > _FEW else None
        (by_path[test.path] if test else others).append(rule)
    return [_make_lookup(path, some, effect) for path, some in by_path.items()], others


def _make_lookup(path: tuple[str, ...], rules: Sequence[CompiledRule], effect: Effect) -> Narrow:
    """Return what finds rules that all demand a text at `path`: a text leads to its rules alone.

    What is left to be tested is the rest of their conditions, and there they are mostly alike. For anything but a text
    their tests of it err, so that an allow can't hold and any deny or ask might.
    """
    by_text: dict[str, list[Tested]] = defaultdict(list)
    known: Known = {}
    for rule in rules:
        required = find_required_text(rule.condition)
        tested = (rule.make_test_of(_leave_out(required, rule.condition), known), rule)
        for text in dict.fromkeys(get_texts(required)):
            by_text[text].append(tested)
    found = {text: tuple(some) for text, some in by_text.items()}
    otherwise = () if effect is Effect.ALLOW else tuple((rule.test, rule) for rule in rules)
    get = make_getter(path)

    def narrow(call: Call) -> Sequence[Tested]:
        try:
            value = get(call.arguments)
        except Exception:
            return otherwise
        return found.get(value, ()) if isinstance(value, str) else otherwise

    return narrow


def find_required_text(condition: Condition | None) -> ArgumentTest | None:
    """Return a test for certain texts without which the condition fails or errs."""
    match condition:
        case ArgumentTest(operator="equals" | "in") if not condition.ignore_case and get_texts(condition):
            return condition
        case AllOf():
            return next((test for test in map(find_required_text, condition.parts) if test is not None), None)
    return None


def _leave_out(test: ArgumentTest | None, condition: Condition | None) -> Condition | None:
    """Return what a condition still asks where one of its required tests is known to hold."""
    match condition:
        case AllOf():
            parts = [rest for part in condition.parts if (rest := _leave_out(test, part)) is not None]
            return AllOf(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
    return None if condition is test else condition


def get_texts(test: ArgumentTest | None) -> list[str]:
    if test is None:
        return []
    values = test.value if isinstance(test.value, tuple) else (test.value,)
    return [value for value in values if isinstance(value, str)]
