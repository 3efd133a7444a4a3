"""The official MCP client finds its way from a bare resource URL to a token, knowing nothing of us."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from django.db import connections
from django.test import Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from kontext.demo.agent import Wallet
from orgs.models import Application, IssuedToken, Organization
from orgs.oauth.tokens import get_checksum
from tests.factories import Cast, make_cast
from tests.orgs.oauth.conftest import REDIRECT_URI


class ResourceServer(ThreadingHTTPServer):
    """Any protected resource: RFC 9728 metadata, a challenge, and JWTs verified by the issuer's published keys."""

    issuer = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ResourceServer

    def do_GET(self) -> None:
        resource = f"{self.server.url}/mcp/github"
        if self.path == "/.well-known/oauth-protected-resource/mcp/github":
            self._answer(
                200,
                {
                    "resource": resource,
                    "authorization_servers": [self.server.issuer],
                    "scopes_supported": ["mcp:invoke"],
                },
            )
        elif self._is_authorized(resource):
            self._answer(200, {"ok": True})
        else:
            metadata = f"{self.server.url}/.well-known/oauth-protected-resource/mcp/github"
            self._answer(401, {}, f'Bearer resource_metadata="{metadata}", scope="mcp:invoke"')

    def _is_authorized(self, resource: str) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        keys = KeySet.import_key_set(httpx2.get(f"{self.server.issuer}/.well-known/jwks.json").json())
        try:
            return bool(jwt.decode(token, keys, algorithms=["ES256"]).claims["aud"] == resource)
        except (JoseError, ValueError):
            return False

    def _answer(self, status: int, document: dict[str, Any], challenge: str = "") -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        return None


@pytest.fixture
def resource_server() -> Iterator[ResourceServer]:
    server = ResourceServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cast(live_server: Any, resource_server: ResourceServer, settings: Any) -> Cast:
    settings.PUBLIC_URL = resource_server.issuer = live_server.url
    settings.GATEWAY_URL = resource_server.url
    cast = make_cast()
    Organization.objects.update(client_registration="open")
    return cast


def consent(browser: Client, address: str) -> dict[str, list[str]]:
    path = address[address.index("/oauth2/") :]
    try:
        page = browser.get(path)
        answer = page if page.status_code == 302 else browser.post(path, {"decision": "allow"})
        assert answer.status_code == 302, answer.content
        return parse_qs(urlsplit(answer["Location"]).query)
    finally:
        connections.close_all()


def call(url: str, wallet: Wallet, browser: Client, *, expire: bool = False) -> httpx2.Response:
    """Request a protected resource (twice, with an expired token, if so asked); a person consents in `browser`."""
    answers: list[dict[str, list[str]]] = []

    async def open_browser(address: str) -> None:
        # In a thread: Django would give the event loop a database connection of its own and never close it.
        answers.append(await asyncio.to_thread(consent, browser, address))

    async def wait_for_callback() -> AuthorizationCodeResult:
        answer = {name: values[0] for name, values in answers.pop().items()}
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    metadata = OAuthClientMetadata.model_validate({"client_name": "Stranger", "redirect_uris": [REDIRECT_URI]})
    provider = OAuthClientProvider(url, metadata, wallet, open_browser, wait_for_callback)

    async def request() -> httpx2.Response:
        async with httpx2.AsyncClient(auth=provider) as client:
            response = await client.get(url)
            if expire:
                await asyncio.to_thread(browser.logout)  # consent can't be given again
                await asyncio.to_thread(connections.close_all)
                provider.context.token_expiry_time = 1.0
                response = await client.get(url)
            return response

    return asyncio.run(request())


def test_client_registers_itself_and_gets_a_token_for_the_resource(
    cast: Cast, resource_server: ResourceServer, client: Client
) -> None:
    client.force_login(cast.alice)
    wallet = Wallet()

    response = call(f"{resource_server.url}/mcp/github", wallet, client)

    assert response.json() == {"ok": True}
    application = Application.objects.get(name="Stranger")
    assert (application.organization, application.owner, application.status) == (cast.acme, cast.alice, "active")
    assert wallet.tokens is not None
    assert wallet.tokens.refresh_token


def test_client_refreshes_when_its_token_has_ended(cast: Cast, resource_server: ResourceServer, client: Client) -> None:
    client.force_login(cast.alice)
    wallet = Wallet()

    response = call(f"{resource_server.url}/mcp/github", wallet, client, expire=True)

    assert response.json() == {"ok": True}
    issued = IssuedToken.objects.order_by("issued_at", "jti")
    assert [token.revoked_at is None for token in issued] == [False, True]
    assert wallet.tokens is not None
    assert get_checksum(wallet.tokens.access_token) == issued[1].token_checksum
