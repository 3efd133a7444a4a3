"""Every page in a real browser: on every screen, in both themes, by keyboard, and without JavaScript."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from audit.models import AuditEvent
from connections.models import Capability
from orgs.models import Delegation, Membership
from policy.models import Rule
from tests.factories import (
    Cast,
    allow_integration,
    make_application,
    make_call,
    make_capability,
    make_cast,
    make_connection,
    make_delegation,
    make_integration,
    make_rule,
)
from tests.orgs.oauth.conftest import OAuth
from tests.portal.accessibility import find_problems
from tests.portal.test_activity import DENIED, record

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

OpenBrowser = Callable[..., Page]
SCREENS = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
FRONTEND = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """Acme in use: consents, calls, rules of every layer, something to reconnect, something that ended."""
    cast = make_cast()
    _describe_capabilities(cast)
    Delegation.objects.filter(pk=cast.delegation.pk).update(
        resources=[cast.github.resource], redirect_host="127.0.0.1", granted_at=timezone.now() - dt.timedelta(days=12)
    )
    linear = make_integration(cast.acme, "linear")
    make_capability(linear, "create_ticket", klass="write")
    notes = make_application(
        cast.acme, "Release notes", owner=cast.bob, description="Writes release notes from merged pull requests."
    )
    for integration in (cast.github, linear):
        allow_integration(notes, integration)
    make_delegation(notes, cast.alice, resources=[linear.resource], expires_at=timezone.now() + dt.timedelta(days=21))
    former = make_application(cast.acme, "Triage")
    make_delegation(former, cast.alice, revoked_at=timezone.now())
    make_connection(cast.github, cast.alice, account="alice-gh", status="reauthorization_required")
    _make_rules(cast)
    for days, outcome in enumerate(["ok", "denied", "error_remote", "error_auth", "ok", "cancelled", ""]):
        decision = DENIED if outcome == "denied" else None
        facts: dict[str, Any] = {"ago": dt.timedelta(days=days), "decision": decision, "session": "s-1"}
        make_call(cast.pr_bot, cast.alice, cast.create_issue, outcome, account="alice-gh", **facts)
        make_call(notes, cast.alice, cast.delete_repo, outcome, **facts)
    for type_, details in (
        ("person.signed_in", {}),
        ("rule.created", {"sentence": "Alice lets PR-Bot use everything"}),
    ):
        record(cast.acme.pk, cast.alice.pk, type_, details=details, source_address="192.0.2.7")
    return cast


def _describe_capabilities(cast: Cast) -> None:
    properties = {"repo": {"type": "string"}, "labels": {"type": "array"}, "state": {"enum": ["open", "closed"]}}
    Capability.objects.filter(integration=cast.github).update(
        input_schema={"type": "object", "properties": properties},
        description="Does what its name says in a repository that the account can reach, and tells the result.",
    )
    make_capability(cast.github, "list_issues", klass="read", title="List issues")


def _make_rules(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow", group=cast.engineering)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, conditions=FRONTEND)
    make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, reason="For the team.")
    make_rule(cast.acme, "user", "deny", user=cast.alice, klass="destructive", application=cast.pr_bot)
    make_rule(cast.acme, "user", "ask", group=cast.engineering, klass="destructive")


def look(page: Page, name: str) -> None:
    """Keep a picture for whoever looks (SCREENSHOTS names a folder)."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def get_pages(cast: Cast) -> dict[str, str]:
    rule = Rule.objects.filter(user=cast.alice).earliest("created_at")
    denied = AuditEvent.objects.filter(outcome="denied").latest("pk")
    application = f"/applications/{cast.pr_bot.pk}/"
    ended = Delegation.objects.exclude(revoked_at=None).get().application_id
    chosen = f"effect=allow&integration={cast.github.pk}&target=name:create_issue"
    return {
        "home": "/",
        "applications": "/applications/",
        "application": application,
        "application-stop": f"{application}stop/",
        "application-ended": f"/applications/{ended}/",
        "rules": "/rules/",
        "rule-add": "/rules/add/",
        "rule-add-filled": f"/rules/add/?{chosen}&argument=repo&comparison=equals&value=acme/backend",
        "rule-change": f"/rules/{rule.pk}/",
        "rule-delete": f"/rules/{rule.pk}/delete/",
        "activity": "/activity/",
        "own-activity": "/activity/mine/",
        "activity-none": "/activity/?outcome=ok&session=none",
        "activity-refused": "/activity/?period=nonsense",
        "call": f"/activity/{denied.pk}/",
        "connections": "/connections/",
        "styleguide": "/styleguide/",
        "not-found": "/nothing/",
        "consent": OAuth(Client()).get_authorize_url(cast.pr_bot, prompt="consent", scope="mcp:invoke offline_access"),
        "consent-refused": "/oauth2/authorize?client_id=unknown",
    }


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_every_page_is_sound_on_every_screen(cast: Cast, open_browser: OpenBrowser, width: int, scheme: str) -> None:
    page = open_browser(cast.alice, width=width, color_scheme=scheme)
    problems = {}
    for name, address in get_pages(cast).items():
        page.goto(address)
        look(page, f"{name}-{width}-{scheme}")
        problems[name] = find_problems(page)
    assert {name: found for name, found in problems.items() if found} == {}


@pytest.mark.parametrize(("width", "scheme"), [SCREENS[0], SCREENS[3]])
def test_pages_of_strangers_newcomers_and_administrators_are_sound(
    cast: Cast, open_browser: OpenBrowser, width: int, scheme: str
) -> None:
    problems = {}
    for person in (cast.bob, cast.carol):
        page = open_browser(person, width=width, color_scheme=scheme)
        for address in ("/", "/applications/", "/rules/", "/activity/"):
            page.goto(address)
            name = f"{person.get_short_name()}{address.replace('/', '-')}{width}-{scheme}"
            look(page, name)
            problems[name] = find_problems(page)
    Membership.objects.create(organization=cast.acme, user=cast.mallory)
    for name, visitor, address in (("sign-in", None, "/signin/"), ("choose", cast.mallory, "/")):
        page = open_browser(visitor, width=width, color_scheme=scheme)
        page.goto(address)
        look(page, f"{name}-{width}-{scheme}")
        problems[name] = find_problems(page)
    assert {name: found for name, found in problems.items() if found} == {}


def test_choosing_an_effect_by_keyboard_changes_the_line_and_keeps_the_focus(
    cast: Cast, open_browser: OpenBrowser
) -> None:
    page = open_browser(cast.alice)
    page.goto(f"/applications/{cast.pr_bot.pk}/")
    page.evaluate("window.stayed = true")
    line = page.locator(f"#capability-{cast.create_issue.pk}")
    line.get_by_role("button", name="Never").focus()
    page.keyboard.press("Enter")

    expect(line.get_by_role("button", name="Never")).to_have_attribute("aria-pressed", "true")
    expect(line.get_by_text("Denied by the user layer")).to_be_visible()
    expect(line.get_by_role("button", name="Never")).to_be_focused()
    expect(page.get_by_role("status")).to_contain_text("github:create_issue: Denied by the user layer")
    assert page.evaluate("window.stayed") is True
    rule = Rule.objects.get(user=cast.alice, capability="create_issue")
    assert (rule.effect, rule.application) == ("deny", cast.pr_bot)


def test_choosing_after_the_session_has_ended_leads_to_sign_in(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice)
    page.goto(f"/applications/{cast.pr_bot.pk}/")
    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
    page.locator(f"#capability-{cast.create_issue.pk}").get_by_role("button", name="Never").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.url.endswith(f"/signin/?next=/applications/{cast.pr_bot.pk}/")
    assert not Rule.objects.filter(capability="create_issue").exists()


def test_choosing_what_is_refused_says_so_on_the_page(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice)
    page.goto(f"/applications/{cast.pr_bot.pk}/")
    Capability.objects.filter(pk=cast.create_issue.pk).update(status=Capability.Status.HELD)
    page.locator(f"#capability-{cast.create_issue.pk}").get_by_role("button", name="Never").click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile("nothing was changed.*Request ID: [0-9a-f-]{36}"))
    assert find_problems(page) == []


def test_writing_a_rule_offers_what_fits_and_previews_it(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice)
    page.goto("/rules/")
    page.get_by_role("link", name="Add a rule").click()
    page.get_by_label("Allow", exact=True).check()
    page.get_by_label("Application").select_option(label="PR-Bot")
    page.get_by_label("Integration").select_option(label="Github")
    page.get_by_label("Capability").select_option(label="create_issue")
    page.get_by_label("Only where").select_option(label="repo")
    page.get_by_label("Comparison").select_option(label="is")
    page.get_by_label("Value").fill("acme/backend")
    page.get_by_label("Value").press("Tab")

    preview = page.get_by_role("region", name="What it would do")
    expect(preview).to_contain_text("Alice Adams lets PR-Bot use github:create_issue where repo is acme/backend.")
    expect(preview).to_contain_text("Denied by the application layer")
    expect(page.locator("#id_limit_count")).to_be_focused()
    page.get_by_role("button", name="Add the rule").click()
    expect(page.get_by_text("Saved. It holds from the next call on.")).to_be_visible()
    assert Rule.objects.get(capability="create_issue").conditions == {**FRONTEND, "value": "acme/backend"}


def test_refused_form_takes_the_focus_to_what_is_wrong(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice)
    page.goto("/rules/add/")
    page.get_by_role("button", name="Add the rule").click()
    expect(page.get_by_role("alert")).to_be_focused()
    assert find_problems(page) == []


def test_pausing_resuming_and_stopping_can_be_seen_to_have_worked(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice)
    page.goto("/applications/")
    page.get_by_role("button", name="Pause PR-Bot").click()
    expect(page.get_by_role("button", name="Resume PR-Bot")).to_be_visible()
    page.get_by_role("link", name="PR-Bot", exact=True).click()
    expect(page.get_by_text("You paused PR-Bot.")).to_be_visible()
    look(page, "application-paused")
    assert find_problems(page) == []
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("PR-Bot may act for you again.")).to_be_visible()
    page.get_by_role("link", name="Stop acting for me").click()
    expect(page.get_by_text("PR-Bot can no longer use Github for you.")).to_be_visible()
    page.get_by_role("button", name="Stop PR-Bot: it loses Github").click()
    expect(page.get_by_text("PR-Bot no longer acts for you.")).to_be_visible()
    expect(page.get_by_text(re.compile("stopped"))).to_have_count(2)
    assert not Delegation.objects.usable().filter(application=cast.pr_bot).exists()


def test_everything_can_be_done_without_javascript(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice, java_script_enabled=False)
    page.goto(f"/applications/{cast.pr_bot.pk}/")
    page.locator(f"#capability-{cast.create_issue.pk}").get_by_role("button", name="Ask").click()
    assert Rule.objects.get(user=cast.alice, capability="create_issue").effect == "ask"
    page.goto("/rules/add/")
    page.get_by_label("Never", exact=True).check()
    page.get_by_label("Integration").select_option(label="Github")
    page.get_by_role("button", name="Show what fits my choices").click()
    page.get_by_label("Capability").select_option(label="list_issues")
    page.get_by_role("button", name="Add the rule").click()
    assert Rule.objects.get(user=cast.alice, capability="list_issues").effect == "deny"


def test_menu_on_a_small_screen_leads_everywhere_and_closes_by_escape(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice, width=360)
    page.goto("/activity/")
    menu = page.get_by_label("Menu: Alice Adams in Acme Corp")
    menu.click()
    look(page, "menu-360")
    expect(page.get_by_role("link", name="My rules")).to_be_visible()
    assert find_problems(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="My rules")).to_be_hidden()
    expect(menu).to_be_focused()


BROKEN = """
<main id="content"><h1>One</h1><h3>Skipped</h3><button></button><input id="twice"><p id="twice">x</p>
<ul><p>no item</p></ul><p class="pale">pale</p><a href="/" aria-describedby="nowhere">link</a></main>
"""


def test_find_problems_finds_what_is_wrong(chromium: Browser) -> None:
    page = chromium.new_page()
    page.set_content(f"<title>Kontext</title><style>.pale {{ color: #aaa }}</style>{BROKEN}")
    found = "\n".join(find_problems(page))
    for problem in (
        *("no language", "skips from 1 to 3", "has no name", "two elements are twice", "has no label"),
        *("not an item of its list", "contrast of 2.", "leads nowhere", "a target is"),
    ):
        assert problem in found
    page.close()


def test_choosing_a_starting_set_shows_its_rules_first(cast: Cast, open_browser: OpenBrowser) -> None:
    page = open_browser(cast.alice)
    Rule.objects.filter(layer="user").delete()
    page.goto("/")
    page.get_by_role("link", name="Choose for PR-Bot").click()
    page.get_by_role("link", name="Ask before writing").click()
    expect(page.get_by_text("Alice Adams is asked before PR-Bot writes in any integration")).to_be_visible()
    assert find_problems(page) == []
    assert not Rule.objects.filter(layer="user").exists()
    page.get_by_role("button", name="Ask before writing").click()
    expect(page.get_by_text("“Ask before writing” holds from its next call on.")).to_be_visible()
    assert Rule.objects.filter(layer="user").count() == 3
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("Those rules are gone.")).to_be_visible()
    assert not Rule.objects.filter(layer="user").exists()
    assert find_problems(page) == []
