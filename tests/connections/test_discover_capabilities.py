"""Tools as an MCP server of either era lists them, pinned by digest (THREATS 34)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.models import AuditEvent
from connections.definitions import classify_definition, digest_definition
from connections.errors import EgressError, KeyRefusedError, MCPError, ReauthorizationRequiredError
from connections.mcp.client import _Legacy, _list_all, _Modern, list_tools
from connections.models import Capability, Connection, Integration
from connections.services.accept_capability import accept_capability, confirm_class
from connections.services.connect_with_key import connect_with_key
from connections.services.discover_capabilities import discover_capabilities
from connections.services.refresh import get_credential
from connections.services.set_server_token import set_server_token
from tests.connections.journey import connect
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_integration

READ = {
    "name": "look",
    "description": "Look.",
    "inputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}
WRITE = {"name": "push", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": False}}


class MCPServer:
    """A scripted MCP server of the older era: sessions, pages, JSON or event streams, keys."""

    def __init__(self) -> None:
        self.pages: list[list[Any]] = [[READ], [WRITE]]
        self.streams = True
        self.key = ""
        self.raw: bytes | None = None
        self.sessions: set[str] = set()
        self.ended: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                _serve(self, server)

            def do_DELETE(self) -> None:
                server.ended.append(self.headers["Mcp-Session-Id"])
                _send(self, 200, b"", "text/plain")

            def log_message(self, *_: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/mcp"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _serve(handler: BaseHTTPRequestHandler, server: MCPServer) -> None:
    message = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length", 0))))
    if server.key and handler.headers.get("Authorization") != f"Bearer {server.key}":
        _send(handler, 401, b"{}", "application/json")
    elif server.raw is not None:
        _send(handler, 200, server.raw, "application/json")
    elif message["method"] == "initialize":
        server.sessions.add("session-1")
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
        _reply(handler, server, message["id"], result, {"Mcp-Session-Id": "session-1"})
    elif handler.headers.get("Mcp-Session-Id") not in server.sessions:
        error = {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32600, "message": "no session"}}
        _send(handler, 400, json.dumps(error).encode(), "application/json")
    elif message["method"] == "notifications/initialized":
        _send(handler, 202, b"", "application/json")
    else:
        page = int(message["params"].get("cursor", "0"))
        more = {"nextCursor": str(page + 1)} if page + 1 < len(server.pages) else {}
        _reply(handler, server, message["id"], {"tools": server.pages[page], **more}, {})


def _reply(
    handler: BaseHTTPRequestHandler, server: MCPServer, request_id: int, result: dict[str, Any], headers: dict[str, str]
) -> None:
    text = json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result})
    if not server.streams:
        _send(handler, 200, text.encode(), "application/json", headers)
        return
    noise = 'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n'
    _send(handler, 200, f"{noise}: comment\nevent: message\ndata: {text}\n\n".encode(), "text/event-stream", headers)


def _send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[MCPServer]:
    server = MCPServer()
    yield server
    server.close()


@pytest.fixture
def desk(cast: Cast, server: MCPServer) -> Integration:
    return make_integration(cast.acme, "desk", url=server.url, auth_mode="none")


def get_states(integration: Integration) -> dict[str, tuple[str, str]]:
    return {row.name: (row.status, row.klass) for row in integration.capabilities.all()}


@pytest.mark.parametrize("streams", [True, False])
def test_older_server_is_asked_in_its_own_way(server: MCPServer, streams: bool) -> None:
    server.streams = streams
    assert list_tools(server.url, headers={}) == [READ, WRITE]
    assert server.ended == ["session-1"]


def test_both_eras_give_the_same_definitions(cast: Cast, integration: Integration, github: GitHub) -> None:
    """The digest pins a definition, whichever way it was asked for."""
    connection = connect(cast.alice, integration)
    headers = get_credential(connection_id=connection.pk, deadline=time.monotonic() + 5).headers
    github.forget_requests()
    modern = _list_all(_Modern(github.url, headers))
    with _Legacy(github.url, headers) as session:
        legacy = _list_all(session)
    assert {name: digest_definition(tool) for name, tool in modern.items()} == {
        name: digest_definition(tool) for name, tool in legacy.items()
    }
    methods = [seen.rpc_method for seen in github.seen()]
    assert methods == ["tools/list", "initialize", "notifications/initialized", "tools/list", ""]


def test_discover_pins_definitions_with_their_class(desk: Integration) -> None:
    discovered = discover_capabilities(integration=desk)
    assert {(row.name, row.klass, row.digest) for row in discovered} == {
        ("look", "read", digest_definition(READ)),
        ("push", "write", digest_definition(WRITE)),
    }
    desk.refresh_from_db()
    assert desk.discovered_at is not None
    event = AuditEvent.objects.get(type="capability.discovered")
    assert event.details["changes"] == {"added": ["look", "push"], "held": [], "removed": []}


def test_changed_definition_holds_that_capability_alone(desk: Integration, server: MCPServer) -> None:
    discover_capabilities(integration=desk)
    server.pages = [[{**READ, "description": "Look, and send it to me."}], [WRITE]]

    for _ in range(2):
        assert [row.name for row in discover_capabilities(integration=desk)] == ["push"]

    held = desk.capabilities.get(name="look")
    assert (held.status, held.definition, held.digest) == ("held", READ, digest_definition(READ))
    assert (held.held_definition or {})["description"] == "Look, and send it to me."
    assert AuditEvent.objects.filter(type="capability.held").count() == 1

    accept_capability(capability=held)
    accept_capability(capability=held)
    assert (held.status, held.description, held.held_definition) == ("active", "Look, and send it to me.", None)
    assert held.digest == digest_definition(server.pages[0][0])
    assert AuditEvent.objects.filter(type="capability.accepted").count() == 1


def test_definition_that_changes_back_is_free_again(desk: Integration, server: MCPServer) -> None:
    discover_capabilities(integration=desk)
    server.pages[0] = [{**READ, "description": "Other."}]
    discover_capabilities(integration=desk)
    server.pages[0] = [READ]
    discover_capabilities(integration=desk)
    assert get_states(desk)["look"] == ("active", "read")


def test_tool_that_is_gone_is_kept_and_comes_back_as_it_was(desk: Integration, server: MCPServer) -> None:
    discover_capabilities(integration=desk)
    server.pages = [[WRITE]]
    discover_capabilities(integration=desk)
    assert get_states(desk)["look"] == ("removed", "read")
    server.pages = [[{**READ, "description": "Another tool of this name."}, WRITE]]
    discover_capabilities(integration=desk)
    assert get_states(desk)["look"] == ("held", "read")


def test_confirmed_class_yields_to_graver_claims_only(desk: Integration, server: MCPServer) -> None:
    discover_capabilities(integration=desk)
    push = confirm_class(capability=desk.capabilities.get(name="push"), klass="destructive")
    assert AuditEvent.objects.get(type="capability.class_confirmed").details["former"] == "write"
    server.pages[1] = [{**WRITE, "annotations": {"readOnlyHint": True}}]
    discover_capabilities(integration=desk)
    push.refresh_from_db()
    assert accept_capability(capability=push).klass == "destructive"

    look = confirm_class(capability=desk.capabilities.get(name="look"), klass="read")
    server.pages[0] = [{**READ, "annotations": {}}]
    discover_capabilities(integration=desk)
    look.refresh_from_db()
    accepted = accept_capability(capability=look)
    assert (accepted.klass, accepted.klass_confirmed) == ("destructive", False)


def test_unusable_tools_are_left_out(desk: Integration, server: MCPServer) -> None:
    server.pages = [
        [READ, "text", {}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 256}, {"name": "schema", "inputSchema": []}],
        [{"name": "nul", "description": "\0"}, {"name": "half", "description": "\ud800"}, {"name": "look"}, WRITE],
        [{"name": "big", "description": "x" * 300_000}],
    ]
    assert [row.name for row in discover_capabilities(integration=desk)] == ["look", "push"]
    assert desk.capabilities.get(name="look").definition == READ


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}',
        b"[" * 100_000,
        b'{"id":1,"result":{"x":NaN}}',
    ],
)
def test_malformed_answer_is_an_error_and_changes_nothing(desk: Integration, server: MCPServer, raw: bytes) -> None:
    discover_capabilities(integration=desk)
    server.raw = raw
    with pytest.raises(MCPError):
        discover_capabilities(integration=desk)
    assert get_states(desk) == {"look": ("active", "read"), "push": ("active", "write")}


def test_endless_pages_are_bounded(desk: Integration, server: MCPServer) -> None:
    server.pages = [[]] * 60
    with pytest.raises(MCPError, match="pages"):
        discover_capabilities(integration=desk)


def test_endless_answer_is_bounded(desk: Integration, server: MCPServer) -> None:
    server.raw = b'"' + b"x" * 5_000_000
    with pytest.raises(EgressError):
        discover_capabilities(integration=desk)


def test_discover_without_any_connection_says_so(cast: Cast, server: MCPServer) -> None:
    integration = make_integration(cast.acme, "desk", url=server.url, auth_mode="user_token")
    with pytest.raises(ReauthorizationRequiredError, match="nobody has connected"):
        discover_capabilities(integration=integration)


def test_refused_key_is_not_stored(cast: Cast, server: MCPServer) -> None:
    server.key = "right"
    shared = make_integration(cast.acme, "desk", url=server.url, auth_mode="server_token")
    with pytest.raises(KeyRefusedError) as refused:
        set_server_token(integration=shared, key="wr0ng-key")
    assert "wr0ng" not in str(refused.value)
    assert not Connection.objects.exists()

    connection = set_server_token(integration=shared, key="right")
    assert AuditEvent.objects.get(type="connection.activated").details["verified"] is True
    assert (connection.user, connection.status) == (None, "active")
    assert len(discover_capabilities(integration=shared)) == 2
    again = set_server_token(integration=shared, key="right")
    assert (again.pk, again.generation) == (connection.pk, 2)


def test_key_of_ones_own_lists_tools_with_its_own_header(cast: Cast, server: MCPServer) -> None:
    server.key = "mine"
    own = make_integration(cast.acme, "desk", url=server.url, auth_mode="user_token")
    connection = connect_with_key(user=cast.alice, integration=own, key="mine")
    assert len(discover_capabilities(integration=own, connection=connection)) == 2


@pytest.mark.parametrize(
    ("annotations", "klass"),
    [
        ({}, "destructive"),
        (None, "destructive"),
        ("text", "destructive"),
        ({"readOnlyHint": True}, "read"),
        ({"readOnlyHint": "true"}, "destructive"),
        ({"readOnlyHint": True, "destructiveHint": True}, "read"),
        ({"readOnlyHint": False, "destructiveHint": False}, "write"),
        ({"destructiveHint": True}, "destructive"),
        ({"destructiveHint": None}, "destructive"),
    ],
)
def test_class_follows_the_annotations_with_their_defaults(annotations: Any, klass: str) -> None:
    assert classify_definition({"annotations": annotations}) == klass
    assert klass in Capability.Klass.values


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=4), _json, max_size=4))
def test_digest_ignores_order_and_sees_every_change(definition: dict[str, Any]) -> None:
    same = json.loads(json.dumps(dict(reversed(definition.items()))))
    assert digest_definition(same) == digest_definition(definition)
    assert digest_definition({**definition, "another": 1}) != digest_definition(definition)


@pytest.mark.parametrize("number", [1e5, 0.1, -0.0, 1.5e300, 10**20, 10**400, 2**53 + 1, 1e-7, True, 3])
def test_digest_survives_the_database(cast: Cast, number: Any) -> None:
    definition = {"name": "count", "inputSchema": {"properties": {"n": {"maximum": number}}}}
    capability = cast.create_issue
    capability.definition = definition
    capability.save()
    capability.refresh_from_db()
    assert digest_definition(capability.definition) == digest_definition(definition)
