"""What the rules ask about a call: asked once, answered for exactly that, and used up exactly once."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import AuditEvent
from audit.services.record import Actor
from orgs.models import Membership
from orgs.vault import VaultError
from policy.approvals import open_arguments
from policy.compile import load_policy
from policy.engine import Call, Effect
from policy.errors import ApprovalDeniedError, ApprovalImpossibleError, NotAllowedToAnswerError, SettledError
from policy.models import Approval, Rule
from policy.services.approve_call import approve_call
from policy.services.delete_rule import delete_rule
from policy.services.deny_call import deny_call
from policy.services.expire_approvals import expire_approvals
from policy.services.simulate import load_groups
from policy.services.update_rule import update_rule
from policy.services.use_approvals import MAX_ARGUMENTS_BYTES, MOST_WAITING, AskedCall, use_approvals
from policy.services.withdraw_approval import withdraw_approval
from tests.factories import Cast, make_cast, make_member, make_rule

SECRET = "s3cr3t-argument"
ARGUMENTS = b'{"repo":"acme/frontend","title":"s3cr3t-argument"}'


@pytest.fixture
def asking(cast: Cast) -> Rule:
    """Everything is allowed, and Alice is asked before PR-Bot creates issues."""
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    return make_rule(cast.acme, "user", "ask", user=cast.alice, integration=cast.github, capability="create_issue")


def ask(cast: Cast, digest: str = "a" * 64, **changes: Any) -> AskedCall:
    """Make a call as the gateway does when the rules ask about it."""
    user = changes.pop("user", cast.alice)
    call = Call(
        user=str(user.pk) if user is not None else None,
        groups=load_groups(cast.acme, user),
        application=str(changes.pop("application", cast.pr_bot).pk),
        integration=str(cast.github.pk),
        capability="create_issue",
        klass="write",
        arguments={"repo": "acme/frontend"},
        now=time.time(),
    )
    decision = load_policy(cast.acme.pk).decide(call)
    assert decision.effect is Effect.ASK
    asked = AskedCall(
        organization_id=cast.acme.pk,
        user_id=user.pk if user is not None else None,
        application_id=call.application,  # type: ignore[arg-type]
        integration_id=cast.github.pk,
        kind="tool",
        capability="create_issue",
        klass="write",
        arguments=ARGUMENTS,
        arguments_digest=digest,
        questions=decision.get_questions(),
        policy_version=decision.version,
        call=uuid4(),
        since=0.0,
        actor=Actor(user_id=user.pk if user is not None else None, application_id=cast.pr_bot.pk),
    )
    return replace(asked, **changes)


def get_waiting(cast: Cast, **changes: Any) -> Approval:
    (approval,) = use_approvals(asked=ask(cast, **changes))
    assert approval.status == "pending"
    return approval


def passes(cast: Cast, **changes: Any) -> bool:
    return all(approval.status != "pending" for approval in use_approvals(asked=ask(cast, **changes)))


@contextmanager
def _constraints_at_once() -> Iterator[None]:
    """Check references to other tables when a statement ends, as each commit does."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        yield


def get_types() -> list[str]:
    return list(AuditEvent.objects.filter(type__startswith="approval.").order_by("id").values_list("type", flat=True))


@pytest.mark.usefixtures("asking")
def test_ask_stores_one_question_with_sealed_arguments_and_records_it(cast: Cast) -> None:
    first, again = get_waiting(cast), get_waiting(cast)
    assert first.pk == again.pk
    row = Approval.objects.get()
    assert (row.layer, row.user, row.application, row.capability) == ("user", cast.alice, cast.pr_bot, "create_issue")
    assert open_arguments(row) == {"repo": "acme/frontend", "title": SECRET}
    assert SECRET.encode() not in bytes(row.arguments)
    event = AuditEvent.objects.get(type="approval.requested")
    assert (event.organization_id, event.user_id, event.capability) == (cast.acme.pk, cast.alice.pk, "create_issue")
    assert event.details["digest"] == "a" * 64
    assert SECRET not in str(event.details) + repr(row) + repr(ask(cast))


@pytest.mark.usefixtures("asking")
def test_approve_once_lets_exactly_one_call_pass_and_erases_the_arguments(cast: Cast) -> None:
    approve_call(approval=get_waiting(cast), approver=cast.alice, scope="once")
    assert bytes(Approval.objects.get().arguments) == b""
    assert passes(cast)
    used = Approval.objects.get()
    assert used.status == "used"
    assert used.used_at is not None
    assert get_types() == ["approval.requested", "approval.approved", "approval.used"]
    assert not passes(cast)  # asked again


@pytest.mark.parametrize(
    "other",
    [
        {"digest": "b" * 64},
        {"kind": "prompt"},
        {"capability": "create_pull_request"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("asking")
def test_approval_of_one_call_covers_no_other(cast: Cast, other: dict[str, Any]) -> None:
    approve_call(approval=get_waiting(cast), approver=cast.alice, scope="once")
    assert not passes(cast, **other)
    assert passes(cast)


@pytest.mark.usefixtures("asking")
def test_approval_covers_no_other_person_application_or_organization(cast: Cast) -> None:
    approve_call(approval=get_waiting(cast), approver=cast.alice, scope="period", lifetime="hour")
    make_rule(cast.acme, "user", "ask", user=cast.bob)
    asked = ask(cast)
    assert not passes(cast, user=cast.bob)
    foreign: list[dict[str, Any]] = [
        {"application_id": cast.spy_bot.pk},
        {"integration_id": cast.globex_github.pk},
        {"organization_id": cast.globex.pk},
    ]
    for other in foreign:  # nothing covers them, and the database refuses to have them asked
        with pytest.raises(IntegrityError), _constraints_at_once():
            use_approvals(asked=replace(asked, **other))
    assert passes(cast)


@pytest.mark.usefixtures("asking")
def test_approve_these_arguments_or_a_period_lets_calls_pass_until_it_ends(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    approve_call(approval=get_waiting(cast), approver=cast.alice, scope="arguments", lifetime="hour")
    assert [passes(cast), passes(cast), passes(cast, digest="b" * 64)] == [True, True, False]
    approve_call(approval=get_waiting(cast, digest="b" * 64), approver=cast.alice, scope="period", lifetime="quarter")
    assert [passes(cast), passes(cast, digest="c" * 64)] == [True, True]
    later = timezone.now() + dt.timedelta(minutes=16)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert [passes(cast), passes(cast, digest="c" * 64)] == [True, False]
    later += dt.timedelta(hours=1)
    assert not passes(cast)
    assert expire_approvals() == 2
    assert set(Approval.objects.values_list("status", flat=True)) == {"expired", "pending"}


def test_approve_as_rule_answers_for_as_long_as_the_rule_is_there(cast: Cast, asking: Rule) -> None:
    approved = approve_call(approval=get_waiting(cast), approver=cast.alice, scope="rule")
    rule = approved.rule
    assert rule is not None
    assert (rule.layer, rule.effect, rule.user, rule.application) == ("user", "allow", cast.alice, cast.pr_bot)
    assert (rule.integration, rule.capability, rule.created_by) == (cast.github, "create_issue", cast.alice)
    assert AuditEvent.objects.filter(type="rule.created").count() == 1
    assert [passes(cast), passes(cast, digest="b" * 64)] == [True, True]
    update_rule(rule=rule, conditions={"argument": "repo", "operator": "equals", "value": "acme/backend"})
    assert not passes(cast)
    update_rule(rule=rule, conditions=None)
    assert passes(cast)
    delete_rule(rule=rule)
    assert not passes(cast)


def test_change_of_what_asks_asks_again_and_of_other_rules_does_not(cast: Cast, asking: Rule) -> None:
    approve_call(approval=get_waiting(cast), approver=cast.alice, scope="period", lifetime="hour")
    make_rule(cast.acme, "user", "allow", user=cast.bob)
    make_rule(cast.acme, "org", "allow", group=cast.engineering)
    update_rule(rule=asking, reason="Said otherwise.")
    assert passes(cast)
    update_rule(rule=asking, capability="create_*")
    assert not passes(cast)
    update_rule(rule=asking, capability="create_issue")
    assert passes(cast)
    make_rule(cast.acme, "user", "ask", user=cast.alice, klass="write")
    assert not passes(cast)


@pytest.mark.usefixtures("asking")
def test_each_layer_that_asks_is_answered_by_its_own(cast: Cast) -> None:
    make_rule(cast.acme, "org", "ask", klass="write")
    of_acme, of_alice = use_approvals(asked=ask(cast))
    assert (of_acme.layer, of_alice.layer) == ("org", "user")
    with pytest.raises(NotAllowedToAnswerError):
        approve_call(approval=of_acme, approver=cast.alice, scope="once")
    with pytest.raises(NotAllowedToAnswerError):
        approve_call(approval=of_alice, approver=cast.carol, scope="once")
    approve_call(approval=of_alice, approver=cast.alice, scope="once")
    (left,) = use_approvals(asked=ask(cast))
    assert left.pk == of_acme.pk
    assert Approval.objects.get(pk=of_alice.pk).status == "approved"  # not used up by a call that doesn't pass
    approve_call(approval=of_acme, approver=cast.carol, scope="once")
    assert passes(cast)
    assert set(Approval.objects.values_list("status", flat=True)) == {"used"}


def test_owner_answers_for_their_application(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    make_rule(cast.acme, "application", "ask", application=cast.pr_bot)
    cast.pr_bot.owner = cast.bob
    cast.pr_bot.save()
    waiting = get_waiting(cast)
    with pytest.raises(NotAllowedToAnswerError):
        approve_call(approval=waiting, approver=cast.alice, scope="once")
    approve_call(approval=waiting, approver=cast.bob, scope="once")
    assert passes(cast)


def test_application_for_itself_is_asked_about_by_the_other_layers(cast: Cast) -> None:
    make_rule(cast.acme, "org", "ask", application=cast.pr_bot)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    waiting = get_waiting(cast, user=None)
    assert waiting.user is None
    approved = approve_call(approval=waiting, approver=cast.carol, scope="rule")
    assert approved.rule is not None
    assert (approved.rule.user, approved.rule.application) == (None, cast.pr_bot)
    assert passes(cast, user=None)


@pytest.mark.usefixtures("asking")
def test_deny_refuses_the_same_call_for_a_while_and_says_why(cast: Cast) -> None:
    deny_call(approval=get_waiting(cast), approver=cast.alice, reason="Not on a Friday")
    row = Approval.objects.get()
    assert (row.status, bytes(row.arguments)) == ("denied", b"")
    with pytest.raises(ApprovalDeniedError, match="Not on a Friday"):
        use_approvals(asked=ask(cast))
    assert not passes(cast, digest="b" * 64)
    assert AuditEvent.objects.get(type="approval.denied").outcome == "denied"


@pytest.mark.usefixtures("asking")
def test_answer_twice_is_refused(cast: Cast) -> None:
    waiting = get_waiting(cast)
    approve_call(approval=waiting, approver=cast.alice, scope="once")
    with pytest.raises(SettledError):
        deny_call(approval=waiting, approver=cast.alice)
    with pytest.raises(SettledError):
        approve_call(approval=waiting, approver=cast.alice, scope="period", lifetime="week")
    assert Approval.objects.get().scope == "once"


@pytest.mark.parametrize(
    ("scope", "lifetime"), [("", ""), ("forever", ""), ("period", ""), ("period", "year"), ("arguments", "0")]
)
@pytest.mark.usefixtures("asking")
def test_approve_with_bad_input_changes_nothing(cast: Cast, scope: str, lifetime: str) -> None:
    waiting = get_waiting(cast)
    with pytest.raises(ValidationError):
        approve_call(approval=waiting, approver=cast.alice, scope=scope, lifetime=lifetime)
    assert Approval.objects.get().status == "pending"


@pytest.mark.usefixtures("asking")
def test_withdraw_ends_an_approval(cast: Cast) -> None:
    approved = approve_call(approval=get_waiting(cast), approver=cast.alice, scope="period", lifetime="week")
    with pytest.raises(NotAllowedToAnswerError):
        withdraw_approval(approval=approved, withdrawer=cast.carol)
    assert passes(cast)
    withdraw_approval(approval=approved, withdrawer=cast.alice)
    assert not passes(cast)
    assert AuditEvent.objects.filter(type="approval.withdrawn").count() == 1


@pytest.mark.usefixtures("asking")
def test_new_consent_begins_without_the_answers_of_the_former(cast: Cast) -> None:
    approve_call(approval=get_waiting(cast), approver=cast.alice, scope="period", lifetime="week")
    assert passes(cast)
    assert not passes(cast, since=(timezone.now() + dt.timedelta(seconds=1)).timestamp())


@pytest.mark.usefixtures("asking")
def test_question_expires_and_its_arguments_are_erased(cast: Cast) -> None:
    waiting = get_waiting(cast)
    Approval.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    with pytest.raises(SettledError):
        approve_call(approval=waiting, approver=cast.alice, scope="once")
    assert expire_approvals() == 1
    row = Approval.objects.get()
    assert (row.status, bytes(row.arguments)) == ("expired", b"")
    assert get_types() == ["approval.requested", "approval.expired"]
    assert get_waiting(cast).pk != waiting.pk


@pytest.mark.usefixtures("asking")
def test_ask_about_too_much_at_a_time_is_refused(cast: Cast) -> None:
    for number in range(MOST_WAITING):
        get_waiting(cast, digest=f"{number:064}")
    with pytest.raises(ApprovalImpossibleError, match="wait for an answer"):
        use_approvals(asked=ask(cast))
    assert Approval.objects.count() == MOST_WAITING
    assert get_waiting(cast, digest=f"{0:064}").pk  # what is asked already still is


@pytest.mark.usefixtures("asking")
def test_ask_about_what_nobody_would_read_is_refused(cast: Cast) -> None:
    with pytest.raises(ApprovalImpossibleError, match="64 KiB"):
        use_approvals(asked=ask(cast, arguments=b"x" * (MAX_ARGUMENTS_BYTES + 1)))
    assert not Approval.objects.exists()


@pytest.mark.parametrize("name", ["x" * 2049, "a\0b"], ids=["long", "NUL"])
@pytest.mark.usefixtures("asking")
def test_ask_about_what_has_no_readable_name_is_refused(cast: Cast, name: str) -> None:
    with pytest.raises(ApprovalImpossibleError, match="such a name"):
        use_approvals(asked=ask(cast, kind="resource", capability=name))
    assert not Approval.objects.exists()


@pytest.mark.usefixtures("asking")
def test_arguments_moved_to_another_row_do_not_open(cast: Cast) -> None:
    first, second = get_waiting(cast), get_waiting(cast, digest="b" * 64)
    second.arguments = first.arguments
    with pytest.raises(VaultError):
        open_arguments(second)
    second.save()
    with pytest.raises(SettledError, match="can't be opened"):  # nobody can have read them
        approve_call(approval=second, approver=cast.alice, scope="once")
    assert deny_call(approval=second, approver=cast.alice).status == "denied"


@pytest.mark.parametrize(
    "change",
    [
        "status = 'used', scope = 'once', used_at = now(), settled_at = now(), arguments = ''",
        "arguments_digest = repeat('b', 64)",
        "user_id = NULL, layer = 'org'",
        "asked_by = '{baseline}'",
        "status = 'approved', scope = 'once', settled_at = now()",  # with the arguments still there
        "status = 'approved', settled_at = now(), arguments = ''",  # without saying how far it goes
        "status = 'approved', scope = 'period', settled_at = now(), arguments = '', expires_at = NULL",
        "status = 'denied', arguments = ''",  # at no time
    ],
)
@pytest.mark.usefixtures("asking")
def test_change_by_sql_that_means_nothing_is_refused(cast: Cast, change: str) -> None:
    get_waiting(cast)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE policy_approval SET {change}")
    assert Approval.objects.get().status == "pending"


@pytest.mark.usefixtures("asking")
def test_settled_approval_is_not_settled_again_by_sql(cast: Cast) -> None:
    approve_call(approval=get_waiting(cast), approver=cast.alice, scope="once")
    assert passes(cast)
    for change in ("status = 'approved'", "expires_at = now() + interval '9 years'", "status = 'pending'"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE policy_approval SET {change}")
    assert Approval.objects.get().status == "used"


@pytest.mark.django_db(transaction=True)
def test_use_at_the_same_moment_lets_one_call_pass() -> None:
    cast = make_cast()
    make_rule(cast.acme, "org", "ask")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "user", "ask", user=cast.alice)
    for approval in use_approvals(asked=ask(cast)):
        by = cast.alice if approval.layer == "user" else cast.carol
        approve_call(approval=approval, approver=by, scope="once")
    asked = [ask(cast) for _ in range(8)]
    passed: list[bool] = []
    barrier = threading.Barrier(len(asked))

    def use(one: AskedCall) -> None:
        try:
            barrier.wait(10)
            passed.append(all(row.status != "pending" for row in use_approvals(asked=one)))
        finally:
            connection.close()

    threads = [threading.Thread(target=use, args=(one,)) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(passed) == [False] * 7 + [True]
    assert AuditEvent.objects.filter(type="approval.used").count() == 2
    # The seven that came too late ask the same question, once in each layer.
    assert Approval.objects.filter(status="pending").count() == 2


def test_policy_author_answers_for_the_organization_and_auditor_does_not(cast: Cast) -> None:
    make_rule(cast.acme, "org", "ask")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    waiting = get_waiting(cast)
    auditor = make_member(cast.acme, "Audrey", role=Membership.Role.AUDITOR)
    for nobody in (auditor, cast.bob, cast.mallory):
        with pytest.raises(NotAllowedToAnswerError):
            deny_call(approval=waiting, approver=nobody)
    author = make_member(cast.acme, "Paula", role=Membership.Role.POLICY_AUTHOR)
    assert approve_call(approval=waiting, approver=author, scope="once").settled_by == author
