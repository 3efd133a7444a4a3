"""The admin in a real browser: nothing is blocked or broken, nothing runs over the edge, and it can be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from audit.models import Tree
from audit.services.record import record_event
from audit.services.seal import seal_events
from audit.types import EventType
from orgs.models import Application
from orgs.services.checkpoint_keys import sign_checkpoint
from orgs.services.set_alert_settings import set_alert_settings
from policy.models import Rule
from tests.admin.test_alerts import raise_alert
from tests.factories import Cast, make_cast, make_connection, make_rule
from tests.portal.conftest import chromium, open_browser

__all__ = ["chromium", "open_browser"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_and_complain_about_nothing(
    cast: Cast, open_browser: Callable[..., Page], width: int, theme: str
) -> None:
    rule = make_rule(cast.acme, "org", "allow", integration=cast.github)
    make_connection(cast.github, cast.alice, account="alice-acme")
    event = record_event(type=EventType.SIGNED_IN, organization_id=cast.acme.pk, details={"provider": "Acme"})
    seal_events(sign=sign_checkpoint)
    tree = Tree.objects.get(organization_id=cast.acme.pk)
    alert = raise_alert(cast)
    set_alert_settings(organization=cast.acme)
    page = open_browser(cast.carol, width=width, color_scheme=theme)
    for address in (
        "/admin/",
        "/admin/orgs/user/",
        f"/admin/orgs/user/{cast.alice.pk}/suspend/",
        f"/admin/orgs/application/{cast.pr_bot.pk}/change/",
        f"/admin/connections/integration/{cast.github.pk}/change/",
        f"/admin/connections/integration/{cast.github.pk}/enter-client/",
        "/admin/connections/integration/add/?q=a",
        "/admin/connections/integration/add/?entry=datadog",
        "/admin/policy/rule/",
        f"/admin/policy/rule/{rule.pk}/change/",
        f"/admin/policy/rule/simulate/?application={cast.pr_bot.pk}&user={cast.alice.pk}",
        f"/admin/policy/rule/matrix/?application={cast.pr_bot.pk}",
        "/admin/audit/auditevent/",
        f"/admin/audit/auditevent/{event.pk}/change/",
        "/admin/audit/tree/",
        f"/admin/audit/tree/{tree.pk}/change/",
        "/admin/orgs/alert/",
        f"/admin/orgs/alert/{alert.pk}/change/",
        "/admin/orgs/alertsettings/",
        "/admin/orgs/noticeplace/add/",
    ):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{address} runs over the edge"


def test_suspend_asks_names_what_stops_and_shows_that_it_worked(cast: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(cast.carol)
    page.goto(f"/admin/orgs/application/{cast.pr_bot.pk}/change/")
    page.get_by_role("link", name="Suspend").click()
    expect(page.get_by_text("PR-Bot stops at once for everyone")).to_be_visible()
    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_text("Suspended: its tokens have ended.")).to_be_visible()
    expect(page.get_by_text("Suspended: calls fail")).to_be_visible()
    assert Application.objects.get(pk=cast.pr_bot.pk).status == "suspended"


def test_secret_is_shown_once_with_a_button_that_copies_it(cast: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(cast.carol)
    page.goto("/admin/orgs/application/add/")
    page.get_by_label("Name").fill("Deployer")
    page.get_by_label("Redirect URIs").fill("https://deployer.test/callback")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="Client secret of Deployer")).to_be_visible()
    expect(page.get_by_role("button", name="Copy Client secret")).to_be_visible()
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("button", name="Copy Client secret")).to_have_count(0)


def test_rule_is_written_with_the_condition_fields_and_reads_as_a_sentence(
    cast: Cast, open_browser: Callable[..., Page]
) -> None:
    page = open_browser(cast.carol)
    page.goto("/admin/policy/rule/add/")
    page.get_by_label("Layer").select_option("org")
    page.get_by_label("Effect").select_option("deny")
    page.get_by_label("Capability").fill("delete_*")
    page.get_by_label("Argument").fill("repo")
    page.get_by_label("Comparison").select_option("starts_with")
    page.get_by_label("Value").fill("acme/")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(
        page.get_by_role("link", name="Nobody may use delete_* in any integration where repo starts with acme/")
    ).to_be_visible()
    assert Rule.objects.get().created_by_id == cast.carol.pk


# Before it is on: the simulation and the matrix


@pytest.fixture
def story(cast: Cast) -> Cast:
    """Engineering may use GitHub, Alice lets issues be made but nothing be deleted, PR-Bot is for one repository."""
    make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github)
    make_rule(cast.acme, "user", "allow", user=cast.alice, capability="create_issue")
    make_rule(cast.acme, "user", "deny", user=cast.alice, capability="delete_repo", reason="Deleting is for people")
    only = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, integration=cast.github, conditions=only)
    return cast


def test_simulation_explains_a_call_that_is_not_made(story: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(story.carol)
    page.goto("/admin/policy/rule/simulate/")
    page.get_by_label("Application").select_option(label="PR-Bot")
    page.get_by_label("For").select_option(label="Alice Adams")
    page.get_by_label("Capability").select_option(label="github:create_issue")
    page.get_by_label("Arguments").fill('{"repo": "acme/backend"}')
    page.get_by_role("button", name="Ask the rules").click()
    expect(page.get_by_text("Denied by the application layer")).to_be_visible()
    expect(page.get_by_text("The owner of PR-Bot or an administrator could add the rule")).to_be_visible()
    page.get_by_label("Arguments").fill('{"repo": "acme/frontend"}')
    page.get_by_role("button", name="Ask the rules").click()
    expect(page.get_by_text("Allowed by every layer")).to_be_visible()
    page.get_by_label("Arguments").fill("{repo")
    page.get_by_role("button", name="Ask the rules").click()
    expect(page.get_by_text("This is no JSON")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 360])
def test_matrix_leads_from_a_cell_to_its_explanation(
    story: Cast, open_browser: Callable[..., Page], width: int
) -> None:
    page = open_browser(story.carol, width=width, color_scheme="dark" if width < 500 else "light")
    page.goto("/admin/policy/rule/matrix/")
    expect(page.get_by_text("Choose an application to see")).to_be_visible()
    page.get_by_label("Application").select_option(label="PR-Bot")
    page.get_by_role("button", name="Show who may").click()
    table = page.get_by_role("table")
    expect(table.get_by_role("columnheader", name="Alice Adams")).to_be_visible()
    row = table.get_by_role("row", name="github:create_issue")
    expect(row.get_by_role("button", name="depends on the arguments")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table.get_by_role("row", name="github:delete_repo").get_by_role("button", name="denied").nth(1).click()
    expect(page.get_by_role("heading", name="PR-Bot uses github:delete_repo for Alice Adams")).to_be_visible()
    expect(page.get_by_text("Denied by the user layer")).to_be_visible()
    expect(page.get_by_text("Deleting is for people").first).to_be_visible()


def test_matrix_is_used_with_the_keyboard(story: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(story.carol)
    page.goto(f"/admin/policy/rule/matrix/?application={story.pr_bot.pk}")
    cells = page.locator(".k-matrix td button")
    cells.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(cells.nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(cells.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="PR-Bot uses github:create_issue for Alice Adams")).to_be_visible()


def test_matrix_with_everything_chosen_is_the_simulation(story: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(story.carol)
    page.goto(
        f"/admin/policy/rule/matrix/?application={story.pr_bot.pk}&user=nobody&capability={story.create_issue.pk}"
    )
    expect(page.get_by_role("heading", name="PR-Bot uses github:create_issue for Nobody")).to_be_visible()


def test_rule_form_offers_comparisons_that_fit_the_argument(cast: Cast, open_browser: Callable[..., Page]) -> None:
    properties = {"repo": {"type": "string"}, "draft": {"type": "boolean"}}
    cast.create_issue.input_schema = {"type": "object", "properties": properties}
    cast.create_issue.save()
    page = open_browser(cast.carol)
    page.goto("/admin/policy/rule/add/")
    page.get_by_label("Capability").fill("create_issue")
    page.get_by_label("Argument").fill("draft")
    page.get_by_label("Comparison").focus()
    expect(page.locator("select[name=operator] option:not([hidden])")).to_have_text(["No condition", "is", "is given"])
    expect(page.locator("#argument-suggestions option")).to_have_count(2)
