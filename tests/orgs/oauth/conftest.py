"""A client of the authorization server that knows only HTTP, and the cast with PR-Bot ready to use it."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import settings
from django.test import Client
from joserfc import jwt
from joserfc.jwk import KeySet

from orgs.models import Application, User
from tests.factories import Cast, make_cast

REDIRECT_URI = "http://127.0.0.1/callback"
GITHUB = f"{settings.GATEWAY_URL}/mcp/github"
Answer = dict[str, Any]


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@dataclass
class Proof:
    """A PKCE verifier and its challenge."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass
class OAuth:
    """Speaks to our endpoints as an application does."""

    browser: Client

    def sign_in(self, user: User) -> None:
        self.browser.force_login(user)

    def get_authorize_url(self, application: Application, proof: Proof | None = None, **changes: Any) -> str:
        proof = proof or Proof()
        parameters = {
            "response_type": "code",
            "client_id": application.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": "mcp:invoke",
            "state": "xyz",
            "resource": GITHUB,
            "code_challenge": proof.challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        given = {name: value for name, value in parameters.items() if value is not None}
        return f"/oauth2/authorize?{urlencode(given, doseq=True)}"

    def authorize(self, application: Application, proof: Proof | None = None, **changes: Any) -> Any:
        """Ask, and consent where a consent page comes. Return the last response."""
        url = self.get_authorize_url(application, proof, **changes)
        response = self.browser.get(url)
        if response.status_code == 200:
            response = self.browser.post(url, {"decision": "allow"})
        return response

    def get_code(self, application: Application, proof: Proof, **changes: Any) -> str:
        return get_parameters(self.authorize(application, proof, **changes))["code"]

    def post_token(self, *, headers: dict[str, str] | None = None, **form: Any) -> tuple[int, Answer]:
        given = {name: value for name, value in form.items() if value is not None}
        response = Client().post("/oauth2/token", given, headers=headers or {})
        return response.status_code, response.json()

    def redeem(self, application: Application, code: str, proof: Proof, **changes: Any) -> tuple[int, Answer]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "client_id": application.client_id,
            "code_verifier": proof.verifier,
            **changes,
        }
        return self.post_token(**form)

    def refresh(self, application: Application, refresh_token: str, **changes: Any) -> tuple[int, Answer]:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": application.client_id}
        return self.post_token(**{**form, **changes})

    def get_tokens(self, application: Application, **changes: Any) -> Answer:
        """Run the whole authorization code flow and return the token response."""
        proof = Proof()
        status, answer = self.redeem(application, self.get_code(application, proof, **changes), proof)
        assert status == 200, answer
        return answer

    def post_as(self, path: str, application: Application, secret: str | None = None, **form: Any) -> Any:
        headers = get_basic(application, secret) if secret else {}
        named = {} if secret else {"client_id": application.client_id}
        return Client().post(path, {**named, **form}, headers=headers)


@pytest.fixture
def oauth(client: Client) -> OAuth:
    return OAuth(client)


def get_parameters(response: Any) -> dict[str, str]:
    """Return what a redirect to the application says."""
    assert response.status_code == 302, response.content
    return {name: values[0] for name, values in parse_qs(urlsplit(response["Location"]).query).items()}


def get_basic(application: Application, secret: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{application.client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def get_claims(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify a JWT as a resource server would, by the published keys alone. Return its header and claims."""
    keys = KeySet.import_key_set(Client().get("/.well-known/jwks.json").json())
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    return dict(decoded.header), dict(decoded.claims)
