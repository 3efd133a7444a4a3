"""docs/api.md is what people copy from: its scripts run here, as they stand, against a live server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page
from pytest_django import Settings

from connections.models import Integration
from orgs.models import Application
from policy.models import Rule
from tests.api.conftest import issue_token
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_application, make_cast
from tests.portal.conftest import chromium, open_browser

__all__ = ["chromium", "open_browser"]  # fixtures of another folder, used here, too
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"


def save_script(name: str, folder: Path) -> Path:
    found = re.search(rf"<!-- {re.escape(name)} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, f"docs/api.md has no script {name}"
    path = folder / f"example_{name}"
    path.write_text(found[1])
    return path


@pytest.fixture
def server(live_server: Any, settings: Settings) -> str:
    """A server that knows its own address, as an installation does."""
    url: str = live_server.url
    settings.PUBLIC_URL = url
    settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, "OIDC_ISS_ENDPOINT": url}
    return url


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.mark.django_db(transaction=True)
def test_token_script_gets_a_token_that_the_api_takes(server: str, cast: Cast, tmp_path: Path) -> None:
    script = make_application(cast.acme, "Set-up script", owner=cast.carol)
    process = subprocess.Popen(
        [sys.executable, str(save_script("token.py", tmp_path))],
        env={**os.environ, "KONTEXT_URL": server, "KONTEXT_CLIENT_ID": script.client_id},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().removeprefix("Open ").strip()
        _allow(url, server, cast)
        token, complaints = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, complaints
    answer = httpx2.get(f"{server}/api/v1/me", headers={"Authorization": f"Bearer {token.strip()}"})
    assert answer.json()["me"]["user"]["name"] == "Carol Clark"
    refused = httpx2.get(f"{server}/oauth2/userinfo", headers={"Authorization": f"Bearer {token.strip()}"})
    assert refused.status_code == 401


@pytest.mark.django_db(transaction=True)
def test_setup_script_registers_adds_allows_and_writes_rules(
    server: str, cast: Cast, github: GitHub, tmp_path: Path
) -> None:
    token = issue_token(make_application(cast.acme, "Set-up script"), cast.carol)
    done = subprocess.run(
        [sys.executable, str(save_script("setup.py", tmp_path)), github.url],
        env={**os.environ, "KONTEXT_URL": server, "KONTEXT_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "PR-Bot may use github-demo:create_issue where repo is acme/frontend" in done.stdout
    application = Application.objects.filter(name="PR-Bot").latest("created")
    integration = Integration.objects.get(slug="github-demo")
    assert (integration.organization, integration.status) == (cast.acme, "active")
    assert application.application_integrations.get().integration == integration
    assert {rule.layer for rule in Rule.objects.filter(organization=cast.acme)} == {"org", "application"}
    assert token not in done.stdout + done.stderr


@pytest.mark.django_db(transaction=True)
def test_setup_script_with_a_bad_token_says_what_is_wrong(server: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(save_script("setup.py", tmp_path)), "https://github.test/mcp"],
        env={**os.environ, "KONTEXT_URL": server, "KONTEXT_TOKEN": "invented"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "kontext_authorization_required" in done.stderr
    assert "Traceback" not in done.stderr


def test_reference_is_shown_without_complaints(cast: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser()
    page.goto("/api/v1/docs")
    page.get_by_text("Register an application").first.wait_for(timeout=30_000)
    page.get_by_text("Write a rule").first.click()
    page.get_by_text("The request is malformed").first.wait_for(timeout=30_000)


def test_page_names_every_path_and_code() -> None:
    text = PAGE.read_text()
    codes = set(re.findall(r'code = "(kontext_\w+)"', (ROOT / "orgs" / "api" / "errors.py").read_text()))
    assert codes <= set(re.findall(r"kontext_\w+", text))


def _allow(url: str, server: str, cast: Cast) -> None:
    """Open the authorization page as Carol, allow, and follow the redirect back to the script."""
    session = Client()
    session.force_login(cast.carol, backend="django.contrib.auth.backends.ModelBackend")
    cookies = {settings.SESSION_COOKIE_NAME: session.cookies[settings.SESSION_COOKIE_NAME].value}
    with httpx2.Client(cookies=cookies) as browser:
        page = browser.get(url)
        assert page.status_code == 200, page.text
        secret = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert secret is not None
        form = {"csrfmiddlewaretoken": secret[1], "decision": "allow"}
        answer = browser.post(url, data=form, headers={"Origin": server, "Referer": url})
        assert answer.status_code == 302, answer.text
        assert browser.get(answer.headers["Location"]).status_code == 200
