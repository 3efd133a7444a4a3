"""Connecting and disconnecting as a person does it, in Chromium, against a demo GitHub of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django import Settings

from connections.models import Connection, Integration
from connections.services.add_integration import add_integration
from connections.services.discover_integration import discover_integration
from tests.e2e.live import start_github
from tests.e2e.peers import GitHub
from tests.e2e.processes import Process
from tests.factories import Cast, allow_integration, make_cast, make_connection, make_integration

OpenBrowser = Callable[..., Page]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    processes: list[Process] = []
    try:
        yield start_github(tmp_path_factory.mktemp("github"), processes)
    finally:
        for process in processes:
            process.stop()


@pytest.fixture
def story(transactional_db: None, live_server: Any, github: GitHub, settings: Settings) -> tuple[Cast, Integration]:
    """The cast, and Acme's GitHub set up so that it sends browsers back to the live server."""
    settings.PUBLIC_URL = live_server.url
    cast = make_cast()
    cast.github.delete()
    made = add_integration(organization=cast.acme, slug="github", name="GitHub", url=github.url)
    allow_integration(cast.pr_bot, made)
    return cast, discover_integration(integration=made)


def look(page: Page, name: str) -> None:
    """Keep a picture for whoever looks (SCREENSHOTS names a folder)."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_connect_and_disconnect_in_a_browser(story: tuple[Cast, Integration], open_browser: OpenBrowser) -> None:
    cast, _ = story
    page = open_browser(cast.alice)
    page.goto("/connections/")
    look(page, "list-empty")
    page.get_by_role("button", name="Connect GitHub").click()
    expect(page.get_by_role("heading", name="Connect GitHub")).to_be_visible()
    look(page, "connect")
    page.get_by_role("button", name="Continue to GitHub").click()
    expect(page.get_by_role("heading", name="Authorize access")).to_be_visible()
    page.get_by_role("button", name="Authorize").click()

    expect(page.get_by_text("GitHub is connected as ")).to_be_visible()
    look(page, "list-connected")
    assert "code=" not in page.url
    connection = Connection.objects.get(user=cast.alice)
    assert connection.status == "active"

    page.get_by_role("link", name="Disconnect GitHub").click()
    look(page, "disconnect")
    page.get_by_role("button", name="Disconnect: 1 application loses GitHub").click()
    expect(page.get_by_text("GitHub is disconnected.")).to_be_visible()
    look(page, "list-disconnected")
    connection.refresh_from_db()
    assert connection.status == "revoked"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")])
def test_pages_fit_every_screen(
    story: tuple[Cast, Integration], open_browser: OpenBrowser, width: int, scheme: str
) -> None:
    cast, integration = story
    make_connection(integration, cast.alice, account="alice-acme", status="reauthorization_required")
    for slug, mode in (("linear", "user_token"), ("warehouse", "server_token"), ("docs", "none"), ("slack", "oauth")):
        made = make_integration(cast.acme, slug, auth_mode=mode)
        if slug == "slack":
            make_connection(made, cast.alice, account="alice@acme.test", expires_at="2026-12-01T00:00:00Z")
    page = open_browser(cast.alice, width=width, color_scheme=scheme)
    page.goto("/connections/")
    look(page, f"list-{width}-{scheme}")
    _assert_fits(page)
    page.get_by_role("button", name="Connect Linear").click()
    look(page, f"key-{width}-{scheme}")
    _assert_fits(page)
    page.get_by_label("Your key for Linear").fill("ä")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("alert")).to_contain_text("printable characters")
    look(page, f"key-refused-{width}-{scheme}")
    _assert_fits(page)
    page.goto("/connections/")
    page.get_by_role("button", name="Reconnect GitHub").click()
    look(page, f"connect-{width}-{scheme}")
    _assert_fits(page)
    page.goto("/oauth/callback?state=unknown&code=secret")
    look(page, f"problem-{width}-{scheme}")
    _assert_fits(page)


def _assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
