"""Decide a call in three layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policy.engine.conditions import ArgumentTest, iterate_tests
from policy.engine.explain import explain, explain_as_json
from policy.engine.index import Cell, Find, Index, get_texts
from policy.engine.matching import Known
from policy.engine.questions import Question, find_questions
from policy.engine.rules import CompiledRule
from policy.engine.types import Call, Effect, Layer, Rule

# Looking a member up on its class costs 0.1 µs on Python 3.11, and a decision would do that twenty times.
_ALLOW, _DENY, _ASK = Effect.ALLOW, Effect.DENY, Effect.ASK

# Inside a layer, what comes first decides.
_ORDER = (Effect.DENY, Effect.ASK, Effect.ALLOW)

# How many cells the remembered plans may hold together: some tens of megabytes at the very most.
_MAX_REMEMBERED = 200_000


@dataclass(slots=True, eq=False)
class Decision:
    """What is to happen with a call, by which policy.

    `deciding` is the layer that denies (one with a deny before one that is silent) or else asks. `rules` holds one rule
    a layer: what denies, or what asks in each layer that asks, or what allows in each. `explain()` names them all.
    """

    effect: Effect
    deciding: Layer | None
    rules: tuple[CompiledRule, ...] = field(repr=False)
    _policy: Policy = field(repr=False)
    _call: Call = field(repr=False)
    plan: Plan = field(repr=False)
    limits: tuple[Rule, ...] = ()
    _explanation: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def is_allowed(self) -> bool:
        return self.effect is Effect.ALLOW

    @property
    def version(self) -> int:
        return self._policy.version

    @property
    def rule_ids(self) -> tuple[str, ...]:
        return tuple([rule.id for rule in self.rules])

    @property
    def call(self) -> Call:
        return self._call

    def decide_without(self, spent: Mapping[str, float]) -> Decision:
        """Return what is to happen when these rules' limits are used up, each until its time in unix seconds."""
        return self._policy.decide(replace(self._call, spent={**(self._call.spent or {}), **spent}))

    def explain(self) -> dict[str, Any]:
        """Return the explanation as JSON, without any of the call's arguments and without rules of other people.

        It has `effect`, `version`, `deciding`, `sentence`, `layers` (each `layer`, `verdict`, `baseline`, `rules`,
        `nearest`), `shadow`, `shadow_effect` and `fix`. A verdict is allow, ask, deny, silent, or absent (no user).
        It is made once, and not to be changed.
        """
        if self._explanation is None:
            self._explanation = explain(self._policy, self._call, self)
        return self._explanation

    def explain_as_json(self) -> bytes:
        """Return `explain()` as JSON text, quickly for allowed calls: each of those is written down."""
        return explain_as_json(self._policy, self._call, self)

    def get_questions(self) -> tuple[Question, ...]:
        """Return what is asked about the call, layer by layer, where the effect is to ask: all have to be answered."""
        return find_questions(self._policy, self._call) if self.effect is _ASK else ()


Verdict = tuple[Effect | None, CompiledRule | None]
Tests = tuple[tuple[int, Effect, Find], ...]
# Application, capability, integration, class.
Target = tuple[str, str, str, str]


@dataclass(slots=True, eq=False)
class Step:
    """What one layer has to say about calls of one shape: denies are tested first, then what asks, then what allows.

    `tests` are numbered like the `rules` that they are of, and kept apart from them: people differ in the rules that
    are about them, but not in what these test, and what everybody's decisions touch stays in the processor's cache.
    `weak_asks` don't name the application of a call without a user: they make an allow ask, but allow nothing.
    """

    layer: Layer
    baseline: Effect | None
    cells: list[Cell]
    tests: Tests
    rules: tuple[CompiledRule | None, ...]
    weak_asks: list[Cell]

    def judge(self, call: Call) -> Verdict:
        """Return the layer's verdict, None where it is silent, and a rule behind it."""
        for number, effect, test in self.tests:
            try:
                found = test(call)
            except Exception:  # as where a test errs: see policy.engine.rules.holds
                found = None
            if found or (found is None and effect is not _ALLOW):
                verdict = effect, self.rules[number] or found
                return self._soften(verdict, call) if self.weak_asks and effect is _ALLOW else verdict
        return self.baseline, None

    def _soften(self, verdict: Verdict, call: Call) -> Verdict:
        ask = next((ask for cell in self.weak_asks for ask in cell.find_all(call)), None)
        return verdict if ask is None else (_ASK, ask)


@dataclass(slots=True, eq=False)
class Plan:
    """What the layers have to say about calls of one shape.

    `is_plain`: no layer has two rules that could allow, so that `Decision.rules` are all that do. `groups`
    are the person's.
    """

    steps: tuple[Step, ...]
    groups: frozenset[str]
    is_plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_plain = all(
            sum(len(cell.rules) for cell in step.cells if cell.effect is _ALLOW) <= 1 for step in self.steps
        )

    @property
    def size(self) -> int:
        return 1 + sum(len(step.cells) for step in self.steps)


class Policy:
    """Rules, compiled. Immutable to its users; safe to share between threads.

    `names` are display names of applications and integrations by identifier, and `describe` says a rule that brings no
    sentence, both for explanations. `problems` tells, by rule, why its conditions can't be read.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        baselines: Mapping[Layer, Effect],
        version: int,
        names: Mapping[str, str],
        describe: Callable[[Rule], str] | None,
    ) -> None:
        self.version = version
        self.names = names
        self.describe = describe
        self.baselines = dict(baselines)
        known: Known = {}
        compiled = [CompiledRule(rule, known) for rule in sorted(rules, key=lambda rule: rule.id)]
        self.problems = {rule.id: rule.problem for rule in compiled if rule.problem}
        self._has_limits = any(rule.rule.limit is not None for rule in compiled)
        self.index = Index(rule for rule in compiled if not rule.rule.is_shadow)
        self.shadow_index = Index(rule for rule in compiled if rule.rule.is_shadow)
        self.explanations: dict[tuple[Plan, object], bytes] = {}
        self._plans: dict[Target, dict[str | None, Plan]] = {}
        self._steps: dict[object, Step] = {}
        self._shared: dict[Any, Any] = {}
        self._remembered = 0

    def decide(self, call: Call) -> Decision:
        """Return what is to happen. Never raises for anything a caller could send: what can't be read is denied."""
        return self._decide(self.get_plan(call), call)

    def decide_with_shadow(self, call: Call) -> Decision:
        """Return what would happen if the rules that are only recorded were enforced."""
        cells = [*self.index.find_cells(call), *self.shadow_index.find_cells(call)]
        return self._decide(self._make_plan(call, cells, self.make_step), call)

    def _decide(self, plan: Plan, call: Call) -> Decision:
        allowing: tuple[CompiledRule, ...] = ()
        asking: tuple[CompiledRule, ...] = ()
        silent = asks = None
        for step in plan.steps:
            verdict, rule = step.judge(call)
            if verdict is _ALLOW:
                if rule is not None:
                    allowing += (rule,)
            elif verdict is _ASK:
                asks = asks or step.layer
                if rule is not None:
                    asking += (rule,)
            elif rule is not None:
                return Decision(_DENY, step.layer, (rule,), self, call, plan)
            else:
                silent = silent or step.layer
        if silent is not None:
            return Decision(_DENY, silent, (), self, call, plan)
        # What is limited is judged last, so no allow without a limit holds beside one of these.
        limits = tuple([one.rule for one in allowing if one.rule.limit is not None]) if self._has_limits else ()
        if asks is not None:
            return Decision(_ASK, asks, asking, self, call, plan, limits)
        return Decision(_ALLOW, None, allowing, self, call, plan, limits)

    def could_allow(self, call: Call) -> bool:
        """Tell whether there may be arguments with which the call is allowed or asked about.

        False only if there are none, which is what a list of tools leaves out. `call.arguments` is not looked at.
        """
        return all(_could_agree(step, call) for step in self.get_plan(call).steps)

    def list_compared_texts(self, call: Call, path: tuple[str, ...]) -> list[str]:
        """Return the texts with which rules about calls of this shape compare the argument at `path`, in order."""
        rules = [rule for step in self.get_plan(call).steps for cell in step.cells for rule in cell.rules]
        tests = (test for rule in rules if rule.condition is not None for test in iterate_tests(rule.condition))
        about = (test for test in tests if isinstance(test, ArgumentTest) and test.path == path)
        return sorted({text for test in about if test.operator in ("equals", "in") for text in get_texts(test)})

    def get_plan(self, call: Call) -> Plan:
        """Return the plan for calls of this shape, remembered from the last one."""
        target = (call.application, call.capability, call.integration, call.klass)
        plans = self._plans.get(target)
        plan = None if plans is None else plans.get(call.user)
        if plan is None or plan.groups != call.groups:
            plan = self._make_plan(call, self.index.find_cells(call), self._share_step)
            self._remember(target, call.user, plan)
        return plan

    def _remember(self, target: Target, user: str | None, plan: Plan) -> None:
        self._remembered += plan.size
        if self._remembered > _MAX_REMEMBERED:
            for kept in (self._plans, self._steps, self._shared):
                kept.clear()
            self._remembered = plan.size
        plan.groups = self._shared.setdefault(plan.groups, plan.groups)
        self._plans.setdefault(target, {})[user] = plan

    def list_layers(self, call: Call) -> list[Layer]:
        return [layer for layer in Layer if call.user is not None or layer is not Layer.USER]

    def _make_plan(self, call: Call, cells: list[Cell], make_step: Callable[[Layer, list[Cell], Call], Step]) -> Plan:
        by_layer = {layer: [cell for cell in cells if cell.layer is layer] for layer in self.list_layers(call)}
        return Plan(tuple([make_step(layer, some, call) for layer, some in by_layer.items()]), call.groups)

    def _share_step(self, layer: Layer, cells: list[Cell], call: Call) -> Step:
        """Return the step of an earlier plan where the same rules speak: most are about more than one person."""
        key = (layer, call.user is None, *map(id, cells))
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self.make_step(layer, cells, call)
            step.tests = self._shared.setdefault(step.tests, step.tests)
        return step

    def make_step(self, layer: Layer, cells: list[Cell], call: Call) -> Step:
        """Return what a layer has to say with these cells."""
        # What speaks for everybody's calls doesn't speak for calls that nobody is behind (DESIGN section 7).
        is_strict = call.user is None and layer is Layer.ORG
        # What allows without a limit is asked first: a use is counted only where nothing else allows.
        ordered = sorted(cells, key=lambda cell: (_ORDER.index(cell.effect), cell.is_limited))
        counting = [cell for cell in ordered if cell.effect is _DENY or cell.is_specific or not is_strict]
        checks = [(cell.effect, find, rule) for cell in counting for find, rule in cell.checks]
        return Step(
            layer=layer,
            baseline=None if is_strict else self.baselines.get(layer),
            cells=cells,
            tests=tuple([(number, effect, find) for number, (effect, find, _) in enumerate(checks)]),
            rules=tuple([rule for _, _, rule in checks]),
            weak_asks=[cell for cell in cells if cell.effect is _ASK and cell not in counting],
        )


def compile_policy(
    rules: Iterable[Rule],
    *,
    baselines: Mapping[Layer, Effect] | None = None,
    version: int = 0,
    names: Mapping[str, str] | None = None,
    describe: Callable[[Rule], str] | None = None,
) -> Policy:
    """Compile rules once, to decide many calls. `describe` makes the sentences of rules that bring none, when needed.

    A rule whose conditions can't be read fails closed: as an allow it never holds, as a deny or ask it always does.
    """
    return Policy(rules, baselines or {}, version, names or {}, describe)


def _could_agree(step: Step, call: Call) -> bool:
    if any(rule.must_hold(call) for rule in _iterate(step, Effect.DENY) if rule.reads_context):
        return False
    if step.baseline in (Effect.ALLOW, Effect.ASK):
        return True
    return any(rule.could_hold(call) for rule in iterate_counting(step, call))


def _iterate(step: Step, effect: Effect) -> Iterator[CompiledRule]:
    return (rule for cell in step.cells if cell.effect is effect for rule in cell.rules)


def iterate_counting(step: Step, call: Call) -> Iterator[CompiledRule]:
    """Yield the allows and asks that can make the layer agree to the call, if they hold."""
    is_strict = call.user is None and step.layer is Layer.ORG
    for cell in step.cells:
        if cell.effect is not Effect.DENY and (cell.is_specific or not is_strict):
            yield from cell.rules
