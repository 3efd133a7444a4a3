"""Three-layer decisions, in pure Python: compile rules once, decide calls in microseconds, explain when asked."""

from policy.engine.conditions import ConditionError, parse_conditions
from policy.engine.policy import Decision, Policy, compile_policy
from policy.engine.types import Call, Effect, Layer, Rule

__all__ = [
    "Call",
    "ConditionError",
    "Decision",
    "Effect",
    "Layer",
    "Policy",
    "Rule",
    "compile_policy",
    "parse_conditions",
]
