"""The admin in a real browser: nothing is blocked or broken, nothing runs over the edge, and it can be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from orgs.models import Application
from policy.models import Rule
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
    page = open_browser(cast.carol, width=width, color_scheme=theme)
    for address in (
        "/admin/",
        "/admin/orgs/user/",
        f"/admin/orgs/user/{cast.alice.pk}/suspend/",
        f"/admin/orgs/application/{cast.pr_bot.pk}/change/",
        f"/admin/connections/integration/{cast.github.pk}/change/",
        f"/admin/connections/integration/{cast.github.pk}/enter-client/",
        "/admin/policy/rule/",
        f"/admin/policy/rule/{rule.pk}/change/",
        f"/admin/policy/rule/simulate/?application={cast.pr_bot.pk}&user={cast.alice.pk}",
        "/admin/audit/auditevent/",
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
