"""The same story once in Chromium: sign-in, consent, connect and revoke as a person sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from mcp import MCPError
from playwright.async_api import Page, Route, async_playwright, expect

from connections.models import Connection
from kontext.demo.agent import Agent, Registration
from kontext.demo.people import ALICE
from orgs.models import Delegation
from tests.e2e.live import Installation
from tests.e2e.scenes import CONNECTION_REQUIRED, FRONTEND, closing_connections, find_errors, forget
from tests.portal.conftest import ARGUMENTS, CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: install the package chromium"),
]


@asynccontextmanager
async def open_page(live: Installation) -> AsyncIterator[Page]:
    """A page of a fresh browser; fails the test for what the console complains about on pages of Kontext's."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = await browser.new_context(reduced_motion="reduce")
        # The provider's pages ask a content network for their style.
        await context.route("**/*", _stay_on_this_machine)
        page = await context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said, live) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        await browser.close()
    assert complaints == []


async def _stay_on_this_machine(route: Route) -> None:
    is_local = urlsplit(route.request.url).hostname == "127.0.0.1"
    await (route.continue_() if is_local else route.abort())


def _is_complaint(said: Any, live: Installation) -> bool:
    return bool(said.type == "error" and said.location["url"].startswith(live.public_url))


async def sign_in(page: Page, live: Installation) -> None:
    await page.goto(f"{live.public_url}/signin/")
    await page.get_by_label("E-mail").fill(ALICE.email)
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name=ALICE.subject, exact=True).click()
    await expect(page).to_have_url(f"{live.public_url}/")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()


async def connect(page: Page, live: Installation, link: str) -> None:
    await page.goto(link)
    await expect(page.get_by_role("heading", level=1)).to_contain_text("GitHub")
    await page.get_by_role("button", name="Continue to GitHub").click()
    await page.get_by_label(ALICE.github).check()
    await page.get_by_role("button", name="Authorize").click()
    await expect(page).to_have_url(f"{live.public_url}/connections/")
    await expect(page.get_by_role("main")).to_contain_text(ALICE.github)


async def stop(page: Page, live: Installation) -> None:
    await page.goto(f"{live.public_url}/applications/")
    await page.get_by_role("link", name="PR-Bot").first.click()
    await page.get_by_role("link", name="Stop acting for me").click()
    await page.get_by_role("button", name="Stop PR-Bot").click()
    await expect(page.get_by_role("main")).to_contain_text("PR-Bot")


@closing_connections
async def test_person_signs_in_consents_connects_and_revokes(live: Installation) -> None:
    forget(live, ALICE, "acme")
    application, user = live.world["acme"]["application"], live.world["acme"]["people"]["alice"]["id"]
    url = live.world["acme"]["github"]["resource"]
    answers = ["Allow", "Refuse"]
    async with open_page(live) as page:

        async def answer(address: str) -> None:
            await page.goto(address)
            await expect(page.get_by_role("heading", level=1)).to_have_text("Let PR-Bot act for you?")
            await page.get_by_role("button", name=answers.pop(0)).click()
            await page.wait_for_url("**/callback?**")

        agent = Agent(Registration(application["name"], application["client_id"]), answer)
        await agent.start()
        try:
            await sign_in(page, live)
            link = await _open_unconnected(agent, url)
            await connect(page, live, link)
            await _call_until_stopped(page, live, agent, url)
        finally:
            await agent.stop()

    assert answers == []
    assert Connection.objects.get(user=user).account == ALICE.github
    assert not Delegation.objects.usable().filter(user=user).exists()


async def _open_unconnected(agent: Agent, url: str) -> str:
    with pytest.raises((MCPError, ExceptionGroup)) as refused:
        async with agent.session(url):
            pass
    error = next(find_errors(refused.value))
    assert error.code == CONNECTION_REQUIRED
    return str(error.data["elicitations"][0]["url"])


async def _call_until_stopped(page: Page, live: Installation, agent: Agent, url: str) -> None:
    """Call, see the call in the portal, stop the application there, and call again until that is refused."""
    with pytest.raises((PermissionError, ExceptionGroup)):
        await _call(page, live, agent, url)


async def _call(page: Page, live: Installation, agent: Agent, url: str) -> None:
    async with agent.session(url) as client:
        result = await client.call_tool("create_issue", FRONTEND)
        assert not result.is_error
        await page.goto(f"{live.public_url}/activity/")
        await expect(page.get_by_role("main")).to_contain_text("create_issue")
        await stop(page, live)
        for _ in range(20):
            await page.wait_for_timeout(250)
            await client.call_tool("create_issue", FRONTEND)
