"""Approvals and requests for rules in the portal: who sees what, who may answer, and what comes of it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from audit.models import AuditEvent
from audit.services.record import Actor
from connections.models import Capability
from orgs.models import Application, User
from policy.compile import load_policy
from policy.engine import Call, Decision, Effect
from policy.models import Approval, Rule, RuleRequest
from policy.services.simulate import load_groups
from policy.services.use_approvals import AskedCall, use_approvals
from tests.factories import Cast, make_call, make_cast, make_rule
from tests.portal.accessibility import find_problems

SignIn = Callable[[User], Client]
TITLE = "Login fails on a Monday"
ARGUMENTS = b'{"repo":"acme/frontend","title":"Login fails on a Monday","labels":["bug"]}'
SCHEMA = {"type": "object", "properties": {"repo": {"type": "string"}, "title": {"type": "string"}}}


def decide(cast: Cast, capability: str = "create_issue", klass: str = "write") -> Decision:
    call = Call(
        user=str(cast.alice.pk),
        groups=load_groups(cast.acme, cast.alice),
        application=str(cast.pr_bot.pk),
        integration=str(cast.github.pk),
        capability=capability,
        klass=klass,
        arguments={"repo": "acme/frontend"},
        now=timezone.now().timestamp(),
    )
    return load_policy(cast.acme.pk).decide(call)


def ask(cast: Cast, arguments: bytes = ARGUMENTS, digest: str = "") -> list[Approval]:
    """Have PR-Bot make a call for Alice that the rules ask about."""
    decision = decide(cast)
    assert decision.effect is Effect.ASK
    call = uuid4()
    asked = AskedCall(
        organization_id=cast.acme.pk,
        user_id=cast.alice.pk,
        application_id=cast.pr_bot.pk,
        integration_id=cast.github.pk,
        kind="tool",
        capability="create_issue",
        klass="write",
        arguments=arguments,
        arguments_digest=digest or "d" * 64,
        questions=decision.get_questions(),
        policy_version=decision.version,
        call=call,
        since=0.0,
        actor=Actor(user_id=cast.alice.pk, application_id=cast.pr_bot.pk, application_name="PR-Bot"),
    )
    return list(use_approvals(asked=asked))


def refuse(cast: Cast) -> AuditEvent:
    """Have a call of PR-Bot for Alice refused, as the gateway records it."""
    explanation = decide(cast).explain()
    assert explanation["effect"] == "deny"
    return make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied", decision=explanation)


@pytest.fixture
def waiting(cast: Cast) -> Approval:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "user", "ask", user=cast.alice, capability="create_*", reason="I want to see it first")
    (approval,) = ask(cast)
    return approval


@pytest.fixture
def refused(cast: Cast) -> AuditEvent:
    """The organization says nothing about GitHub, nor does PR-Bot's owner."""
    Capability.objects.filter(integration=cast.github).update(input_schema=SCHEMA)
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    return refuse(cast)


def test_page_shows_who_asks_for_what_with_which_arguments(cast: Cast, waiting: Approval, sign_in: SignIn) -> None:
    alice = sign_in(cast.alice)
    assert "1 call waits for your approval" in alice.get("/").content.decode()
    assert f"/approvals/{waiting.pk}/" in alice.get("/approvals/").content.decode()
    page = alice.get(f"/approvals/{waiting.pk}/").content.decode()
    for words in ("PR-Bot", "github:create_issue", TITLE, "acme/frontend", waiting.code, "I want to see it first"):
        assert words in page
    assert "Alice Adams is asked before" in page


def test_approve_in_the_portal_stores_the_answer_and_records_it(cast: Cast, waiting: Approval, sign_in: SignIn) -> None:
    answer = sign_in(cast.alice).post(
        f"/approvals/{waiting.pk}/", {"answer": "approve", "scope": "period", "lifetime": "hour"}, follow=True
    )
    page = answer.content.decode()
    assert "Approved. PR-Bot can go on" in page
    assert TITLE not in page  # erased with the answer
    row = Approval.objects.get()
    assert (row.status, row.scope, row.settled_by) == ("approved", "period", cast.alice)
    event = AuditEvent.objects.get(type="approval.approved")
    assert (event.user_id, event.organization_id, event.details["scope"]) == (cast.alice.pk, cast.acme.pk, "period")


def test_approve_as_rule_says_which_and_writes_it(cast: Cast, waiting: Approval, sign_in: SignIn) -> None:
    alice = sign_in(cast.alice)
    assert "Alice Adams lets PR-Bot use github:create_issue" in alice.get(f"/approvals/{waiting.pk}/").content.decode()
    alice.post(f"/approvals/{waiting.pk}/", {"answer": "approve", "scope": "rule"})
    rule = Rule.objects.get(effect="allow", layer="user")
    assert (rule.user, rule.application, rule.capability) == (cast.alice, cast.pr_bot, "create_issue")
    assert Approval.objects.get().rule == rule


def test_deny_in_the_portal_stores_why(cast: Cast, waiting: Approval, sign_in: SignIn) -> None:
    alice = sign_in(cast.alice)
    page = alice.post(f"/approvals/{waiting.pk}/", {"answer": "deny", "reason": "Not now"}, follow=True)
    assert "Denied. PR-Bot is told so" in page.content.decode()
    assert (Approval.objects.get().status, Approval.objects.get().answer) == ("denied", "Not now")
    again = alice.post(f"/approvals/{waiting.pk}/", {"answer": "approve", "scope": "once"}, follow=True)
    assert "This has been answered already." in again.content.decode()
    assert Approval.objects.get().status == "denied"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"answer": "approve"},
        {"answer": "approve", "scope": "forever"},
        {"answer": "approve", "scope": "period", "lifetime": ""},
        {"answer": "approve", "scope": "period", "lifetime": "year"},
        {"answer": "deny", "reason": "x" * 256},
        {"answer": "deny", "reason": "\0"},
    ],
    ids=str,
)
def test_answer_with_bad_input_says_so_and_changes_nothing(
    cast: Cast, waiting: Approval, sign_in: SignIn, form: dict[str, str]
) -> None:
    answer = sign_in(cast.alice).post(f"/approvals/{waiting.pk}/", form)
    assert answer.status_code == 422
    assert b'class="error-summary" role="alert"' in answer.content
    assert Approval.objects.get().status == "pending"


@pytest.mark.parametrize("who", ["bob", "carol", "mallory"])
def test_approval_of_somebody_elses_layer_is_not_found(
    cast: Cast, waiting: Approval, sign_in: SignIn, who: str
) -> None:
    client = sign_in(getattr(cast, who))
    path = f"/approvals/{waiting.pk}/"
    answers = [
        client.get(path),
        client.post(path, {"answer": "approve", "scope": "once"}),
        client.post(path, {"answer": "deny"}),
        client.post(f"{path}withdraw/"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert TITLE not in client.get("/approvals/").content.decode()
    assert Approval.objects.get().status == "pending"


def test_person_sees_what_waits_for_others_and_can_not_answer_it(cast: Cast, sign_in: SignIn) -> None:
    make_rule(cast.acme, "org", "ask", klass="write")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    (approval,) = ask(cast)
    alice, carol = sign_in(cast.alice), sign_in(cast.carol)
    assert "Waits for somebody else" in alice.get("/approvals/").content.decode()
    page = alice.get(f"/approvals/{approval.pk}/").content.decode()
    assert "This is for somebody else to decide" in page
    assert 'value="approve"' not in page
    refused = alice.post(f"/approvals/{approval.pk}/", {"answer": "approve", "scope": "once"})
    assert refused.status_code == 403
    assert Approval.objects.get().status == "pending"
    assert TITLE in carol.get(f"/approvals/{approval.pk}/").content.decode()
    carol.post(f"/approvals/{approval.pk}/", {"answer": "approve", "scope": "once"})
    assert Approval.objects.get().settled_by == cast.carol


def test_answer_from_another_site_is_refused(cast: Cast, waiting: Approval) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    for form in ({"answer": "approve", "scope": "rule"}, {"answer": "deny"}):
        assert browser.post(f"/approvals/{waiting.pk}/", form).status_code == 403
    assert Approval.objects.get().status == "pending"
    assert "frame-ancestors 'none'" in browser.get(f"/approvals/{waiting.pk}/").headers["Content-Security-Policy"]


def test_arguments_that_pretend_are_spelled_out(cast: Cast, waiting: Approval, sign_in: SignIn) -> None:
    (trick,) = ask(cast, b'{"repo":"acme/\\u202eevil","html":"<b>bold</b>"}', "e" * 64)
    page = sign_in(cast.alice).get(f"/approvals/{trick.pk}/").content.decode()
    assert "acme/\\u202eevil" in page
    assert "\u202e" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page


def test_withdraw_ends_a_standing_approval(cast: Cast, waiting: Approval, sign_in: SignIn) -> None:
    alice = sign_in(cast.alice)
    alice.post(f"/approvals/{waiting.pk}/", {"answer": "approve", "scope": "period", "lifetime": "week"})
    assert "Approved for longer" in alice.get("/approvals/").content.decode()
    assert "Withdrawn." in alice.post(f"/approvals/{waiting.pk}/withdraw/", follow=True).content.decode()
    assert Approval.objects.get().status == "withdrawn"
    assert "no longer counted" in alice.post(f"/approvals/{waiting.pk}/withdraw/", follow=True).content.decode()


def test_question_that_is_over_shows_no_arguments(cast: Cast, waiting: Approval, sign_in: SignIn) -> None:
    Approval.objects.update(expires_at=timezone.now() - dt.timedelta(minutes=1))
    page = sign_in(cast.alice).get(f"/approvals/{waiting.pk}/").content.decode()
    assert "Expired" in page
    assert TITLE not in page


@pytest.mark.parametrize(("outcome", "words"), [("denied", "It has to be"), ("ok", "It passed by")])
def test_page_of_a_call_leads_to_its_approval(
    cast: Cast, waiting: Approval, sign_in: SignIn, outcome: str, words: str
) -> None:
    facts: dict[str, Any] = {"details": {"approvals": [str(waiting.pk)]}, "decision": decide(cast).explain()}
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, outcome, **facts)
    page = sign_in(cast.alice).get(f"/activity/{event.pk}/").content.decode()
    assert words in page
    assert f'href="/approvals/{waiting.pk}/"' in page


def test_link_of_a_refused_call_leads_to_its_page(cast: Cast, refused: AuditEvent, sign_in: SignIn) -> None:
    alice = sign_in(cast.alice)
    assert alice.get(f"/activity/calls/{refused.call}/")["Location"] == f"/activity/{refused.pk}/"
    for stranger in (cast.bob, cast.carol, cast.mallory):
        assert sign_in(stranger).get(f"/activity/calls/{refused.call}/").status_code == 404


def make_request(cast: Cast, refused: AuditEvent, sign_in: SignIn, number: int = 0) -> RuleRequest:
    answer = sign_in(cast.alice).post(f"/approvals/requests/ask/{refused.pk}/", {"number": str(number)}, follow=True)
    assert "Asked." in answer.content.decode()
    return RuleRequest.objects.latest("created_at")


def test_ask_stores_one_request_for_each_proposal_and_records_it(
    cast: Cast, refused: AuditEvent, sign_in: SignIn
) -> None:
    page = sign_in(cast.alice).get(f"/activity/{refused.pk}/").content.decode()
    assert page.count(f'action="/approvals/requests/ask/{refused.pk}/"') == 2
    first, again = make_request(cast, refused, sign_in), make_request(cast, refused, sign_in)
    assert first.pk == again.pk
    from_another_call = make_request(cast, refuse(cast), sign_in)
    assert from_another_call.pk == first.pk
    assert (first.asker, first.layer, first.action, first.status) == (cast.alice, "org", "add", "pending")
    assert (first.application, first.integration, first.capability) == (cast.pr_bot, cast.github, "create_issue")
    assert make_request(cast, refused, sign_in, 1).layer == "application"
    assert AuditEvent.objects.filter(type="rule.requested", user_id=cast.alice.pk).count() == 2
    assert Rule.objects.count() == 1  # nothing has changed


def test_accept_writes_the_rule_as_edited_and_the_asker_sees_it(
    cast: Cast, refused: AuditEvent, sign_in: SignIn
) -> None:
    request = make_request(cast, refused, sign_in)
    carol = sign_in(cast.carol)
    assert "1 person asks you for a rule" in carol.get("/").content.decode()
    assert str(request.pk) in carol.get("/approvals/requests/").content.decode()
    edited = {"subject": "asker", "argument": "repo", "comparison": "equals", "value": "acme/frontend", "until": "week"}
    answer = carol.post(f"/approvals/requests/{request.pk}/", {"answer": "accept", "reason": "Fine", **edited})
    assert answer.status_code == 302
    rule = Rule.objects.get(layer="org")
    assert (rule.effect, rule.user, rule.application, rule.capability) == ("allow", cast.alice, None, "create_issue")
    assert rule.conditions == {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    assert (rule.reason, rule.created_by) == ("Fine", cast.carol)
    assert rule.valid_until is not None
    request.refresh_from_db()
    assert (request.status, request.settled_by, request.rule) == ("accepted", cast.carol, rule)
    assert "Accepted" in sign_in(cast.alice).get("/approvals/requests/").content.decode()
    assert AuditEvent.objects.get(type="rule.request_accepted").details["rule"] == str(rule.pk)


def test_decline_tells_the_asker_why(cast: Cast, refused: AuditEvent, sign_in: SignIn) -> None:
    request = make_request(cast, refused, sign_in)
    carol = sign_in(cast.carol)
    assert carol.post(f"/approvals/requests/{request.pk}/", {"answer": "decline", "reason": ""}).status_code == 422
    carol.post(f"/approvals/requests/{request.pk}/", {"answer": "decline", "reason": "Ask me in spring"})
    request.refresh_from_db()
    assert (request.status, request.answer) == ("declined", "Ask me in spring")
    assert "Ask me in spring" in sign_in(cast.alice).get(f"/approvals/requests/{request.pk}/").content.decode()
    assert Rule.objects.count() == 1


def test_request_for_removal_removes_the_rule_that_denies(cast: Cast, sign_in: SignIn) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    deny = make_rule(cast.acme, "user", "deny", group=cast.engineering, capability="create_issue")
    request = make_request(cast, refuse(cast), sign_in)
    assert (request.action, request.rule) == ("remove", deny)
    carol = sign_in(cast.carol)
    assert "Remove: " in carol.get(f"/approvals/requests/{request.pk}/").content.decode()
    carol.post(f"/approvals/requests/{request.pk}/", {"answer": "accept"})
    assert not Rule.objects.filter(pk=deny.pk).exists()
    assert AuditEvent.objects.filter(type="rule.deleted").count() == 1
    request.refresh_from_db()
    assert (request.status, request.rule) == ("accepted", None)


@pytest.mark.parametrize("who", ["bob", "carol", "mallory"])
def test_nobody_asks_about_anothers_call(cast: Cast, refused: AuditEvent, sign_in: SignIn, who: str) -> None:
    answer = sign_in(getattr(cast, who)).post(f"/approvals/requests/ask/{refused.pk}/", {"number": "0"})
    assert answer.status_code == 404
    assert not RuleRequest.objects.exists()


@pytest.mark.parametrize("number", ["", "x", "-1", "7", "9" * 30])
def test_ask_for_what_was_not_proposed_is_refused(
    cast: Cast, refused: AuditEvent, sign_in: SignIn, number: str
) -> None:
    answer = sign_in(cast.alice).post(f"/approvals/requests/ask/{refused.pk}/", {"number": number}, follow=True)
    assert "proposes no such change" in answer.content.decode()
    assert not RuleRequest.objects.exists()


def test_request_is_for_whoever_may_write_the_rule(cast: Cast, refused: AuditEvent, sign_in: SignIn) -> None:
    of_acme, of_owner = make_request(cast, refused, sign_in), make_request(cast, refused, sign_in, 1)
    Application.objects.filter(pk=cast.pr_bot.pk).update(owner=cast.bob)
    bob = sign_in(cast.bob)
    page = bob.get("/approvals/requests/").content.decode()
    assert str(of_owner.pk) in page
    assert str(of_acme.pk) not in page
    assert bob.get(f"/approvals/requests/{of_acme.pk}/").status_code == 404
    for client in (bob, sign_in(cast.mallory)):
        assert client.post(f"/approvals/requests/{of_acme.pk}/", {"answer": "accept"}).status_code == 404
    alice = sign_in(cast.alice)
    assert alice.post(f"/approvals/requests/{of_acme.pk}/", {"answer": "accept"}).status_code == 403
    assert alice.post(f"/approvals/requests/{of_acme.pk}/", {"answer": "decline", "reason": "x"}).status_code == 403
    assert set(RuleRequest.objects.values_list("status", flat=True)) == {"pending"}
    assert bob.post(f"/approvals/requests/{of_owner.pk}/", {"answer": "accept"}).status_code == 302
    assert Rule.objects.get(layer="application").created_by == cast.bob


def test_withdraw_takes_back_only_ones_own(cast: Cast, refused: AuditEvent, sign_in: SignIn) -> None:
    request = make_request(cast, refused, sign_in)
    assert sign_in(cast.carol).post(f"/approvals/requests/{request.pk}/withdraw/").status_code == 403
    sign_in(cast.alice).post(f"/approvals/requests/{request.pk}/withdraw/")
    request.refresh_from_db()
    assert request.status == "withdrawn"
    late = sign_in(cast.carol).post(f"/approvals/requests/{request.pk}/", {"answer": "accept"}, follow=True)
    assert "answered already" in late.content.decode()
    assert Rule.objects.count() == 1


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
class TestInBrowser:
    @pytest.fixture
    def cast(self, transactional_db: None) -> Cast:
        return make_cast()

    @pytest.mark.parametrize("width", [1280, 360])
    def test_approve_a_call(self, cast: Cast, waiting: Approval, open_browser: Callable[..., Page], width: int) -> None:
        page = open_browser(cast.alice, width=width)
        page.goto("/")
        page.get_by_role("link", name=re.compile("Decide.*1 call waits")).click()
        page.get_by_role("link", name=f"code {waiting.code}").click()
        expect(page.get_by_text(waiting.code)).to_be_visible()
        expect(page.get_by_text(TITLE)).to_be_visible()
        assert find_problems(page) == []
        page.get_by_label("This call, once").check()
        page.get_by_role("button", name="Approve").press("Enter")
        expect(page.get_by_text("PR-Bot can go on")).to_be_visible()
        expect(page.get_by_text(TITLE)).to_have_count(0)
        assert find_problems(page) == []
        assert (Approval.objects.get().status, Approval.objects.get().scope) == ("approved", "once")

    def test_request_and_accept(self, cast: Cast, refused: AuditEvent, open_browser: Callable[..., Page]) -> None:
        alice = open_browser(cast.alice, width=360)
        alice.goto(f"/activity/{refused.pk}/")
        assert find_problems(alice) == []
        alice.get_by_role("button", name=re.compile("Ask.*An administrator")).click()
        expect(alice.get_by_role("heading", name="You ask for a rule")).to_be_visible()
        carol = open_browser(cast.carol, color_scheme="dark")
        carol.goto("/approvals/requests/")
        assert find_problems(carol) == []
        carol.get_by_role("link", name="Decide").click()
        assert find_problems(carol) == []
        carol.get_by_label("Only where").select_option("repo")
        carol.get_by_label("Value").fill("acme/frontend")
        carol.get_by_role("button", name="Write it").click()
        expect(carol.get_by_text("It holds from the next call on")).to_be_visible()
        alice.reload()
        expect(alice.get_by_text("Accepted")).to_be_visible()
        assert Rule.objects.get(layer="org").conditions is not None
