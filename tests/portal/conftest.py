"""A real browser on the portal, and people who are signed in without their identity provider."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from orgs.models import User
from tests.factories import Cast, make_cast

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def sign_in() -> Callable[[User], Client]:
    """Return a client with a session of this person."""

    def signed_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return signed_in


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one file: as long as Playwright runs, asynchronous tests of other files can't."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH: install the package chromium to run the browser tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_browser(chromium: Browser, live_server: Any) -> Iterator[Callable[..., Page]]:
    """Open a browser for a person (or a stranger) and fail the test for anything its console complains about."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(user: User | None = None, *, width: int = 1280, **options: Any) -> Page:
        context = chromium.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 800}, reduced_motion="reduce", **options
        )
        contexts.append(context)
        if user is not None:
            client = Client()
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            cookie = client.cookies[settings.SESSION_COOKIE_NAME]
            context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()
    # An answer of 4xx is what some tests are about, and htmx tells of each request that a newer one replaced. A blocked
    # script or style never is right.
    expected = ("Failed to load resource", "Response Status Error", "htmx:sendAbort", "htmx:afterRequest")
    assert [text for text in complaints if not text.startswith(expected)] == []
