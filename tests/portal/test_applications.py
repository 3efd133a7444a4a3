"""Who acts for one person: seeing it, narrowing it, ending it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from audit.models import AuditEvent
from orgs.models import Delegation, User
from policy.models import Rule
from policy.services.simulate import simulate
from tests.factories import (
    Cast,
    allow_integration,
    make_application,
    make_call,
    make_capability,
    make_connection,
    make_delegation,
    make_integration,
    make_rule,
)

SignIn = Callable[[User], Client]


@pytest.fixture
def delegation(cast: Cast) -> Delegation:
    """Alice's consent to PR-Bot, for GitHub."""
    cast.delegation.resources = [cast.github.resource]
    cast.delegation.redirect_host = "127.0.0.1"
    cast.delegation.save()
    return cast.delegation


@pytest.fixture
def alice(cast: Cast, delegation: Delegation, sign_in: SignIn) -> Client:
    return sign_in(cast.alice)


def address(cast: Cast, *more: object) -> str:
    return "/".join(["/applications", str(cast.pr_bot.pk), *map(str, more), ""])


def read_words(answer: Any) -> str:
    return " ".join(strip_tags(answer.content.decode()).split())


def allow_everything_else(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)


def test_applications_list_says_since_when_what_for_and_when_last(cast: Cast, alice: Client) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(hours=3))
    page = alice.get("/applications/").content.decode()
    for words in ("PR-Bot", "Uses Github", "3 hours ago", "1 call in 7 days", "Active"):
        assert words in page
    assert "Spy-Bot" not in page


def test_applications_of_other_people_are_not_listed(cast: Cast, delegation: Delegation, sign_in: SignIn) -> None:
    page = sign_in(cast.bob).get("/applications/").content.decode()
    assert "No application acts for you" in page
    assert "PR-Bot" not in page


def test_application_reaches_only_what_both_consent_and_application_allow(cast: Cast, alice: Client) -> None:
    make_capability(make_integration(cast.acme, "linear"), "not_allowed_to_the_application")
    slack = make_integration(cast.acme, "slack")
    make_capability(slack, "not_consented_to")
    allow_integration(cast.pr_bot, slack)
    page = alice.get(address(cast)).content.decode()
    assert "github:create_issue" in page
    assert "not_allowed_to_the_application" not in page
    assert "not_consented_to" not in page


def test_application_page_says_what_was_agreed_to(cast: Cast, alice: Client) -> None:
    make_connection(cast.github, cast.alice, account="alice-gh")
    page = alice.get(address(cast)).content.decode()
    for words in (
        *("Use integrations for you", "127.0.0.1", "Carol Clark", cast.pr_bot.client_id, "alice-gh"),
        *("Denied by the organization layer", "Stop acting for me"),
    ):
        assert words in page


def test_application_page_tells_a_refusal_from_one_that_depends_on_arguments(cast: Cast, alice: Client) -> None:
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "user", "allow", user=cast.alice, capability="create_issue", integration=cast.github)
    condition = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, conditions=condition)
    [part] = alice.get(address(cast)).context["integrations"]
    effects = {line.capability.name: line.effective.effect for line in part.lines}
    assert effects == {"create_issue": "depends", "delete_repo": "deny"}


def test_application_page_costs_as_much_for_many_capabilities(
    cast: Cast, alice: Client, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for number in range(40):
        make_capability(cast.github, f"tool_{number}")
    with django_assert_max_num_queries(23):  # type: ignore[attr-defined]
        alice.get(address(cast))


@pytest.mark.parametrize("action", ["", "stop/", "pause/", "capability"])
def test_application_of_somebody_else_is_not_found(cast: Cast, alice: Client, sign_in: SignIn, action: str) -> None:
    mine = make_application(cast.acme, "Bob's own")
    make_delegation(mine, cast.bob, resources=[cast.github.resource])
    path = f"capabilities/{cast.create_issue.pk}/" if action == "capability" else action
    for application in (mine, cast.spy_bot):
        url = f"/applications/{application.pk}/{path}"
        assert alice.post(url, {"effect": "allow", "wanted": "pause"}).status_code in (404, 405)
        assert alice.get(url).status_code in (404, 405)
    assert not Rule.objects.exists()
    assert Delegation.objects.usable().count() == 2


def test_stop_asks_first_and_names_what_stops(cast: Cast, alice: Client) -> None:
    page = alice.get(address(cast, "stop")).content.decode()
    assert "Stop PR-Bot: it loses Github" in page
    assert Delegation.objects.usable().exists()


def test_stop_ends_the_consent_is_recorded_and_can_be_seen(cast: Cast, alice: Client) -> None:
    answer = alice.post(address(cast, "stop"), follow=True)

    assert not Delegation.objects.usable().exists()
    event = AuditEvent.objects.get(type="delegation.revoked")
    assert (event.organization_id, event.user_id) == (cast.acme.pk, cast.alice.pk)
    page = read_words(answer)
    assert "PR-Bot no longer acts for you" in page
    assert "stopped just now" in page
    assert alice.post(address(cast, "stop")).status_code == 404
    assert "It no longer acts for you" in alice.get(address(cast)).content.decode()


def test_consent_that_ran_out_is_shown_as_ended(cast: Cast, alice: Client) -> None:
    Delegation.objects.update(expires_at=timezone.now() - dt.timedelta(hours=1))
    assert "ran out 1 hour ago" in read_words(alice.get("/applications/"))
    assert "the time you gave it ran out" in alice.get(address(cast)).content.decode()


@pytest.mark.parametrize(("wanted", "effect"), [("allow", "allow"), ("ask", "ask"), ("never", "deny")])
def test_choose_writes_one_rule_of_my_own_for_this_application(
    cast: Cast, alice: Client, wanted: str, effect: str
) -> None:
    allow_everything_else(cast)
    url = address(cast, "capabilities", cast.create_issue.pk)
    for _ in range(2):
        assert alice.post(url, {"effect": wanted}).status_code == 302
    rule = Rule.objects.get(layer="user")
    assert (rule.user, rule.application, rule.integration, rule.capability, rule.effect, rule.conditions) == (
        *(cast.alice, cast.pr_bot, cast.github, "create_issue"),
        *(effect, None),
    )
    decision = simulate(
        organization=cast.acme, user=cast.alice, application=cast.pr_bot, capability=cast.create_issue, arguments={}
    )
    assert decision.effect == effect
    assert AuditEvent.objects.get(type="rule.created").user_id == cast.alice.pk


def test_choose_another_effect_changes_the_rule_and_default_deletes_it(cast: Cast, alice: Client) -> None:
    url = address(cast, "capabilities", cast.create_issue.pk)
    alice.post(url, {"effect": "allow"})
    alice.post(url, {"effect": "never"})
    assert Rule.objects.get().effect == "deny"
    alice.post(url, {"effect": "default"})
    assert not Rule.objects.exists()
    types = list(AuditEvent.objects.order_by("pk").values_list("type", flat=True))
    assert types == ["rule.created", "rule.changed", "rule.deleted"]


def test_choose_leaves_other_rules_alone(cast: Cast, alice: Client) -> None:
    condition = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    facts = {"application": cast.pr_bot, "integration": cast.github, "capability": "create_issue"}
    kept = [
        make_rule(cast.acme, "user", "allow", user=cast.alice, conditions=condition, **facts),
        make_rule(cast.acme, "user", "allow", user=cast.bob, **facts),
        make_rule(cast.acme, "application", "allow", **facts),
        make_rule(cast.acme, "user", "allow", user=cast.alice, **{**facts, "application": None}),
    ]
    url = address(cast, "capabilities", cast.create_issue.pk)
    for wanted in ("never", "default"):
        alice.post(url, {"effect": wanted})
    assert set(Rule.objects.all()) == set(kept)


def test_choose_with_htmx_answers_with_the_one_line(cast: Cast, alice: Client) -> None:
    allow_everything_else(cast)
    url = address(cast, "capabilities", cast.create_issue.pk)
    answer = alice.post(url, {"effect": "allow"}, headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert page.strip().startswith('<li class="capability"')
    assert "Allowed by every layer" in page


@pytest.mark.parametrize("body", [{}, {"effect": "perhaps"}, {"effect": ""}])
def test_choose_something_unknown_is_refused(cast: Cast, alice: Client, body: dict[str, str]) -> None:
    answer = alice.post(address(cast, "capabilities", cast.create_issue.pk), body)
    assert answer.status_code == 400
    assert b"kontext_validation_error" in answer.content
    assert not Rule.objects.exists()


def test_choose_for_a_capability_out_of_reach_is_not_found(cast: Cast, alice: Client) -> None:
    elsewhere = make_capability(cast.globex_github, "create_issue")
    unreached = make_capability(make_integration(cast.acme, "linear"), "list")
    for key in (elsewhere.pk, unreached.pk, uuid4()):
        assert alice.post(address(cast, "capabilities", key), {"effect": "allow"}).status_code == 404
    assert not Rule.objects.exists()


def test_pause_and_resume_change_the_consent_and_no_rule(cast: Cast, alice: Client) -> None:
    allow_everything_else(cast)
    rules = set(Rule.objects.values_list("pk", flat=True))
    page = alice.post(address(cast, "pause"), {"wanted": "pause"}, follow=True).content.decode()
    assert "You paused PR-Bot" in page
    assert "Paused by you" in alice.get("/applications/").content.decode()
    assert Delegation.objects.get(application=cast.pr_bot).is_paused
    assert set(Rule.objects.values_list("pk", flat=True)) == rules
    assert AuditEvent.objects.get(type="delegation.paused").user_id == cast.alice.pk
    assert "You paused PR-Bot" in read_words(alice.get("/activity/mine/"))
    alice.post(address(cast, "pause"), {"wanted": "resume"})
    assert not Delegation.objects.get(application=cast.pr_bot).is_paused
    assert alice.post(address(cast, "pause"), {"wanted": "x"}).status_code == 400
    assert Delegation.objects.usable().exists()


def test_pause_by_others_is_not_found_and_changes_nothing(cast: Cast, sign_in: SignIn) -> None:
    for person in (cast.bob, cast.carol, cast.mallory):
        assert sign_in(person).post(address(cast, "pause"), {"wanted": "pause"}).status_code == 404
    assert not Delegation.objects.filter(paused_at__isnull=False).exists()


def test_application_that_no_rule_speaks_for_says_where_to_begin(cast: Cast, alice: Client) -> None:
    words = read_words(alice.get(address(cast)))
    assert "No rule of yours allows PR-Bot anything yet, so each of its calls is refused." in words
    assert "Say what PR-Bot may do" in read_words(alice.get("/"))


def test_begin_shows_the_rules_then_writes_them_and_takes_them_back(cast: Cast, alice: Client) -> None:
    shown = read_words(alice.get(address(cast, "begin", "ask_before_writing")))
    assert "These rules of yours are added" in shown
    assert "Alice Adams lets PR-Bot read in every integration" in shown
    assert not Rule.objects.exists()

    page = read_words(alice.post(address(cast, "begin", "ask_before_writing"), follow=True))
    assert "“Ask before writing” holds from its next call on." in page
    assert "✓ Ask before writing" in page
    assert {(rule.user, rule.application) for rule in Rule.objects.all()} == {(cast.alice, cast.pr_bot)}
    assert "exactly this already" in read_words(alice.get(address(cast, "begin", "ask_before_writing")))
    assert "Say what PR-Bot may do" not in read_words(alice.get("/"))

    assert "These go" in read_words(alice.get(address(cast, "begin", "read_only")))
    assert "Those rules are gone." in read_words(alice.post(address(cast, "begin", "none"), follow=True))
    assert not Rule.objects.exists()


def test_begin_for_others_or_with_what_does_not_exist_is_not_found(cast: Cast, alice: Client, sign_in: SignIn) -> None:
    assert alice.post(address(cast, "begin", "all")).status_code == 404
    for person in (cast.bob, cast.mallory):
        for method in ("get", "post"):
            answer = getattr(sign_in(person), method)(address(cast, "begin", "everything"))
            assert answer.status_code == 404
    assert not Rule.objects.exists()


def test_application_page_says_what_was_used_with_which_account_and_when(cast: Cast, alice: Client) -> None:
    for outcome, days in (("ok", 1), ("ok", 2), ("denied", 3), ("error_remote", 4), ("ok", 40)):
        ago = dt.timedelta(days=days)
        make_call(cast.pr_bot, cast.alice, cast.create_issue, outcome, ago=ago, account="alice-acme")
    make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied")
    make_call(cast.pr_bot, cast.bob, cast.create_issue)
    usage = alice.get(address(cast)).context["usage"]
    assert [(line.words, line.account, line.calls, line.refused, line.failed) for line in usage.lines] == [
        ("github:delete_repo", "", 1, 1, 0),
        ("github:create_issue", "alice-acme", 4, 1, 1),
    ]
    assert usage.chart.total == 5
    assert dict(
        zip(usage.chart.names, map(sum, zip(*[day.counts for day in usage.chart.days], strict=True)), strict=True)
    ) == {
        "Done": 2,
        "Refused": 2,
        "Failed": 1,
    }
    words = read_words(alice.get(address(cast)))
    assert "github:create_issue alice-acme 4" in words


def test_ended_application_still_says_what_it_used(cast: Cast, alice: Client) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue, account="alice-acme")
    alice.post(address(cast, "stop"))
    assert "alice-acme" in read_words(alice.get(address(cast)))


def test_pause_from_the_list_leads_back_to_it(cast: Cast, alice: Client) -> None:
    answer = alice.post(address(cast, "pause"), {"wanted": "pause", "back": "list"})
    assert answer.headers["Location"] == "/applications/"
    words = read_words(alice.get("/applications/"))
    assert "Resume PR-Bot" in words
    assert "Paused by you" in words
