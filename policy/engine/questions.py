"""What the layers ask about a call, and which answers settle it.

An answer is bound to what asked, not to a version number of the policy: a version says that something changed, and
nearly always that is something else. A question names each rule that asks together with a digest of what the rule
says. A rule that asks anew, or a changed one, is a question that nobody has answered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from policy.engine.explain import find_holding
from policy.engine.types import Call, Effect, Layer, Rule

if TYPE_CHECKING:
    from policy.engine.policy import Policy, Step

# Stands for the rule where a layer asks because none of its rules speaks.
BASELINE = "baseline"

# What an answer is about: user (None: the application acts for itself), application, integration, kind, capability.
Topic = tuple[str | None, str, str, str, str]


class Scope(StrEnum):
    """How far an answer goes."""

    ONCE = "once"
    ARGUMENTS = "arguments"
    PERIOD = "period"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Question:
    """What one layer asks. `allowed_by` are the layer's allows that hold, too, and are outweighed by what asks."""

    layer: Layer
    asked_by: frozenset[str]
    allowed_by: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An answer that allows. Times are unix seconds; without `expires_at` it holds for as long as `rule` does."""

    id: str
    layer: Layer
    scope: Scope
    asked_by: frozenset[str]
    arguments_digest: str
    granted_at: float
    expires_at: float | None
    rule: str | None = None

    def covers(self, question: Question, *, arguments_digest: str, now: float, since: float) -> bool:
        """Tell whether this answers the question. `since` is when the person last let the application act at all."""
        if self.layer is not question.layer or not question.asked_by <= self.asked_by:
            return False
        if self.scope is Scope.RULE:
            return self.rule in question.allowed_by
        if self.expires_at is None or not self.granted_at >= since or now >= self.expires_at:
            return False
        return self.scope is Scope.PERIOD or self.arguments_digest == arguments_digest


# By the topic of the answer, or by the rule that is the answer.
Grants = Mapping[Topic | str, tuple[Grant, ...]]


def find_questions(policy: Policy, call: Call) -> tuple[Question, ...]:
    """Return what each layer that asks about the call asks, in the order of the layers."""
    asking = (step for step in policy.get_plan(call).steps if step.judge(call)[0] is Effect.ASK)
    return tuple(_make_question(step, call) for step in asking)


def find_grants(grants: Grants, topic: Topic, questions: Iterable[Question]) -> list[Grant]:
    """Return the answers that may be about these questions."""
    found = list(grants.get(topic, ()))
    for question in questions:
        for rule in question.allowed_by:
            found += grants.get(rule, ())
    return found


def _make_question(step: Step, call: Call) -> Question:
    asking = find_holding(step, call, Effect.ASK)
    # What doesn't count as an allow for a call without a user is no answer either.
    is_strict = call.user is None and step.layer is Layer.ORG
    counting = (cell for cell in step.cells if cell.effect is Effect.ALLOW and (cell.is_specific or not is_strict))
    return Question(
        layer=step.layer,
        asked_by=frozenset(_identify(one.rule) for one in asking) or frozenset({BASELINE}),
        allowed_by=frozenset(one.id for cell in counting for one in cell.find_all(call)),
    )


def _identify(rule: Rule) -> str:
    """Return the rule with a digest of all that decides about what it asks; its words are not part of that."""
    document = json.dumps(astuple(replace(rule, reason="", sentence="")), sort_keys=True)
    return f"{rule.id}:{hashlib.sha256(document.encode()).hexdigest()[:32]}"
