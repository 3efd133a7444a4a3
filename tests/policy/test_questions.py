"""What is asked about a call, and which answers settle it: without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.engine import (
    Call,
    Effect,
    Grant,
    Grants,
    Layer,
    Question,
    Rule,
    Scope,
    Topic,
    compile_policy,
    find_grants,
)
from policy.engine.questions import BASELINE
from tests.policy.strategies import calls, dense_rule_sets

CALL = Call(user="alice", application="bot", integration="github", capability="create_issue", klass="write",
            arguments={"repo": "acme/frontend"}, now=1000.0)  # fmt: skip
ALLOWS = [Rule(id=f"allow-{layer}", layer=layer, effect=Effect.ALLOW) for layer in Layer]
ASK = Rule(id="ask", layer=Layer.USER, effect=Effect.ASK, user="alice", reason="To be sure", sentence="Alice is asked")


def ask(*more: Rule, call: Call = CALL, **baselines: Effect) -> tuple[Question, ...]:
    named = {Layer(name): effect for name, effect in baselines.items()}
    return compile_policy([*ALLOWS, *more], baselines=named).decide(call).get_questions()


def make_grant(question: Question, **changes: Any) -> Grant:
    grant = Grant(
        id="grant",
        layer=question.layer,
        scope=Scope.PERIOD,
        asked_by=question.asked_by,
        arguments_digest="digest",
        granted_at=900.0,
        expires_at=2000.0,
    )
    return replace(grant, **changes)


def covers(
    grant: Grant, question: Question, *, digest: str = "digest", now: float = 1000.0, since: float = 0.0
) -> bool:
    return grant.covers(question, arguments_digest=digest, now=now, since=since)


def test_questions_are_those_of_the_layers_that_ask() -> None:
    assert ask() == ()
    (question,) = ask(ASK)
    assert question.layer is Layer.USER
    assert question.allowed_by == {"allow-user"}
    assert [part.partition(":")[0] for part in question.asked_by] == ["ask"]
    of_acme = Rule(id="ask-all", layer=Layer.ORG, effect=Effect.ASK)
    assert [one.layer for one in ask(ASK, of_acme)] == [Layer.ORG, Layer.USER]
    assert ask(ASK, Rule(id="deny", layer=Layer.APPLICATION, effect=Effect.DENY)) == ()


def test_question_of_a_baseline_names_no_rule() -> None:
    rules = [rule for rule in ALLOWS if rule.layer is not Layer.USER]
    (question,) = compile_policy(rules, baselines={Layer.USER: Effect.ASK}).decide(CALL).get_questions()
    assert question == Question(Layer.USER, frozenset({BASELINE}), frozenset())


@pytest.mark.parametrize(
    "change",
    [{"capability": "create_*"}, {"klass": "write"}, {"valid_until": 5000.0}, {"application": "bot"}, {"id": "other"},
     {"conditions": {"argument": "repo", "operator": "exists"}}],
    ids=str,
)  # fmt: skip
def test_changed_rule_asks_another_question(change: dict[str, Any]) -> None:
    (before,) = ask(ASK)
    (after,) = ask(replace(ASK, **change))
    assert covers(make_grant(before), before)
    assert not covers(make_grant(before), after)


def test_rule_in_other_words_asks_the_same_question() -> None:
    assert ask(replace(ASK, reason="Said otherwise", sentence="Otherwise")) == ask(ASK)


def test_answer_to_more_covers_less_and_not_the_other_way_round() -> None:
    (one,), (both,) = ask(ASK), ask(ASK, replace(ASK, id="ask-too", capability="create_*"))
    assert covers(make_grant(both), one)
    assert not covers(make_grant(one), both)


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, {"digest": "another"}, True),
        ({"scope": Scope.ARGUMENTS}, {}, True),
        ({"scope": Scope.ARGUMENTS}, {"digest": "another"}, False),
        ({"scope": Scope.ONCE}, {"digest": "another"}, False),
        ({}, {"now": 2000.0}, False),
        ({}, {"since": 901.0}, False),
        ({"layer": Layer.ORG}, {}, False),
        ({"expires_at": None}, {}, False),
        ({"scope": Scope.RULE, "rule": "allow-user", "expires_at": None}, {"now": 1e12, "digest": "another"}, True),
        ({"scope": Scope.RULE, "rule": "allow-org", "expires_at": None}, {}, False),
        ({"scope": Scope.RULE, "rule": None, "expires_at": None}, {}, False),
    ],
    ids=str,
)
def test_answer_covers_what_it_was_given_for(changes: dict[str, Any], options: dict[str, Any], expected: bool) -> None:
    (question,) = ask(ASK)
    assert covers(make_grant(question, **changes), question, **options) is expected


def test_rule_for_everybody_is_no_answer_for_a_program_without_a_user() -> None:
    call = replace(CALL, user=None)
    allow = Rule(id="allow-bot", layer=Layer.ORG, effect=Effect.ALLOW, application="bot")
    (question,) = ask(allow, Rule(id="ask-all", layer=Layer.ORG, effect=Effect.ASK), call=call)
    assert question.allowed_by == {"allow-bot"}


def test_find_grants_looks_by_topic_and_by_rule() -> None:
    (question,) = ask(ASK)
    of_topic, of_rule = make_grant(question), make_grant(question, id="by rule", scope=Scope.RULE, rule="allow-user")
    topic: Topic = ("alice", "bot", "github", "tool", "create_issue")
    grants: Grants = {topic: (of_topic,), "allow-user": (of_rule,)}
    assert find_grants(grants, topic, [question]) == [of_topic, of_rule]


@settings(deadline=None)
@given(dense_rule_sets, calls, st.randoms(use_true_random=False))
def test_questions_exist_exactly_where_the_decision_is_to_ask(drawn: list[Rule], call: Call, random: Any) -> None:
    decision = compile_policy(drawn).decide(call)
    questions = decision.get_questions()
    assert bool(questions) is (decision.effect is Effect.ASK)
    assert all(question.asked_by for question in questions)
    random.shuffle(drawn)
    assert compile_policy(drawn).decide(call).get_questions() == questions
