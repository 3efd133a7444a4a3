"""A third-party OpenID provider in a process of its own, and a browser that signs in there."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from orgs.models import IdentityProvider, Organization
from orgs.services.set_identity_provider import set_identity_provider
from tests.e2e.processes import Process, free_port, python_module
from tests.factories import make_organization

CLIENT_SECRET = "idp-client-secret-0123456789"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass(frozen=True)
class OpenIDProvider:
    """oidc-provider-mock, reached as a browser would reach it."""

    url: str

    def set_person(self, subject: str, **claims: Any) -> None:
        request = urllib.request.Request(
            f"{self.url}/users/{urllib.parse.quote(subject)}",
            json.dumps(claims).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=10).close()

    def sign_in(self, authorization_url: str, **form: str) -> str:
        """Answer the provider's form and return where it sends the browser."""
        request = urllib.request.Request(authorization_url, urllib.parse.urlencode(form).encode())
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=10) as response:
                raise AssertionError(response.read())
        except urllib.error.HTTPError as redirect:
            with redirect:
                return str(redirect.headers["Location"])


@pytest.fixture(scope="session")
def openid_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIDProvider]:
    port = free_port()
    log: Path = tmp_path_factory.mktemp("oidc") / "provider.log"
    process = Process("oidc-provider-mock", python_module("oidc_provider_mock", "--port", str(port)), log)
    provider = OpenIDProvider(f"http://127.0.0.1:{port}")
    try:
        process.wait_until_answers(f"{provider.url}/.well-known/openid-configuration")
        yield provider
    finally:
        process.stop()


@pytest.fixture
def acme(db: None) -> Organization:
    return make_organization("Acme Corp", slug="acme")


@pytest.fixture
def acme_sso(acme: Organization, openid_provider: OpenIDProvider) -> IdentityProvider:
    return set_identity_provider(
        organization=acme,
        name="Acme SSO",
        issuer=openid_provider.url,
        client_id="kontext",
        client_secret=CLIENT_SECRET,
        email_domains=["acme.test"],
    )


@dataclass
class Browser:
    client: Client
    openid: OpenIDProvider

    def begin(self, provider: IdentityProvider, **query: str) -> Any:
        return self.client.get(f"/sso/{provider.pk}/", query)

    def answer(self, response: Any, subject: str = "alice", **form: str) -> str:
        assert response.status_code == 302, response.content
        return self.openid.sign_in(response["Location"], **({"sub": subject} | form))

    def complete(self, url: str) -> Any:
        return self.client.get(url.removeprefix(settings.PUBLIC_URL))

    def sign_in(self, provider: IdentityProvider, subject: str = "alice", **query: str) -> Any:
        return self.complete(self.answer(self.begin(provider, **query), subject))


@pytest.fixture
def browser(client: Client, openid_provider: OpenIDProvider) -> Browser:
    return Browser(client, openid_provider)
