"""Replaying past calls in the admin: what is shown, to whom, and what a draft with mistakes is told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from orgs.models import GroupMembership, Membership
from policy.models import Rule
from policy.services.simulate import simulate
from tests.admin.conftest import sign_in
from tests.factories import Cast, make_call, make_cast, make_member, make_rule
from tests.portal.conftest import chromium, open_browser

__all__ = ["chromium", "open_browser"]

REPLAY = "/admin/policy/rule/replay/"


def happen(cast: Cast) -> None:
    """Write the story's rules, and the two calls that they allowed."""
    make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github)
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    for model in (Rule, GroupMembership):
        column = "updated_at" if model is Rule else "created_at"
        model.objects.update(**{column: timezone.now() - dt.timedelta(days=2)})
    for capability in (cast.create_issue, cast.delete_repo):
        decision = simulate(
            organization=cast.acme, user=cast.alice, application=cast.pr_bot, capability=capability, arguments={}
        )
        make_call(cast.pr_bot, cast.alice, capability, decision=decision.explain(), details={"method": "tools/call"})


def send(browser: Client, organization: Any, draft: str, days: int = 7) -> Any:
    return browser.post(REPLAY, {"organization": str(organization.pk), "days": days, "draft": draft})


def test_page_begins_with_the_rules_as_they_are(cast: Cast, carol: Client) -> None:
    happen(cast)
    page = carol.get(REPLAY).content.decode()
    assert "group: Engineering" in page
    assert "Alice" not in page  # what people say in their own layer is theirs


def test_replay_lists_what_would_flip(cast: Cast, carol: Client) -> None:
    happen(cast)
    draft = carol.get(REPLAY).context["form"]["draft"].value() + "  - {layer: org, effect: deny, class: destructive}\n"
    page = send(carol, cast.acme, draft).content.decode()
    assert "1 of 2 calls would be decided otherwise" in page
    assert "github:delete_repo" in page
    assert Rule.objects.count() == 3


def test_replay_of_a_draft_with_mistakes_names_them_and_changes_nothing(cast: Cast, carol: Client) -> None:
    happen(cast)
    for draft in ("rules: 7", "{", "rules:\n  - {layer: org, effect: perhaps}\n", "rules:\n  - {effect: allow}\n"):
        answer = send(carol, cast.acme, draft)
        assert answer.status_code == 200
        assert answer.context["form"].errors["draft"]
        assert "found" not in answer.context
    assert Rule.objects.count() == 3


@pytest.mark.parametrize(("role", "status"), [("auditor", 200), ("admin", 200), ("policy_author", 403)])
def test_replay_is_for_those_who_may_read_the_audit_trail(cast: Cast, role: str, status: int) -> None:
    person = make_member(cast.acme, "Somebody", role=role)
    person.is_staff = True
    person.save()
    assert sign_in(person).get(REPLAY).status_code == status
    assert Membership.objects.filter(user=person, role=role).exists()


def test_replay_of_another_organization_is_refused(cast: Cast) -> None:
    happen(cast)
    answer = send(sign_in(cast.mallory), cast.acme, "rules: []\n")
    assert answer.context["form"].errors["organization"]
    assert "PR-Bot" not in answer.content.decode()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("width", [1280, 360])
def test_replay_in_a_browser(open_browser: Callable[..., Page], width: int) -> None:
    cast = make_cast()
    happen(cast)
    page = open_browser(cast.carol, width=width, color_scheme="dark" if width < 500 else "light")
    page.goto(REPLAY)
    draft = page.get_by_label("Rules to try")
    draft.fill(draft.input_value() + "  - {layer: org, effect: ask, capability: delete_*}\n")
    page.get_by_role("button", name="Replay the calls").click()
    expect(page.get_by_role("heading", name="1 of 2 calls would be decided otherwise")).to_be_visible()
    expect(page.get_by_role("row", name="github:delete_repo")).to_contain_text("Ask")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name="See the call").click()
    expect(page.get_by_text("github:delete_repo").first).to_be_visible()
