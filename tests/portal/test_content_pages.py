"""The pages that show what was kept of a call, in a real browser: the person's, and an administrator's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from orgs.models import Membership
from orgs.services.create_organization import update_organization
from tests.factories import Cast, make_call, make_cast
from tests.portal.accessibility import find_problems
from tests.portal.test_pages import SCREENS, look

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CONTENT: dict[str, Any] = {
    "arguments": {
        "repo": "acme/frontend",
        "title": "The build is red " * 20,
        "token": "[redacted]",
        "labels": ["bug", "\u202eurgent"],
    }
}


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_person_reads_what_was_sent_when_they_ask(
    cast: Cast, open_browser: Callable[..., Page], width: int, scheme: str
) -> None:
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content=CONTENT, arguments_digest="ab" * 32)
    page = open_browser(cast.alice, width=width, color_scheme=scheme)
    page.goto(f"/activity/{event.pk}/")
    look(page, f"content-asked-{width}-{scheme}")
    assert find_problems(page) == []

    page.get_by_role("button", name="Show it").press("Enter")

    expect(page.get_by_text("\\u202eurgent")).to_be_visible()
    look(page, f"content-{width}-{scheme}")
    assert find_problems(page) == []


@pytest.mark.parametrize(("width", "scheme"), [SCREENS[0], SCREENS[3]])
def test_owner_chooses_reads_and_erases(cast: Cast, open_browser: Callable[..., Page], width: int, scheme: str) -> None:
    Membership.objects.filter(user=cast.carol).update(role="owner")
    update_organization(organization=cast.acme, capture_level="full", redacted_paths=["customer.iban"])
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content=CONTENT)
    membership = Membership.objects.get(organization=cast.acme, user=cast.alice)
    page = open_browser(cast.carol, width=width, color_scheme=scheme)
    for name, address in {
        "organization": f"/admin/orgs/organization/{cast.acme.pk}/change/",
        "event": f"/admin/audit/auditevent/{event.pk}/change/",
        "ask": f"/admin/audit/auditevent/{event.pk}/show-content/",
        "erase": f"/admin/orgs/membership/{membership.pk}/erase-content/",
    }.items():
        page.goto(address)
        look(page, f"admin-content-{name}-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{address} runs over the edge"
    page.goto(f"/admin/audit/auditevent/{event.pk}/show-content/")
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_text("\\u202eurgent")).to_be_visible()
    look(page, f"admin-content-shown-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"/admin/orgs/membership/{membership.pk}/erase-content/")
    page.get_by_role("button", name="Erase it for good").click()
    expect(page.get_by_text("Nobody can read it any more")).to_be_visible()
