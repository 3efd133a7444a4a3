"""The gateway as a process of its own on the test database, with an integration behind it and an application before."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.conf import settings as django_settings
from django.db import connection

from audit.models import AuditEvent
from connections.models import Connection, Integration
from connections.services.connect_with_key import connect_with_key
from connections.services.discover_capabilities import discover_capabilities
from gateway.snapshot.store import SYSTEM
from orgs.models import Application, User
from tests.e2e.live import database_url
from tests.e2e.processes import Process, free_port
from tests.factories import Cast, issue_token, make_cast, make_rule
from tests.gateway.wire.integration import ScriptedIntegration, wait_until

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


@dataclass(frozen=True)
class GatewayProcess:
    url: str
    log: Path
    pid: int


@pytest.fixture(scope="session")
def gateway_process(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any
) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        name = str(connection.settings_dict["NAME"])
    yield from start_gateway(tmp_path_factory.mktemp("gateway"), database=name)


def start_gateway(folder: Path, *, database: str, known_as: str = "") -> Iterator[GatewayProcess]:
    """Run a gateway as long as it is needed. `known_as` is the address by which applications know it, if another."""
    port = free_port()
    environment = {
        "DATABASE_URL": database_url(database),
        "KONTEXT_GATEWAY_URL": known_as or f"http://127.0.0.1:{port}",
        "KONTEXT_ROOT_KEY_FILE": str(django_settings.ROOT_KEY_FILE),
    }
    options = ("--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--host", "127.0.0.1", "--port", str(port))
    process = Process(
        "gateway", [sys.executable, "-m", "granian", *options, "gateway.app:app"], folder / "log", environment
    )
    process.wait_until_answers(f"http://127.0.0.1:{port}/healthz")
    yield GatewayProcess(f"http://127.0.0.1:{port}", folder / "log", process.popen.pid)
    process.stop()


@pytest.fixture
def scripted() -> Iterator[ScriptedIntegration]:
    server = ScriptedIntegration()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class World:
    """Acme as the story has it, behind the gateway. `bearer` is PR-Bot's token for Alice."""

    gateway: GatewayProcess
    cast: Cast
    scripted: ScriptedIntegration
    integration: Integration
    connection: Connection
    bearer: str = field(repr=False)
    http: httpx2.Client = field(repr=False)

    @property
    def endpoint(self) -> str:
        return f"{self.gateway.url}/mcp/{self.integration.slug}"

    def issue(self, application: Application, user: User | None, resource: str = "") -> str:
        return issue_token(application, user, resource or self.endpoint)[0]

    def post(self, body: Any, headers: dict[str, str] | None = None, bearer: str | None = None) -> httpx2.Response:
        """Send a body as it stands (JSON if it isn't bytes), with the headers of nobody in particular."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        authorization = {} if bearer == "" else {"Authorization": f"Bearer {bearer or self.bearer}"}
        accept = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return self.http.post(self.endpoint, content=content, headers={**accept, **authorization, **(headers or {})})

    def call(
        self,
        method: str = "tools/call",
        params: dict[str, Any] | None = None,
        *,
        headers: dict[str, str] | None = None,
        bearer: str | None = None,
        meta: dict[str, Any] | None = None,
        id: object = 1,
    ) -> httpx2.Response:
        """Send a 2026-07-28 request with the headers that it must have."""
        params = {"name": "create_issue", "arguments": {"repo": "acme/frontend"}} if params is None else params
        message = {
            "jsonrpc": "2.0",
            "id": id,
            "method": method,
            "params": {**params, "_meta": {**META, **(meta or {})}},
        }
        names = {"Mcp-Name": str(params.get("name", params.get("uri")))} if "name" in params or "uri" in params else {}
        routing = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, **names}
        return self.post(message, {**routing, **(headers or {})}, bearer)

    def legacy(
        self, method: str, params: dict[str, Any] | None = None, *, session: str = "", **options: Any
    ) -> httpx2.Response:
        """Send a request of the older revisions."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        headers = {"MCP-Protocol-Version": "2025-11-25", **({"Mcp-Session-Id": session} if session else {})}
        return self.post(message, {**headers, **options.pop("headers", {})}, **options)

    def initialize(self, bearer: str | None = None) -> str:
        """Begin a session and return its identifier."""
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        answer = self.legacy("initialize", client, bearer=bearer)
        assert answer.status_code == 200, answer.text
        return answer.headers["mcp-session-id"]

    def events(self) -> list[AuditEvent]:
        """Return the audit events of calls, the oldest first."""
        return list(AuditEvent.objects.exclude(phase="").order_by("occurred_at", "id"))

    def phases(self) -> list[tuple[str, str]]:
        return [(event.phase, event.outcome) for event in self.events()]


@pytest.fixture
def world(
    gateway_process: GatewayProcess, scripted: ScriptedIntegration, transactional_db: None, settings: Any
) -> Iterator[World]:
    """The story's rules: Engineering may use GitHub, Alice allows issues, PR-Bot is for acme/frontend alone."""
    settings.GATEWAY_URL = gateway_process.url
    cast = make_cast()
    integration = cast.github
    integration.capabilities.all().delete()
    Integration.objects.filter(pk=integration.pk).update(url=scripted.url, auth_mode="user_token")
    integration.refresh_from_db()
    connected = connect_with_key(user=cast.alice, integration=integration, key=scripted.key)
    discover_capabilities(integration=integration)
    make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=integration)
    for name in ("create_issue", "list_issues"):
        make_rule(cast.acme, "user", "allow", user=cast.alice, integration=integration, capability=name)
    only = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, integration=integration, conditions=only)
    scripted.forget()
    with httpx2.Client(timeout=20) as http:
        bearer = issue_token(cast.pr_bot, cast.alice, integration.resource)[0]
        world = World(gateway_process, cast, scripted, integration, connected, bearer, http)
        announce_new_keys()
        wait_until(lambda: world.post(b"").status_code == 400)
        yield world


def announce_new_keys() -> None:
    """Tell the gateway of signing keys whose version began anew, as no database's does but one emptied for a test."""
    version = time.time_ns() // 1_000_000
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orgs_snapshotversion SET version = %s WHERE organization_id = %s", [version, SYSTEM])
        cursor.execute("SELECT pg_notify('kontext_snapshot', %s)", [f"{SYSTEM}:{version}:orgs_signingkey"])
