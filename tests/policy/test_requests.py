"""Requests for rules: only what an explanation proposes, once each, answered by whoever may, and kept in the record."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.models import AuditEvent
from orgs.models import Membership, User
from policy.compile import load_policy
from policy.engine import Call
from policy.errors import NotAllowedToAnswerError, SettledError
from policy.models import Approval, Rule, RuleRequest
from policy.requests import MOST_OPEN
from policy.services.accept_request import accept_request
from policy.services.decline_request import decline_request, withdraw_request
from policy.services.request_rule import request_rule
from policy.services.simulate import load_groups
from policy.tasks import expire, forget_settled
from tests.factories import Cast, make_approval, make_call, make_capability, make_rule, make_rule_request


def refuse(cast: Cast, user: User | None, capability: str = "create_issue", **facts: Any) -> AuditEvent:
    """Have a call of PR-Bot refused, as the gateway records it."""
    call = Call(
        user=str(user.pk) if user is not None else None,
        groups=load_groups(cast.acme, user),
        application=str(cast.pr_bot.pk),
        integration=str(cast.github.pk),
        capability=capability,
        arguments={},
        now=timezone.now().timestamp(),
    )
    row = cast.github.capabilities.filter(name=capability).first() or make_capability(cast.github, capability)
    explanation = load_policy(cast.acme.pk).decide(call).explain()
    return make_call(cast.pr_bot, user, row, "denied", decision=explanation, **facts)


def ask(cast: Cast, user: User, call: AuditEvent | None = None, number: int = 0, note: str = "") -> RuleRequest:
    membership = Membership.objects.get(user=user)
    return request_rule(membership=membership, call=call or refuse(cast, user), number=number, note=note)


@pytest.fixture
def cast_with_rules(cast: Cast) -> Cast:
    """Everybody lets PR-Bot do everything, and neither the organization nor its owner does."""
    for person in (cast.alice, cast.bob):
        make_rule(cast.acme, "user", "allow", user=person)
    return cast


def test_accept_answers_everybody_who_asks_for_the_same(cast_with_rules: Cast) -> None:
    cast = cast_with_rules
    of_alice, of_bob, other = ask(cast, cast.alice), ask(cast, cast.bob), ask(cast, cast.bob, number=1)
    assert of_alice.pk != of_bob.pk
    accept_request(request=of_bob, acceptor=cast.carol)
    rule = Rule.objects.get(layer="org")
    for request in (of_alice, of_bob):
        request.refresh_from_db()
        assert (request.status, request.rule, request.settled_by) == ("accepted", rule, cast.carol)
    other.refresh_from_db()
    assert other.status == "pending"
    assert AuditEvent.objects.filter(type="rule.request_accepted").count() == 2
    assert AuditEvent.objects.filter(type="rule.created").count() == 1


def test_request_by_nobody_or_for_anothers_call_is_refused(cast_with_rules: Cast) -> None:
    cast = cast_with_rules
    of_itself, of_alice = refuse(cast, None), refuse(cast, cast.alice)
    for person, call in ((cast.alice, of_itself), (cast.bob, of_alice), (cast.mallory, of_alice)):
        with pytest.raises(ValidationError, match="You have made no such call here"):
            ask(cast, person, call)
    assert not RuleRequest.objects.exists()


def test_request_about_ones_own_layer_is_refused(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    with pytest.raises(ValidationError, match="a rule of your own"):
        ask(cast, cast.alice)
    make_rule(cast.acme, "user", "deny", user=cast.alice)
    with pytest.raises(ValidationError, match="a rule of your own"):
        ask(cast, cast.alice)


def test_request_about_what_is_gone_is_refused(cast: Cast) -> None:
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "org", "allow")
    deny = make_rule(cast.acme, "org", "deny", klass="")
    call = refuse(cast, cast.alice)
    deny.delete()
    with pytest.raises(ValidationError, match="no longer there"):
        ask(cast, cast.alice, call)


def test_request_for_more_than_anybody_answers_is_refused(cast_with_rules: Cast) -> None:
    cast = cast_with_rules
    for number in range(MOST_OPEN):
        ask(cast, cast.alice, refuse(cast, cast.alice, f"tool_{number}"))
    with pytest.raises(ValidationError, match="open requests"):
        ask(cast, cast.alice)
    assert ask(cast, cast.alice, refuse(cast, cast.alice, "tool_0")).status == "pending"  # is open already


@pytest.mark.parametrize("note", ["x" * 501, "\0"], ids=["long", "NUL"])
def test_request_with_a_bad_note_is_refused(cast_with_rules: Cast, note: str) -> None:
    with pytest.raises(ValidationError, match="at most 500 characters"):
        ask(cast_with_rules, cast_with_rules.alice, note=note)


@pytest.mark.parametrize(
    "changes",
    [{"layer": "application"}, {"effect": "deny"}, {"conditions": {"argument": "repo"}}, {"capability": "a b"}],
    ids=str,
)
def test_accept_with_bad_changes_changes_nothing(cast_with_rules: Cast, changes: dict[str, Any]) -> None:
    request = ask(cast_with_rules, cast_with_rules.alice)
    with pytest.raises(ValidationError):
        accept_request(request=request, acceptor=cast_with_rules.carol, **changes)
    request.refresh_from_db()
    assert request.status == "pending"
    assert not Rule.objects.filter(layer="org").exists()


def test_accept_by_who_may_not_write_the_rule_is_refused(cast_with_rules: Cast) -> None:
    cast = cast_with_rules
    request = ask(cast, cast.alice)
    for nobody in (cast.alice, cast.bob, cast.mallory):
        with pytest.raises(NotAllowedToAnswerError):
            accept_request(request=request, acceptor=nobody)
        with pytest.raises(NotAllowedToAnswerError):
            decline_request(request=request, decliner=nobody, reason="No")
    with pytest.raises(NotAllowedToAnswerError):
        withdraw_request(request=request, asker=cast.carol)
    assert RuleRequest.objects.get().status == "pending"


def test_accept_of_a_removal_whose_rule_is_gone_closes_it(cast: Cast) -> None:
    for layer, subject in (("org", {}), ("user", {"user": cast.alice}), ("application", {"application": cast.pr_bot})):
        make_rule(cast.acme, layer, "allow", **subject)
    deny = make_rule(cast.acme, "org", "deny", group=cast.engineering)
    request = ask(cast, cast.alice)
    assert (request.action, request.rule) == ("remove", deny)
    deny.delete()
    assert accept_request(request=request, acceptor=cast.carol).status == "accepted"


def test_expire_closes_what_nobody_answered_and_forget_deletes_what_is_long_over(cast: Cast) -> None:
    past = timezone.now() - dt.timedelta(minutes=1)
    request = make_rule_request(cast.pr_bot, cast.alice, cast.create_issue, expires_at=past)
    approval = make_approval(cast.pr_bot, cast.alice, cast.create_issue, expires_at=past, arguments=b"sealed")
    expire()
    request.refresh_from_db()
    approval.refresh_from_db()
    assert (request.status, approval.status, bytes(approval.arguments)) == ("expired", "expired", b"")
    types = set(AuditEvent.objects.values_list("type", flat=True))
    assert types == {"rule.request_expired", "approval.expired"}
    with pytest.raises(SettledError):
        withdraw_request(request=request, asker=cast.alice)
    forget_settled()
    assert Approval.objects.exists()
    old = make_approval(cast.pr_bot, cast.bob, cast.create_issue)
    long_ago = timezone.now() - dt.timedelta(days=91)
    Approval.objects.filter(pk=old.pk).update(status="denied", settled_at=long_ago, arguments=b"")
    forget_settled()
    assert list(Approval.objects.all()) == [approval]
