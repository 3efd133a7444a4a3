"""What all layers come to for calls of one kind, whatever their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policy import engine

DEPENDS = "depends"
_SENTENCE = "It depends on the arguments: some rules speak only about calls with certain ones."


@dataclass(frozen=True, slots=True)
class Effective:
    """`effect` is allow, ask, deny or DEPENDS; `explanation` is that of a call without arguments."""

    effect: str
    explanation: Mapping[str, Any]


def read_effective(policy: engine.Policy, call: engine.Call) -> Effective:
    """Decide a call with the arguments it has; without any, tell a refusal for good from one that depends on them."""
    decision = policy.decide(call)
    explanation = decision.explain()
    if decision.effect is engine.Effect.DENY and not call.arguments and policy.could_allow(call):
        return Effective(DEPENDS, _soften(explanation))
    return Effective(str(decision.effect), explanation)


def _soften(explanation: Mapping[str, Any]) -> dict[str, Any]:
    """Say of the layers that refuse that they depend: with some arguments each of them would agree."""
    agreeing = ("allow", "ask")
    layers = [
        layer if layer["verdict"] in agreeing else {**layer, "verdict": DEPENDS} for layer in explanation["layers"]
    ]
    return {**explanation, "effect": DEPENDS, "deciding": None, "sentence": _SENTENCE, "layers": layers, "fix": None}
