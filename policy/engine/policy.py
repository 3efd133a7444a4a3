"""Decide a call in three layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policy.engine.conditions import ArgumentTest, iterate_tests
from policy.engine.explain import explain, explain_as_json
from policy.engine.index import Cell, Find, Index, get_texts
from policy.engine.questions import Question, find_questions
from policy.engine.rules import CompiledRule
from policy.engine.types import Call, Effect, Layer, Rule

# Looking a member up on its class costs 0.1 µs on Python 3.11, and a decision would do that twenty times.
_ALLOW, _DENY, _ASK = Effect.ALLOW, Effect.DENY, Effect.ASK

# How many cells the remembered plans may hold together: some tens of megabytes at the very most.
_MAX_REMEMBERED = 200_000


@dataclass(slots=True, eq=False)
class Decision:
    """What is to happen with a call, by which policy.

    `deciding` is the layer that denies (one with a deny before one that is silent) or else asks. `rule_ids` holds one
    rule a layer: what denies, or what asks in each layer that asks, or what allows in each. `explain()` names them all.
    """

    effect: Effect
    deciding: Layer | None
    rule_ids: tuple[str, ...]
    version: int
    _policy: Policy = field(repr=False)
    _call: Call = field(repr=False)
    plan: Plan = field(repr=False)
    limits: tuple[Rule, ...] = ()
    _explanation: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def is_allowed(self) -> bool:
        return self.effect is Effect.ALLOW

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


@dataclass(slots=True, eq=False)
class Step:
    """What one layer has to say about calls of one shape.

    `weak_asks` don't name the application of a call without a user: they make an allow ask, but allow nothing.
    """

    layer: Layer
    baseline: Effect | None
    cells: list[Cell]
    denies: list[Find] = field(default_factory=list)
    asks: list[Find] = field(default_factory=list)
    weak_asks: list[Find] = field(default_factory=list)
    allows: list[Find] = field(default_factory=list)

    def judge(self, call: Call) -> Verdict:
        """Return the layer's verdict, None where it is silent, and a rule behind it."""
        for find in self.denies:
            if (rule := find(call)) is not None:
                return _DENY, rule
        for find in self.asks:
            if (rule := find(call)) is not None:
                return _ASK, rule
        for find in self.allows:
            if (rule := find(call)) is not None:
                return self._soften(rule, call) if self.weak_asks else (_ALLOW, rule)
        return self.baseline, None

    def _soften(self, rule: CompiledRule, call: Call) -> Verdict:
        asks = (ask for find in self.weak_asks if (ask := find(call)) is not None)
        ask = next(asks, None)
        return (_ALLOW, rule) if ask is None else (_ASK, ask)


@dataclass(slots=True, eq=False)
class Plan:
    """What the layers have to say about calls of one shape.

    `is_plain`: no layer has two rules that could allow, so that `Decision.rule_ids` names all that do.
    """

    steps: list[Step]
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
        compiled = [CompiledRule(rule) for rule in sorted(rules, key=lambda rule: rule.id)]
        self.problems = {rule.id: rule.problem for rule in compiled if rule.problem}
        self.index = Index(rule for rule in compiled if not rule.rule.is_shadow)
        self.shadow_index = Index(rule for rule in compiled if rule.rule.is_shadow)
        self.explanations: dict[tuple[Plan, object], bytes] = {}
        self._plans: dict[object, Plan] = {}
        self._remembered = 0

    def decide(self, call: Call) -> Decision:
        """Return what is to happen. Never raises for anything a caller could send: what can't be read is denied."""
        return self._decide(self.get_plan(call), call)

    def decide_with_shadow(self, call: Call) -> Decision:
        """Return what would happen if the rules that are only recorded were enforced."""
        return self._decide(self._make_plan(call, self.shadow_index.find_cells(call)), call)

    def _decide(self, plan: Plan, call: Call) -> Decision:
        allowing: tuple[str, ...] = ()
        asking: tuple[str, ...] = ()
        limits: tuple[Rule, ...] = ()
        silent = asks = None
        for step in plan.steps:
            verdict, rule = step.judge(call)
            if verdict is _ALLOW:
                if rule is not None:
                    allowing += (rule.id,)
                    if rule.rule.limit is not None:  # judge would have found one without a limit first
                        limits += (rule.rule,)
            elif verdict is _ASK:
                asks = asks or step.layer
                if rule is not None:
                    asking += (rule.id,)
            elif rule is not None:
                return Decision(_DENY, step.layer, (rule.id,), self.version, self, call, plan)
            else:
                silent = silent or step.layer
        if silent is not None:
            return Decision(_DENY, silent, (), self.version, self, call, plan)
        if asks is not None:
            return Decision(_ASK, asks, asking, self.version, self, call, plan, limits)
        return Decision(_ALLOW, None, allowing, self.version, self, call, plan, limits)

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
        shape = (call.application, call.capability, call.user, call.integration, call.klass, call.groups)
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._make_plan(call)
            self._remember(shape, plan)
        return plan

    def _remember(self, shape: object, plan: Plan) -> None:
        self._remembered += plan.size
        if self._remembered > _MAX_REMEMBERED:
            self._plans.clear()
            self._remembered = plan.size
        self._plans[shape] = plan

    def list_layers(self, call: Call) -> list[Layer]:
        return [layer for layer in Layer if call.user is not None or layer is not Layer.USER]

    def _make_plan(self, call: Call, more: Sequence[Cell] = ()) -> Plan:
        cells = [*self.index.find_cells(call), *more]
        layers = self.list_layers(call)
        return Plan([self.make_step(layer, [cell for cell in cells if cell.layer is layer], call) for layer in layers])

    def make_step(self, layer: Layer, cells: list[Cell], call: Call) -> Step:
        """Return what a layer has to say with these cells."""
        # What speaks for everybody's calls doesn't speak for calls that nobody is behind (DESIGN section 7).
        is_strict = call.user is None and layer is Layer.ORG
        step = Step(layer, None if is_strict else self.baselines.get(layer), cells)
        # What allows without a limit is asked first: a use is counted only where nothing else allows.
        for cell in sorted(cells, key=lambda cell: cell.is_limited):
            if cell.effect is Effect.DENY:
                step.denies.append(cell.make_find())
            elif is_strict and not cell.is_specific:
                if cell.effect is Effect.ASK:
                    step.weak_asks.append(cell.make_find())
            else:
                (step.asks if cell.effect is Effect.ASK else step.allows).append(cell.make_find())
        return step


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
