"""Where the engine finds the few rules that are about a call, among ten thousand.

Rules lie in cells: one for each combination of layer, effect, subject and target. What is about a call is a handful of
cells, found by its subjects and its target. Inside a cell only conditions differ; where they demand that an argument
equals a text, a dictionary leads from the call's text to its rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from policy.engine.conditions import AllOf, ArgumentTest, Condition
from policy.engine.matching import compile_pattern, make_getter
from policy.engine.rules import CompiledRule
from policy.engine.types import Call, Effect, Layer, Rule

Find = Callable[[Call], CompiledRule | None]
Narrow = Callable[[Call], Sequence[CompiledRule]]

# Below this a loop is as quick as a dictionary.
_FEW = 4


class Cell:
    """The rules of one layer and effect, about one subject and one target, by identifier, with limits or without."""

    __slots__ = (
        *("_parts", "effect", "integration", "is_limited", "is_specific", "klass", "layer"),
        *("matches_capability", "rules"),
    )

    def __init__(self, first: CompiledRule) -> None:
        rule = first.rule
        self.layer, self.effect, self.is_specific = rule.layer, rule.effect, first.is_specific
        self.integration, self.klass = rule.integration, rule.klass
        self.is_limited = rule.limit is not None
        self.matches_capability = compile_pattern(rule.capability or "*")
        self.rules: list[CompiledRule] = []
        self._parts: list[Narrow] | None = None

    def is_about(self, call: Call) -> bool:
        """Tell whether the target is the call's; the subject is known to be."""
        return (
            (self.integration is None or self.integration == call.integration)
            and (not self.klass or self.klass == call.klass)
            and self.matches_capability(call.capability)
        )

    @property
    def parts(self) -> list[Narrow]:
        """What returns, part by part, the rules that may hold for a call. Built when first needed."""
        if self._parts is None:
            self._parts = _make_parts(self.rules, self.effect)
        return self._parts

    def make_find(self) -> Find:
        """Return what returns a rule that holds for a call, or None."""
        always = next((rule for rule in self.rules if rule.test is None), None)
        if always is not None:
            return lambda call: always
        if len(self.rules) <= _FEW:
            return _make_loop(self.rules, self.effect)
        return _make_find(self.parts)

    def find_all(self, call: Call) -> list[CompiledRule]:
        return [rule for narrow in self.parts for rule in narrow(call) if rule.holds(call)]


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


def _make_loop(rules: Sequence[CompiledRule], effect: Effect) -> Find:
    """Return the innermost loop: `CompiledRule.holds` of one after the other, without that call."""
    is_allow = effect is Effect.ALLOW
    tests = [(rule.test, rule) for rule in rules if rule.test is not None]

    def find(call: Call) -> CompiledRule | None:
        for test, rule in tests:
            try:
                found = test(call)
            except Exception:
                found = None
            if found or (found is None and not is_allow):
                return rule
        return None

    return find


def _make_find(parts: Sequence[Narrow]) -> Find:
    """Return the same for more rules than should be looked at one by one."""

    def find(call: Call) -> CompiledRule | None:
        for narrow in parts:
            for rule in narrow(call):
                if rule.holds(call):
                    return rule
        return None

    return find


def _make_parts(rules: Sequence[CompiledRule], effect: Effect) -> list[Narrow]:
    by_path: dict[tuple[str, ...], list[CompiledRule]] = defaultdict(list)
    others: list[CompiledRule] = []
    for rule in rules:
        test = find_required_text(rule.condition) if len(rules) > _FEW else None
        (by_path[test.path] if test else others).append(rule)
    parts = [_make_lookup(path, some, effect) for path, some in by_path.items()]
    return [*parts, _make_constant(others)] if others else parts


def _make_constant(rules: Sequence[CompiledRule]) -> Narrow:
    return lambda call: rules


def _make_lookup(path: tuple[str, ...], rules: Sequence[CompiledRule], effect: Effect) -> Narrow:
    """Return what finds rules that all demand a text at `path`: a text leads to its rules alone.

    For anything else their tests of it err, so that an allow can't hold and any deny or ask might.
    """
    by_text: dict[str, list[CompiledRule]] = defaultdict(list)
    for rule in rules:
        for text in dict.fromkeys(get_texts(find_required_text(rule.condition))):
            by_text[text].append(rule)
    found = dict(by_text)
    otherwise = () if effect is Effect.ALLOW else rules
    get = make_getter(path)

    def narrow(call: Call) -> Sequence[CompiledRule]:
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


def get_texts(test: ArgumentTest | None) -> list[str]:
    if test is None:
        return []
    values = test.value if isinstance(test.value, tuple) else (test.value,)
    return [value for value in values if isinstance(value, str)]
