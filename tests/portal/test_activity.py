"""What applications did for one person, and nothing of anybody else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from kontext.portal.activity import PAGE_SIZE
from orgs.http import make_actor
from orgs.models import Membership, User
from orgs.services.erase_payloads import erase_payloads
from orgs.sessions import ORGANIZATION_KEY
from tests.factories import Cast, make_call, make_capability, make_integration, make_organization

SignIn = Callable[[User], Client]
NOBODYS = UUID(int=7)

DENIED = {
    "effect": "deny",
    "version": 7,
    "deciding": "application",
    "sentence": "Denied by the application layer: PR-Bot may only use acme/frontend.",
    "layers": [
        {"layer": "org", "verdict": "allow", "baseline": None, "rules": [], "nearest": []},
        {"layer": "user", "verdict": "allow", "baseline": None, "rules": [], "nearest": []},
        {"layer": "application", "verdict": "silent", "baseline": None, "rules": [], "nearest": []},
    ],
    "fix": None,
}


def test_activity_shows_a_call_once_with_its_outcome(cast: Cast, sign_in: SignIn) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue, account="alice-gh")
    page = sign_in(cast.alice).get("/activity/").content.decode()
    assert page.count("github:create_issue") == 1
    for words in ("PR-Bot", "Done", "alice-gh"):
        assert words in page


def test_activity_shows_why_a_call_was_denied(cast: Cast, sign_in: SignIn) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied", decision=DENIED)
    page = sign_in(cast.alice).get("/activity/").content.decode()
    assert "Denied by the application layer: PR-Bot may only use acme/frontend." in page


def test_activity_leaves_out_other_people_and_organizations(cast: Cast, sign_in: SignIn) -> None:
    other = make_organization("Acme Dev", slug="acme-dev")
    Membership.objects.create(organization=other, user=cast.alice)
    theirs = make_call(cast.pr_bot, cast.bob, cast.create_issue, account="bob-gh")
    elsewhere = make_call(cast.spy_bot, cast.alice, make_capability(cast.globex_github, "spy"), account="alice-spied")
    unattended = make_call(cast.pr_bot, None, cast.create_issue, account="nobody-gh")
    browser = sign_in(cast.alice)
    session = browser.session
    session[ORGANIZATION_KEY] = str(cast.acme.pk)
    session.save()

    page = browser.get("/activity/").content.decode()

    assert "Nothing has happened yet" in page
    for event in (theirs, elsewhere, unattended):
        assert event.account not in page
        assert browser.get(f"/activity/{event.pk}/").status_code == 404


def test_activity_filters_by_each_field(cast: Cast, sign_in: SignIn) -> None:
    linear = make_capability(make_integration(cast.acme, "linear"), "list")
    make_call(cast.pr_bot, cast.alice, cast.create_issue, account="one", session="s-1")
    make_call(cast.pr_bot, cast.alice, linear, "error_remote", account="two", ago=dt.timedelta(days=2))
    browser = sign_in(cast.alice)

    def shown(query: str) -> list[str]:
        page = browser.get(f"/activity/?{query}").content.decode()
        return [account for account in ("one", "two") if f">{account}<" in page]

    assert shown(f"application={cast.pr_bot.pk}") == ["one", "two"]
    assert shown("integration=linear") == ["two"]
    assert shown("outcome=ok") == ["one"]
    assert shown("outcome=error_remote&period=week") == ["two"]
    assert shown("period=day") == ["one"]
    assert shown("session=s-1") == ["one"]
    assert shown("outcome=cancelled") == []


@pytest.mark.parametrize(
    "query",
    ["outcome=nonsense", "period=x", "before=1", "application=x", f"application={NOBODYS}", "session=%00"],
)
def test_activity_with_bad_filter_says_so_and_lists_nothing(cast: Cast, sign_in: SignIn, query: str) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue)
    answer = sign_in(cast.alice).get(f"/activity/?{query}")
    assert answer.status_code == 400
    assert b'class="error-summary" role="alert"' in answer.content
    assert b"github:create_issue" not in answer.content


def test_activity_pages_show_every_call_once_and_in_order(cast: Cast, sign_in: SignIn) -> None:
    events = [make_call(cast.pr_bot, cast.alice, cast.create_issue) for _ in range(PAGE_SIZE + 3)]
    browser = sign_in(cast.alice)
    first = browser.get("/activity/", {"application": str(cast.pr_bot.pk)})
    second = browser.get(first.context["page"].older)
    seen = [line.event.pk for answer in (first, second) for line in answer.context["page"].lines]
    assert seen == [event.pk for event in reversed(events)]
    assert (first.context["page"].newer, second.context["page"].older) == ("", "")
    assert second.context["page"].newer == f"/activity/?application={cast.pr_bot.pk}"


def test_activity_page_does_not_ask_for_each_row(
    cast: Cast, sign_in: SignIn, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for _ in range(PAGE_SIZE):
        make_call(cast.pr_bot, cast.alice, cast.create_issue)
    browser = sign_in(cast.alice)
    with django_assert_max_num_queries(8):  # type: ignore[attr-defined]
        browser.get("/activity/")


def test_call_page_says_who_what_why_and_what_it_was_told(cast: Cast, sign_in: SignIn) -> None:
    event = make_call(
        cast.pr_bot,
        cast.alice,
        cast.create_issue,
        "denied",
        decision=DENIED,
        request_id="req-12345678",
        session="s-1",
        details={"reason": "not allowed by the application layer", "code": "kontext_policy_denied"},
    )
    page = sign_in(cast.alice).get(f"/activity/{event.pk}/").content.decode()
    for words in ("req-12345678", "kontext_policy_denied", "Application layer: silent (decides)", "session=s-1"):
        assert words in page
    assert f'href="/applications/{cast.pr_bot.pk}/"' in page


def test_call_page_of_a_completed_event_or_something_else_is_not_found(cast: Cast, sign_in: SignIn) -> None:
    opened = make_call(cast.pr_bot, cast.alice, cast.create_issue)
    assert opened.call is not None
    completed = opened.__class__.objects.of_call(opened.call).get(phase="completed")
    browser = sign_in(cast.alice)
    assert browser.get(f"/activity/{opened.pk}/").status_code == 200
    assert browser.get(f"/activity/{completed.pk}/").status_code == 404
    assert browser.get(f"/activity/{NOBODYS}/").status_code == 404


def test_call_without_outcome_for_long_says_that_none_was_recorded(cast: Cast, sign_in: SignIn) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue, "", ago=dt.timedelta(hours=2))
    assert b"Outcome not recorded" in sign_in(cast.alice).get("/activity/").content


def test_own_activity_says_what_else_was_done_and_leaves_out_calls_and_renewals(cast: Cast, sign_in: SignIn) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue)
    for type_, facts in (
        ("person.signed_in", {}),
        ("connection.activated", {"integration": "github", "account": "alice-gh"}),
        ("rule.created", {"details": {"sentence": "Alice Adams lets PR-Bot use github:create_issue"}}),
        ("delegation.granted", {"application_name": "PR-Bot"}),
        ("something.new_here", {}),
        ("token.issued", {"application_name": "Token-Bot"}),
    ):
        record(cast.acme.pk, cast.alice.pk, type_, **facts)
    record(cast.acme.pk, cast.bob.pk, "connection.activated", integration="of-bob")
    record(cast.globex.pk, cast.alice.pk, "connection.activated", integration="elsewhere")
    page = sign_in(cast.alice).get("/activity/mine/").content.decode()
    for sentence in (
        "You signed in",
        "Github was connected as alice-gh",
        "You added a rule: Alice Adams lets PR-Bot use github:create_issue",
        "You let PR-Bot act for you",
        "Something: new here",
    ):
        assert sentence in page
    for left_out in ("create_issue</code>", "Token-Bot", "of-bob", "elsewhere"):
        assert left_out not in page


def test_own_activity_pages_follow_each_other(cast: Cast, sign_in: SignIn) -> None:
    for _ in range(PAGE_SIZE + 1):
        record(cast.acme.pk, cast.alice.pk, "person.signed_in")
    browser = sign_in(cast.alice)
    first = browser.get("/activity/mine/").context["page"]
    second = browser.get(first.older).context["page"]
    assert (len(first.events), len(second.events)) == (PAGE_SIZE, 1)
    assert (second.newer, second.older) == ("/activity/mine/", "")
    assert browser.get("/activity/mine/?before=x").status_code == 400


@pytest.mark.parametrize("sentence", ["{application.__class__}", "{0}", "%s"])
def test_own_activity_takes_what_was_recorded_as_words(cast: Cast, sign_in: SignIn, sentence: str) -> None:
    record(cast.acme.pk, cast.alice.pk, "rule.created", details={"sentence": sentence})
    assert f"You added a rule: {sentence}" in sign_in(cast.alice).get("/activity/mine/").content.decode()


def record(organization_id: UUID, user_id: UUID, type_: str, **facts: Any) -> None:
    AuditEvent.objects.create(
        organization_id=organization_id, user_id=user_id, type=type_, occurred_at=timezone.now(), outcome="ok", **facts
    )


def test_call_page_shows_content_when_asked_for_and_records_that(cast: Cast, sign_in: SignIn) -> None:
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content={"arguments": {"title": "zq-mine"}})
    alice = sign_in(cast.alice)
    page = alice.get(f"/activity/{event.pk}/").content.decode()
    assert "Kept in full, without secrets." in page
    assert "zq-mine" not in page
    assert alice.get(f"/activity/{event.pk}/content/").status_code == 405

    answer = alice.post(f"/activity/{event.pk}/content/")

    assert "zq-mine" in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    assert AuditEvent.objects.get(type="payload.viewed").user_id == cast.alice.pk
    for other in (cast.bob, cast.carol, cast.mallory):
        assert sign_in(other).post(f"/activity/{event.pk}/content/").status_code == 404
    assert AuditEvent.objects.filter(type="payload.viewed").count() == 1


def test_call_page_says_that_content_was_erased(cast: Cast, sign_in: SignIn) -> None:
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content={"arguments": {"title": "zq-mine"}})
    erase_payloads(organization=cast.acme, user=cast.alice, actor=make_actor(user=cast.carol))
    alice = sign_in(cast.alice)
    page = alice.get(f"/activity/{event.pk}/").content.decode()
    assert "by Carol Clark." in page
    assert "/content/" not in page
    assert alice.post(f"/activity/{event.pk}/content/").status_code == 404
