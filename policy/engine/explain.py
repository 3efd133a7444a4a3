"""Say why a decision is what it is, and what would change it.

Explanations are kept in the audit trail and go to applications, so they hold no argument of the call, and of the rules
only those that are about this call's user, groups and application.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Any

from policy.engine.conditions import AllOf, AnyOf, Condition, Unless
from policy.engine.matching import compile_condition, compile_pattern
from policy.engine.rules import CompiledRule
from policy.engine.types import Call, Effect, Layer
from policy.engine.words import describe_condition, describe_limit, join_words

if TYPE_CHECKING:
    from policy.engine.policy import Decision, Policy, Step

# More than these tell nobody more.
MAX_RULES = 10
MAX_NEAREST = 3
_MAX_LOOKED_AT = 100
_MAX_KEPT = 10_000

LAYER_NAMES = {Layer.ORG: "organization", Layer.USER: "user", Layer.APPLICATION: "application"}


def explain(policy: Policy, call: Call, decision: Decision) -> dict[str, Any]:
    """Return the explanation that Decision.explain describes."""
    steps = {step.layer: step for step in decision.plan.steps}
    layers = [_explain_layer(policy, call, layer, steps.get(layer)) for layer in Layer]
    shadow = _explain_shadow(policy, call)
    return {
        "effect": decision.effect.value,
        "version": decision.version,
        "deciding": decision.deciding.value if decision.deciding else None,
        "sentence": _make_sentence(policy, call, decision, layers),
        "layers": layers,
        "shadow": shadow,
        "shadow_effect": policy.decide_with_shadow(call).effect.value if shadow else None,
        "fix": _make_fix(policy, call, list(steps.values())) if decision.effect is Effect.DENY else None,
    }


def explain_as_json(policy: Policy, call: Call, decision: Decision) -> bytes:
    """Return the same as text.

    Allowed calls of one shape are explained alike as long as the same rules hold, and a gateway explains every call: so
    those explanations are kept.
    """
    if decision.effect is not Effect.ALLOW or policy.shadow_index.has_rules:
        return _encode(decision.explain())
    plan = decision.plan
    key = (plan, decision.rules if plan.is_plain else tuple([_identify(step, call) for step in plan.steps]))
    kept = policy.explanations.get(key)
    if kept is None:
        if len(policy.explanations) >= _MAX_KEPT:
            policy.explanations.clear()
        kept = policy.explanations[key] = _encode(decision.explain())
    return kept


def _encode(explanation: dict[str, Any]) -> bytes:
    # Half a surrogate pair has no place in UTF-8.
    return json.dumps(explanation, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _identify(step: Step, call: Call) -> tuple[str, ...]:
    """Return the rules by which a layer allows a call; none stands for its baseline."""
    _, rule = step.judge(call)
    if rule is None:
        return ()
    if sum(len(cell.rules) for cell in step.cells if cell.effect is rule.rule.effect) == 1:
        return (rule.id,)  # as in most layers: no other could hold, too
    return tuple(one.id for one in find_holding(step, call, rule.rule.effect))


def _explain_layer(policy: Policy, call: Call, layer: Layer, step: Step | None) -> dict[str, Any]:
    if step is None:
        return {"layer": layer.value, "verdict": "absent", "baseline": None, "rules": [], "nearest": []}
    effect, rule = step.judge(call)
    holding = [] if rule is None else find_holding(step, call, rule.rule.effect)
    is_against = effect in (None, Effect.DENY) and rule is None
    return {
        "layer": layer.value,
        "verdict": effect.value if effect else "silent",
        "baseline": effect.value if effect and rule is None else None,
        "rules": [_explain_rule(policy, one) for one in holding[:MAX_RULES]],
        "nearest": _find_nearest(policy, call, step) if is_against else [],
    }


def find_holding(step: Step, call: Call, effect: Effect) -> list[CompiledRule]:
    """Return the rules of one effect that hold for a call, by identifier."""
    holding = (rule for cell in step.cells if cell.effect is effect for rule in cell.find_all(call))
    return sorted(holding, key=lambda rule: rule.id)


def _explain_rule(policy: Policy, compiled: CompiledRule) -> dict[str, Any]:
    return {
        "id": compiled.id,
        "sentence": get_sentence(policy, compiled),
        "reason": compiled.rule.reason,
        **({"problem": compiled.problem} if compiled.problem else {}),
    }


def get_sentence(policy: Policy, compiled: CompiledRule) -> str:
    rule = compiled.rule
    if rule.sentence:
        return rule.sentence
    if policy.describe is not None:
        return policy.describe(rule)
    where = f" where {describe_condition(compiled.condition)}" if compiled.condition else ""
    return f"{rule.effect} {_name_target(policy, rule.integration, rule.capability)}{where}"


def _name_target(policy: Policy, integration: str | None, capability: str) -> str:
    name = "*" if integration is None else policy.names.get(integration, "")
    return f"{name}:{capability or '*'}" if name else capability or "*"


def _name_application(policy: Policy, call: Call) -> str:
    return policy.names.get(call.application, "") or "This application"


def _make_sentence(policy: Policy, call: Call, decision: Decision, layers: list[dict[str, Any]]) -> str:
    target = _name_target(policy, call.integration, call.capability)
    if decision.deciding is None:
        return f"Allowed by every layer: {target}."
    layer = next(one for one in layers if one["layer"] == decision.deciding)
    name = LAYER_NAMES[decision.deciding]
    if decision.effect is Effect.ASK:
        return f"Approval needed by the {name} layer: {_give_reason(layer, target)}"
    return f"Denied by the {name} layer: {_give_reason(layer, target)}"


def _give_reason(layer: dict[str, Any], target: str) -> str:
    if layer["rules"]:
        first = layer["rules"][0]
        return _end(first["reason"] or first["sentence"])
    if layer["baseline"]:
        return f"no rule there speaks for {target}, and its baseline is to {layer['baseline']}."
    if layer["nearest"]:
        nearest = layer["nearest"][0]
        return _end(f"no rule there allows {target}. Nearest is “{nearest['sentence']}”, but {nearest['why']}")
    return f"no rule there allows {target}."


def _end(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _find_nearest(policy: Policy, call: Call, step: Step) -> list[dict[str, Any]]:
    candidates = islice(_iterate_candidates(policy, call, step), _MAX_LOOKED_AT)
    nearest = nsmallest(MAX_NEAREST, candidates, key=lambda compiled: (_get_distance(compiled, call), compiled.id))
    return [
        {
            "id": compiled.id,
            "sentence": get_sentence(policy, compiled),
            "why": _tell_why_not(policy, call, compiled),
        }
        for compiled in nearest
    ]


def _iterate_candidates(policy: Policy, call: Call, step: Step) -> Iterator[CompiledRule]:
    """Yield the allows and asks about these people, this application and this integration; this target's first."""
    about = [cell for cell in step.cells if cell.effect is not Effect.DENY]
    others = [
        cell
        for bucket in policy.index.find_buckets(call)
        for cell in bucket.cells.values()
        if cell.layer is step.layer and cell.effect is not Effect.DENY and cell.integration in (None, call.integration)
    ]
    known = set(map(id, about))
    for cell in (*about, *(cell for cell in others if id(cell) not in known)):
        yield from cell.rules


def _get_distance(compiled: CompiledRule, call: Call) -> int:
    """Return how far a rule is from holding for the call."""
    rule = compiled.rule
    if compiled.problem:
        return 6
    if rule.capability and not compile_pattern(rule.capability)(call.capability):
        return 5
    if rule.klass and rule.klass != call.klass:
        return 4
    if not compiled.is_valid_at(call.now):
        return 3
    if call.spent and compiled.id in call.spent and compiled.holds(replace(call, spent=None)):
        return 0
    return 2 if compiled.holds(call) else 1


def _tell_why_not(policy: Policy, call: Call, compiled: CompiledRule) -> str:
    rule = compiled.rule
    match _get_distance(compiled, call):
        case 6:
            return "its conditions can't be read"
        case 5:
            return f"it is for {_name_target(policy, rule.integration, rule.capability)}"
        case 4:
            return f"it is for the class “{rule.klass}”, and this capability is of the class “{call.klass or 'none'}”"
        case 3 if rule.valid_from is not None and call.now < rule.valid_from:
            return f"it begins on {_date(rule.valid_from)}"
        case 3 if rule.valid_until is not None:
            return f"it ended on {_date(rule.valid_until)}"
        case 0 if rule.limit is not None and call.spent:
            return f"its limit of {describe_limit(rule.limit)} is used up, until {_date(call.spent[rule.id])}"
        case 1 if compiled.condition is not None:
            return join_words(_find_failing(compiled.condition, call), "and")
    return "no user is behind this call, and the rule does not name the application"


def _date(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _find_failing(condition: Condition, call: Call) -> list[str]:
    """Return what does not hold of a condition, in words; nothing where it holds."""
    try:
        state = compile_condition(condition)(call)
    except Exception:
        state = None
    if state is True:
        return []
    if isinstance(condition, AllOf):
        return [words for part in condition.parts for words in _find_failing(part, call)]
    words = describe_condition(condition)
    if state is None and not isinstance(condition, AnyOf | Unless):
        return [f"“{words}” can't be told: it is missing or of another type"]
    return [f"“{words}” does not hold"]


def _explain_shadow(policy: Policy, call: Call) -> list[dict[str, Any]]:
    rules = [rule for cell in policy.shadow_index.find_cells(call) for rule in cell.find_all(call)]
    return [
        {"layer": rule.rule.layer.value, "effect": rule.rule.effect.value, **_explain_rule(policy, rule)}
        for rule in sorted(rules, key=lambda rule: rule.id)[:MAX_RULES]
    ]


def _make_fix(policy: Policy, call: Call, steps: list[Step]) -> dict[str, Any] | None:
    """Return the fewest changes after which the call would be allowed or asked about."""
    changes = [change for step in steps for change in _make_changes(policy, call, step)]
    if not changes:
        return None
    sentences = [change["sentence"] for change in changes]
    return {"sentence": " ".join(sentences), "changes": changes}


def _make_changes(policy: Policy, call: Call, step: Step) -> list[dict[str, Any]]:
    denying = find_holding(step, call, Effect.DENY)
    changes = [_make_removal(policy, call, compiled) for compiled in denying]
    if not _would_agree(step, call):
        changes.append(_make_addition(policy, call, step.layer))
    return changes


def _would_agree(step: Step, call: Call) -> bool:
    """Tell whether the layer would allow or ask if it didn't deny."""
    tests = tuple(one for one in step.tests if one[1] is not Effect.DENY)
    return replace(step, tests=tests).judge(call)[0] in (Effect.ALLOW, Effect.ASK)


def _make_removal(policy: Policy, call: Call, compiled: CompiledRule) -> dict[str, Any]:
    rule = compiled.rule
    who = _name_author(policy, call, rule.layer, is_inherited=rule.user is None)
    return {
        "layer": rule.layer.value,
        "action": "remove_rule",
        "rule": {"id": rule.id},
        "sentence": f"{who} could change or remove the rule “{get_sentence(policy, compiled)}”.",
    }


def _make_addition(policy: Policy, call: Call, layer: Layer) -> dict[str, Any]:
    target = _name_target(policy, call.integration, call.capability)
    who = _name_author(policy, call, layer, is_inherited=False)
    proposed = {
        "layer": layer.value,
        "effect": "allow",
        **({"user": call.user} if layer is Layer.USER else {}),
        "application": call.application,
        "integration": call.integration,
        "capability": call.capability,
    }
    return {
        "layer": layer.value,
        "action": "add_rule",
        "rule": proposed,
        "sentence": f"{who} could add the rule “{_name_application(policy, call)} may use {target}”.",
    }


def _name_author(policy: Policy, call: Call, layer: Layer, *, is_inherited: bool) -> str:
    if layer is Layer.APPLICATION:
        return f"The owner of {policy.names.get(call.application, '') or 'the application'} or an administrator"
    if layer is Layer.USER and not is_inherited:
        return "The user for whom it acts"
    return "An administrator"
