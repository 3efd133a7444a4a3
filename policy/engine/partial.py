"""What a call whose arguments nobody kept could come to: certain where no argument matters, open where one does.

Used on the audit trail, which keeps a digest of arguments and, in each explanation, which rules held. A rule that has
not changed since then still holds for the same call, or doesn't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from policy.engine.explain import MAX_RULES
from policy.engine.index import Bucket
from policy.engine.policy import Policy, Step
from policy.engine.rules import CompiledRule
from policy.engine.types import Call, Effect, Layer, Rule

# Whether a rule holds for a call, by the rule's identifier. None: nothing is known, and limits are taken for unused.
Known = Mapping[str, bool] | None
# What a layer says by a deny of its own; its silence denies, too.
_Verdicts = frozenset[Effect]

# What the rules of each effect did in a layer with this verdict: True is that the ones it names hold, and no others.
_TOLD_BY: dict[str, dict[Effect, bool]] = {
    "deny": {Effect.DENY: True},
    "ask": {Effect.DENY: False, Effect.ASK: True},
    "allow": {Effect.DENY: False, Effect.ASK: False, Effect.ALLOW: True},
    "silent": {Effect.DENY: False, Effect.ASK: False, Effect.ALLOW: False},
}


def tell_effects(policy: Policy, call: Call, known: Known) -> frozenset[Effect]:
    """Return every effect that the call could have, whatever its arguments: one, where they don't matter.

    `call.arguments` is not looked at. Where they would decide, or how often a limited rule was used before, `known`
    says of some rules whether they hold.
    """
    return _join([_judge(step, call, known) for step in policy.get_plan(call).steps])


class Overview:
    """The same for many calls of one moment, as a table of who may do what has them; limits count as unused.

    A layer says the same to all whom the same rules are about. So it is judged once for each set of rules and each
    capability, and not for each person: 40,000 calls take a quarter of a second instead of three.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._buckets: dict[object, dict[Layer, tuple[Bucket, ...]]] = {}
        self._verdicts: dict[object, _Verdicts] = {}

    def tell_effects(self, call: Call) -> frozenset[Effect]:
        layers = self._find_buckets(call)
        return _join([self._judge(layer, layers[layer], call) for layer in self._policy.list_layers(call)])

    def _judge(self, layer: Layer, buckets: tuple[Bucket, ...], call: Call) -> _Verdicts:
        target = (call.integration, call.capability, call.klass, call.user is None)
        key = (layer, *map(id, buckets), *target)
        found = self._verdicts.get(key)
        if found is None:
            cells = [cell for bucket in buckets for cell in bucket.find_cells(call) if cell.layer is layer]
            found = self._verdicts[key] = _judge(self._policy.make_step(layer, cells, call), call, None)
        return found

    def _find_buckets(self, call: Call) -> dict[Layer, tuple[Bucket, ...]]:
        key = (call.user, call.groups, call.application)
        found = self._buckets.get(key)
        if found is None:
            buckets = list(self._policy.index.find_buckets(call))
            found = self._buckets[key] = {
                layer: tuple(one for one in buckets if any(cell.layer is layer for cell in one.cells.values()))
                for layer in Layer
            }
        return found


def _join(possible: list[_Verdicts]) -> frozenset[Effect]:
    """Return what the layers come to together."""
    effects = set()
    if any(Effect.DENY in verdicts for verdicts in possible):
        effects.add(Effect.DENY)
    if all(verdicts - {Effect.DENY} for verdicts in possible):
        if all(Effect.ALLOW in verdicts for verdicts in possible):
            effects.add(Effect.ALLOW)
        if any(Effect.ASK in verdicts for verdicts in possible):
            effects.add(Effect.ASK)
    return frozenset(effects)


def read_known(
    policy: Policy,
    call: Call,
    explanation: Mapping[str, Any],
    *,
    is_same: Callable[[Rule], bool],
    was_about: Callable[[Rule], bool],
) -> dict[str, bool]:
    """Return what an explanation of this very call tells about rules, whatever its arguments were.

    An explanation names the rules that decided a layer, so of the others of that effect none held, nor any of a
    stronger one; of weaker ones it says nothing. `is_same` says whether a rule has not changed since, `was_about`
    whether it was about the call's person and capability then: if not, that it isn't named says nothing.
    """
    told = {layer["layer"]: layer for layer in explanation["layers"]}
    known: dict[str, bool] = {}
    for step in policy.get_plan(call).steps:
        layer = told.get(step.layer)
        if layer is None or layer["verdict"] not in _TOLD_BY:
            continue
        # A baseline speaks where no rule does.
        verdict = "silent" if layer["baseline"] else layer["verdict"]
        named = {rule["id"] for rule in layer["rules"]}
        for effect, holds in _TOLD_BY[verdict].items():
            is_complete = not holds or len(named) < MAX_RULES
            for compiled in _iterate(step, effect):
                if not is_same(compiled.rule):
                    continue
                if holds and compiled.id in named:
                    known[compiled.id] = True
                elif is_complete and was_about(compiled.rule):
                    known[compiled.id] = False
    return known


def _judge(step: Step, call: Call, known: Known) -> _Verdicts:
    """Return what the layer may say."""
    denies = _tell_any(_iterate(step, Effect.DENY), call, known)
    if denies is True:
        return frozenset({Effect.DENY})
    agreed = _judge_without_denies(step, call, known)
    return agreed if denies is False else agreed | {Effect.DENY}


def _judge_without_denies(step: Step, call: Call, known: Known) -> _Verdicts:
    is_strict = call.user is None and step.layer is Layer.ORG
    asks = _tell_any(_iterate(step, Effect.ASK, only_specific=is_strict), call, known)
    if asks is True:
        return frozenset({Effect.ASK})
    allows = _tell_any(_iterate(step, Effect.ALLOW, only_specific=is_strict), call, known)
    rest: set[Effect] = set()
    if allows is not True:
        rest.add(step.baseline or Effect.DENY)
    if allows is not False:
        rest |= _judge_allow(step, call, known) if is_strict else {Effect.ALLOW}
    return frozenset(rest if asks is False else rest | {Effect.ASK})


def _judge_allow(step: Step, call: Call, known: Known) -> set[Effect]:
    """Return what becomes of an allow without a user, which rules for everyone still make ask."""
    asks = _tell_any(_iterate(step, Effect.ASK), call, known)
    return {Effect.ASK} if asks is True else {Effect.ALLOW} if asks is False else {Effect.ALLOW, Effect.ASK}


def _iterate(step: Step, effect: Effect, *, only_specific: bool = False) -> Iterator[CompiledRule]:
    for cell in step.cells:
        if cell.effect is effect and (cell.is_specific or not only_specific):
            yield from cell.rules


def _tell_any(rules: Iterable[CompiledRule], call: Call, known: Known) -> bool | None:
    """Tell whether some rule holds; None where that depends on the arguments."""
    told: bool | None = False
    for rule in rules:
        if rule.must_hold(call) and (rule.rule.limit is None or known is None):
            return True
        if not rule.could_hold(call):
            continue
        holds = known.get(rule.id) if known is not None else None
        if holds is True:
            return True
        if holds is None:
            told = None
    return told
