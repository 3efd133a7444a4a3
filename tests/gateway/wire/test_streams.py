"""Streams and sessions: passed on as they come, ended where either side ends them."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.gateway.wire.conftest import META, World
from tests.gateway.wire.integration import Handler, Reply, Seen, wait_until

CALL = {"name": "create_issue", "arguments": {"repo": "acme/frontend"}}


def hang_up_after(world: World, seconds: float, message: dict[str, object], headers: dict[str, str]) -> None:
    """Send a message on a connection of its own and close it after a while, whatever came."""
    body = json.dumps(message).encode()
    lines = ["POST /mcp/github HTTP/1.1", f"Host: {urlsplit(world.gateway.url).netloc}", f"Content-Length: {len(body)}"]
    given = {"Authorization": f"Bearer {world.bearer}", "Content-Type": "application/json", **headers}
    lines += [f"{name}: {value}" for name, value in given.items()]
    url = urlsplit(world.gateway.url)
    with socket.create_connection((str(url.hostname), int(url.port or 0))) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        time.sleep(seconds)


MODERN_CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**CALL, "_meta": META}}
MODERN_HEADERS = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "create_issue"}


@pytest.mark.parametrize("has_begun", [False, True])
def test_client_that_hangs_up_cancels_the_call_at_the_integration(world: World, has_begun: bool) -> None:
    def wait(seen: Seen, handler: Handler) -> None:
        if has_begun:
            handler.open_stream()
            handler.send_event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        handler.wait_for_disconnect()

    world.scripted.script = wait
    hang_up_after(world, 0.5, MODERN_CALL, MODERN_HEADERS)

    assert world.scripted.disconnected.wait(2)
    wait_until(lambda: world.phases() == [("requested", ""), ("completed", "cancelled")])


def test_get_stream_passes_on_what_the_server_says_unasked(world: World) -> None:
    session = world.initialize()

    def notify(seen: Seen, handler: Handler) -> None:
        handler.open_stream()
        handler.send_event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}, "event-1")
        handler.server.disconnected.wait(5)

    world.scripted.script = notify
    headers = {"Authorization": f"Bearer {world.bearer}", "Accept": "text/event-stream", "Mcp-Session-Id": session}
    with world.http.stream("GET", world.endpoint, headers=headers) as response:
        lines = response.iter_lines()
        assert next(lines) == "event: message"
        assert next(lines) == "id: event-1"
        assert "list_changed" in next(lines)
        world.scripted.disconnected.set()
    assert world.scripted.seen[-1].headers["mcp-session-id"] == "upstream-session"


def test_delete_ends_the_session_at_the_integration(world: World) -> None:
    session = world.initialize()
    headers = {"Authorization": f"Bearer {world.bearer}", "Mcp-Session-Id": session}
    assert world.http.delete(world.endpoint, headers=headers).status_code == 200
    assert world.scripted.seen[-1].method == "DELETE"
    assert world.scripted.seen[-1].headers["mcp-session-id"] == "upstream-session"


def test_session_that_has_ended_at_the_integration_is_answered_404(world: World) -> None:
    session = world.initialize()
    world.scripted.script = lambda _seen, _handler: Reply({"error": "gone"}, 404)
    answer = world.legacy("ping", session=session)
    assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (404, "kontext_mcp_session_expired")


def test_notification_and_response_of_the_client_are_passed_on(world: World) -> None:
    session = world.initialize()
    headers = {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert world.post(cancelled, headers).status_code == 202
    assert world.scripted.seen[-1].message == cancelled
    world.scripted.script = lambda _seen, _handler: Reply(status=202, raw=b"")
    sampled = {"jsonrpc": "2.0", "id": "s-1", "result": {"role": "assistant"}}
    assert world.post(sampled, headers).status_code == 202
    assert world.scripted.seen[-1].message == sampled


def test_notification_of_the_new_revision_is_taken_and_goes_nowhere(world: World) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert world.post(message, {"MCP-Protocol-Version": "2026-07-28"}).status_code == 202
    assert world.scripted.seen == []


@pytest.mark.parametrize("identifier", ["", "event-1"])
def test_stream_that_ends_without_an_answer_says_so_unless_it_can_be_resumed(world: World, identifier: str) -> None:
    def stop(seen: Seen, handler: Handler) -> None:
        handler.open_stream()
        handler.send_event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}, identifier)

    world.scripted.script = stop
    text = world.legacy("tools/call", CALL).text
    assert ("kontext_integration_response_invalid" in text) is not bool(identifier)
    assert world.phases() == [("requested", ""), ("completed", "error_remote")]


def test_metadata_leads_a_stranger_to_the_authorization_server(world: World) -> None:
    refused = httpx2.post(world.endpoint, json={})
    challenge = refused.headers["www-authenticate"]
    assert refused.status_code == 401
    assert 'scope="mcp:invoke"' in challenge
    assert "error=" not in challenge
    url = challenge.split('resource_metadata="')[1].split('"')[0]
    metadata = httpx2.get(url).json()
    assert metadata["resource"] == world.endpoint
    assert metadata["authorization_servers"] == ["http://127.0.0.1:8000"]
    assert metadata["scopes_supported"] == ["mcp:invoke"]


def test_bad_token_is_told_what_is_wrong_with_it(world: World) -> None:
    answer = world.call(bearer="not-a-token")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["code"] == "kontext_authorization_required"
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/mcp/", "/mcp/a/b", "/admin", "/.well-known/oauth-protected-resource/other"])
def test_unknown_path_is_answered_404(world: World, path: str) -> None:
    answer = httpx2.get(f"{world.gateway.url}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "kontext_not_found")
