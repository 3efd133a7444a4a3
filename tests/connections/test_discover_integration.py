"""From a URL to a registered client and a list of tools, against the demo GitHub and a scripted server."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django import Settings

from audit.models import AuditEvent
from connections.models import Connection, ConnectSession, Credential, Integration, OAuthClient, Revocation
from connections.sealing import open_client
from connections.services.add_integration import add_integration
from connections.services.confirm_revocations import confirm_revocation
from connections.services.delete_integration import delete_integration
from connections.services.discover_integration import discover_integration
from connections.services.set_oauth_client import set_oauth_client
from connections.services.update_integration import update_integration
from tests.connections.journey import begin, connect
from tests.e2e.peers import GitHub
from tests.factories import Cast


class Service:
    """An integration and its authorization server, whose metadata a test changes as it likes."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.registrations: list[dict[str, Any]] = []
        self.issuer = ""
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _serve(self, service)

            def do_POST(self) -> None:
                _serve(self, service)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.become(self.url)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def become(self, issuer: str, **metadata: Any) -> None:
        self.issuer = issuer
        self.metadata = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "registration_endpoint": f"{self.url}/register",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            **metadata,
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _serve(handler: BaseHTTPRequestHandler, service: Service) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    if handler.path.startswith("/.well-known/oauth-protected-resource"):
        document: Any = {"resource": f"{service.url}/mcp", "authorization_servers": [service.issuer]}
        _answer(handler, 200, document)
    elif handler.path.startswith("/.well-known/"):
        _answer(handler, 200, service.metadata)
    elif handler.path == "/register":
        service.registrations.append(json.loads(body))
        _answer(handler, 201, {"client_id": f"client-{len(service.registrations)}"})
    else:
        _answer(handler, 401, {})


def _answer(handler: BaseHTTPRequestHandler, status: int, document: Any) -> None:
    content = json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


def add(cast: Cast, url: str, **options: Any) -> Integration:
    return add_integration(organization=cast.acme, slug="code", name="Code", url=url, **options)


def test_discover_finds_registers_and_activates(cast: Cast, github: GitHub) -> None:
    integration = add(cast, github.url)
    assert integration.status == "draft"

    discover_integration(integration=integration)

    assert (integration.status, integration.discovery_error) == ("active", "")
    client = OAuthClient.objects.get(integration=integration)
    assert (client.issuer, client.resource, client.registration) == (github.base_url, github.url, "dynamic")
    assert client.scopes == ["repo"]
    secret = open_client(client).client_secret
    assert secret
    assert secret.encode() not in bytes(client.client_secret)
    event = AuditEvent.objects.get(type="integration.discovered")
    assert event.details["client_id"] == client.client_id
    assert secret not in json.dumps(event.details)


def test_discover_again_keeps_the_registration(cast: Cast, integration: Integration) -> None:
    before = OAuthClient.objects.get(integration=integration)
    discover_integration(integration=integration)
    after = OAuthClient.objects.get(integration=integration)
    assert (after.pk, after.client_id, after.client_secret) == (before.pk, before.client_id, before.client_secret)


def test_discover_after_moving_kontext_registers_anew(cast: Cast, integration: Integration, settings: Settings) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:9999"
    before = OAuthClient.objects.get(integration=integration).client_id
    discover_integration(integration=integration)
    after = OAuthClient.objects.get(integration=integration)
    assert after.client_id != before
    assert after.redirect_uri == "http://127.0.0.1:9999/oauth/callback"


def test_server_that_takes_metadata_documents_gets_one(cast: Cast, service: Service, settings: Settings) -> None:
    service.become(service.url, client_id_metadata_document_supported=True)
    integration = add(cast, f"{service.url}/mcp")
    settings.PUBLIC_URL = "https://kontext.test"
    discover_integration(integration=integration)
    client = OAuthClient.objects.get(integration=integration)
    assert (client.registration, client.client_id) == ("metadata_document", "https://kontext.test/oauth/client.json")
    assert service.registrations == []

    document = Client().get("/oauth/client.json", secure=True).json()
    assert document["client_id"] == client.client_id
    assert document["redirect_uris"] == [client.redirect_uri] == ["https://kontext.test/oauth/callback"]
    assert document["token_endpoint_auth_method"] == "none"


def test_metadata_document_is_no_use_without_https(cast: Cast, service: Service) -> None:
    service.become(service.url, client_id_metadata_document_supported=True)
    integration = discover_integration(integration=add(cast, f"{service.url}/mcp"))
    assert OAuthClient.objects.get(integration=integration).registration == "dynamic"


def test_server_without_registration_waits_for_an_administrator(cast: Cast, service: Service) -> None:
    service.become(service.url, registration_endpoint="")
    integration = discover_integration(integration=add(cast, f"{service.url}/mcp"))
    assert integration.status == "draft"
    assert "enter the client ID" in integration.discovery_error

    set_oauth_client(integration=integration, client_id="given", client_secret="hush-hush")

    assert integration.status == "active"
    client = OAuthClient.objects.get(integration=integration)
    assert (client.client_id, client.registration, client.token_endpoint) == (
        "given",
        "manual",
        f"{service.url}/token",
    )
    assert open_client(client).client_secret == "hush-hush"
    assert "hush" not in json.dumps(list(AuditEvent.objects.values("details")))
    discover_integration(integration=integration)
    assert OAuthClient.objects.get(integration=integration).client_id == "given"


def test_changed_issuer_ends_every_connection_and_gets_nothing(
    cast: Cast, service: Service, integration: Integration, github: GitHub
) -> None:
    """THREATS 12: Kontext was led to another authorization server under the same integration URL."""
    connection = connect(cast.alice, integration)
    secret = open_client(OAuthClient.objects.get(integration=integration)).client_secret
    service.become(f"{service.url}/other")
    Integration.objects.filter(pk=integration.pk).update(url=f"{service.url}/mcp")
    integration.refresh_from_db()

    discover_integration(integration=integration)

    connection.refresh_from_db()
    assert connection.status == "reauthorization_required"
    assert not Credential.objects.filter(connection=connection).exists()
    client = OAuthClient.objects.get(integration=integration)
    assert client.issuer == f"{service.url}/other"
    assert open_client(client).client_secret != secret
    # What the former server issued is revoked there, and nowhere else.
    assert confirm_revocation(revocation=Revocation.objects.get()).status == "revoked"
    assert github.tokens() == {"access": [], "refresh": []}
    event = AuditEvent.objects.get(type="connection.failed")
    assert event.details["former_issuer"] == github.base_url


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://elsewhere.test"},
        {"code_challenge_methods_supported": ["plain"]},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": ""},
        {"token_endpoint_auth_methods_supported": ["tls_client_auth"]},
    ],
)
def test_untrustworthy_metadata_is_refused(cast: Cast, service: Service, metadata: dict[str, Any]) -> None:
    service.metadata |= metadata
    integration = discover_integration(integration=add(cast, f"{service.url}/mcp"))
    assert integration.status == "draft"
    assert integration.discovery_error
    assert not OAuthClient.objects.exists()
    assert service.registrations == []
    assert AuditEvent.objects.get(type="integration.discovered").outcome == "error_remote"


def test_unreachable_integration_says_so_and_stays_as_it_was(cast: Cast, integration: Integration) -> None:
    Integration.objects.filter(pk=integration.pk).update(url="http://127.0.0.1:9/mcp")
    integration.refresh_from_db()
    discover_integration(integration=integration)
    assert integration.status == "active"
    assert "can't be reached" in integration.discovery_error


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("url", {"url": "file:///etc/passwd"}),
        ("url", {"url": "https://user:pass@code.test/mcp"}),
        ("url", {"url": "https://code.test/mcp?key=secret"}),
        ("url", {"url": "/bin/sh -c id"}),
        ("slug", {"slug": "Not a slug"}),
        ("slug", {"slug": "github"}),
        ("key_header", {"key_header": "Host"}),
        ("key_header", {"key_header": "X-Key\r\nX-Other"}),
        ("key_template", {"key_template": "Bearer"}),
        ("auth_mode", {"auth_mode": "telepathy"}),
    ],
)
def test_add_with_bad_input_is_refused_by_field(cast: Cast, field: str, changes: dict[str, Any]) -> None:
    options: dict[str, Any] = {"slug": "code", "name": "Code", "url": "https://code.test/mcp", **changes}
    with pytest.raises(ValidationError) as refused:
        add_integration(organization=cast.acme, **options)
    assert field in refused.value.message_dict or "__all__" in refused.value.message_dict
    assert not AuditEvent.objects.exists()
    assert Integration.objects.filter(organization=cast.acme).count() == 1


@pytest.mark.parametrize("changes", [{"auth_mode": "user_token"}, {"url": "https://elsewhere.test/mcp"}])
def test_update_that_leads_elsewhere_ends_connections(
    cast: Cast, integration: Integration, changes: dict[str, Any]
) -> None:
    connection = connect(cast.alice, integration)
    session = begin(cast.bob, integration)

    update_integration(integration=integration, **changes)

    connection.refresh_from_db()
    assert (connection.status, connection.revocation, integration.status) == ("revoked", "pending", "draft")
    assert not Credential.objects.exists()
    assert not OAuthClient.objects.exists()
    assert not ConnectSession.objects.filter(pk=session.pk).exists()
    event = AuditEvent.objects.get(type="integration.changed")
    assert event.details["connections_ended"] == 1


def test_update_of_the_name_ends_nothing(cast: Cast, integration: Integration) -> None:
    connection = connect(cast.alice, integration)
    update_integration(integration=integration, name="GitHub Enterprise", url=integration.url)
    connection.refresh_from_db()
    assert (connection.status, integration.status, integration.name) == ("active", "active", "GitHub Enterprise")


def test_update_of_the_unchangeable_is_refused(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="can't be changed"):
        update_integration(integration=cast.github, organization=cast.globex)
    cast.github.refresh_from_db()
    assert cast.github.organization_id == cast.acme.pk


def test_delete_revokes_and_leaves_receipts(cast: Cast, integration: Integration, github: GitHub) -> None:
    connect(cast.alice, integration)
    delete_integration(integration=integration)
    assert not Connection.objects.filter(integration=integration.pk).exists()
    receipt = Revocation.objects.get()
    assert (receipt.integration, receipt.account, receipt.connection) == ("Code", "alice-acme", None)
    assert confirm_revocation(revocation=receipt).status == "revoked"
    assert not bytes(receipt.errand)
    assert github.tokens() == {"access": [], "refresh": []}
    assert AuditEvent.objects.get(type="integration.deleted").details["connections_ended"] == 1


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("client_id", {"client_id": " "}),
        ("token_endpoint", {"client_id": "x", "token_endpoint": "javascript:x"}),
        ("token_endpoint_auth_method", {"client_id": "x", "token_endpoint_auth_method": "client_secret_post"}),
    ],
)
def test_set_client_with_bad_input_is_refused(
    cast: Cast, integration: Integration, field: str, options: dict[str, Any]
) -> None:
    before = OAuthClient.objects.values().get()
    with pytest.raises(ValidationError) as refused:
        set_oauth_client(integration=integration, **options)
    assert field in refused.value.message_dict
    assert OAuthClient.objects.values().get() == before


def test_set_client_of_another_server_ends_connections(cast: Cast, integration: Integration) -> None:
    connection = connect(cast.alice, integration)
    set_oauth_client(
        integration=integration,
        client_id="x",
        authorization_endpoint="https://elsewhere.test/authorize",
        token_endpoint="https://elsewhere.test/token",
    )
    connection.refresh_from_db()
    assert connection.status == "reauthorization_required"
    assert OAuthClient.objects.get(integration=integration).issuer == "https://elsewhere.test"


def test_plain_api_needs_its_endpoints(cast: Cast) -> None:
    integration = add(cast, "https://api.code.test", category="internal_mcp_credentials")
    with pytest.raises(ValidationError) as refused:
        set_oauth_client(integration=integration, client_id="x")
    assert re.search("endpoint", " ".join(refused.value.message_dict))
    set_oauth_client(
        integration=integration,
        client_id="x",
        authorization_endpoint="https://code.test/authorize",
        token_endpoint="https://code.test/token",
    )
    assert integration.status == "active"
    discover_integration(integration=integration)
    assert (integration.status, integration.discovery_error) == ("active", "")
