"""The first administrator's page in a real browser: the one form that nobody could be helped with from inside."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from orgs.models import User
from orgs.services.create_first_administrator import issue_setup_token

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_set_up_makes_the_first_administrator_and_leads_to_the_admin(open_browser: Callable[..., Page]) -> None:
    page = open_browser()
    page.goto(f"/setup/{issue_setup_token()}/")
    page.get_by_label("Organization").fill("Acme Corp")
    page.get_by_label("Short name").fill("acme")
    page.get_by_label("Your name").fill("Carol Reyes")
    page.get_by_label("Your e-mail address").fill("carol@acme.test")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Create and sign in").click()
    expect(page).to_have_url(re.compile(r"/admin/$"))
    assert User.objects.get().is_superuser
