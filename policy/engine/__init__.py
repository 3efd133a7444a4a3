"""Three-layer decisions, in pure Python: compile rules once, decide calls in microseconds, explain when asked."""

from policy.engine.conditions import ConditionError, parse_conditions
from policy.engine.policy import Decision, Policy, compile_policy
from policy.engine.questions import Grant, Grants, Question, Scope, Topic, find_grants
from policy.engine.types import Call, Effect, Layer, Limit, Per, Period, Rule

__all__ = [
    "Call",
    "ConditionError",
    "Decision",
    "Effect",
    "Grant",
    "Grants",
    "Layer",
    "Limit",
    "Per",
    "Period",
    "Policy",
    "Question",
    "Rule",
    "Scope",
    "Topic",
    "compile_policy",
    "find_grants",
    "parse_conditions",
]
