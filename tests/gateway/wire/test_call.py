"""A call through the gateway: decided, injected, written down before and after, and answered word for word."""

from __future__ import annotations

import json
from typing import Any

from gateway.mcp.envelopes import name_session
from tests.gateway.wire.conftest import World
from tests.gateway.wire.integration import Handler, Reply, Seen


def test_call_allowed_reaches_the_integration_with_its_credential_and_is_recorded_twice(world: World) -> None:
    answer = world.call(headers={"X-Request-ID": "request-of-alice"})

    assert answer.status_code == 200
    assert answer.json()["result"]["content"][0]["text"] == '{"repo": "acme/frontend"}'
    assert answer.headers["x-request-id"] == "request-of-alice"
    (seen,) = world.scripted.calls()
    assert seen.headers["authorization"] == "Bearer key-of-alice"
    assert world.bearer not in json.dumps(seen.headers)
    requested, completed = world.events()
    assert world.phases() == [("requested", ""), ("completed", "ok")]
    assert requested.call == completed.call
    assert (requested.user_id, requested.user_name) == (world.cast.alice.pk, "Alice Adams")
    assert (requested.application_name, requested.integration) == ("PR-Bot", "github")
    assert (requested.capability, requested.connection_id) == ("create_issue", world.connection.pk)
    assert requested.decision is not None
    assert requested.decision["effect"] == "allow"
    assert len(requested.arguments_digest) == 64
    assert requested.request_id == completed.request_id == "request-of-alice"
    assert completed.latency_us
    assert "acme/frontend" not in json.dumps([requested.details, completed.details])


def test_call_on_another_repository_is_denied_by_the_application_layer(world: World) -> None:
    answer = world.call(params={"name": "create_issue", "arguments": {"repo": "acme/backend"}})

    assert answer.status_code == 200
    error = answer.json()["error"]
    assert error["data"]["code"] == "kontext_policy_denied"
    assert error["data"]["layer"] == "application"
    assert error["data"]["requestId"] == answer.headers["x-request-id"]
    assert error["data"]["explanation"]["fix"] is not None
    assert world.scripted.seen == []
    (event,) = world.events()
    assert (event.phase, event.outcome, event.capability) == ("denied", "denied", "create_issue")
    assert event.decision is not None
    assert event.decision["deciding"] == "application"


def test_call_of_another_tool_is_denied_by_the_user_layer(world: World) -> None:
    error = world.call(params={"name": "delete_repo", "arguments": {"repo": "acme/frontend"}}).json()["error"]

    assert (error["data"]["code"], error["data"]["layer"]) == ("kontext_policy_denied", "user")
    assert world.scripted.seen == []


def test_call_without_connection_answers_with_a_link_for_the_person(world: World) -> None:
    world.connection.delete()

    answer = world.call()

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (200, -32042)
    (elicitation,) = error["data"]["elicitations"]
    assert elicitation["mode"] == "url"
    assert "/connect/" in elicitation["url"]
    assert elicitation["elicitationId"]
    assert world.scripted.seen == []
    assert world.phases() == [("denied", "error_auth")]
    assert elicitation["url"] not in str([event.details for event in world.events()])


def test_call_without_connection_asks_a_client_that_can_open_pages_for_input(world: World) -> None:
    world.connection.delete()
    can_open: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}

    asked = world.call(meta=can_open).json()["result"]

    assert asked["resultType"] == "input_required"
    (request,) = asked["inputRequests"].values()
    assert (request["method"], request["params"]["mode"]) == ("elicitation/create", "url")
    # The person has not connected, though: asking again and again would lead nowhere.
    responses = {key: {"action": "accept"} for key in asked["inputRequests"]}
    params = {"name": "create_issue", "arguments": {"repo": "acme/frontend"}, "inputResponses": responses}
    assert world.call(params=params, meta=can_open).json()["error"]["code"] == -32042


def test_call_after_connecting_leaves_our_own_question_out(world: World) -> None:
    params = {
        "name": "create_issue",
        "arguments": {"repo": "acme/frontend"},
        "inputResponses": {"kontext_connect": {"action": "accept"}, "theirs": {"action": "decline"}},
    }
    assert "result" in world.call(params=params).json()
    (seen,) = world.scripted.calls()
    assert seen.message["params"]["inputResponses"] == {"theirs": {"action": "decline"}}


def test_call_that_the_tool_fails_is_passed_on_and_recorded_as_such(world: World) -> None:
    result = {"content": [], "isError": True, "resultType": "complete"}
    world.scripted.script = lambda seen, _: Reply({"jsonrpc": "2.0", "id": seen.message["id"], "result": result})

    assert world.call().json()["result"] == result
    assert world.phases() == [("requested", ""), ("completed", "error_remote")]


def test_call_to_an_integration_that_is_down_answers_502_and_is_recorded(world: World) -> None:
    world.scripted.shutdown()
    world.scripted.server_close()

    answer = world.call()

    assert answer.status_code == 502
    assert answer.json()["error"]["data"]["code"] == "kontext_integration_unreachable"
    assert answer.json()["id"] == 1
    assert world.phases() == [("requested", ""), ("completed", "error_remote")]


def test_call_keeps_unknown_members_and_the_bytes(world: World) -> None:
    body = (
        b'{ "jsonrpc":"2.0","id":"x-1","method":"tools/call","params":{"name":"create_issue","future":{"a":1.50},'
        b'"arguments":{"repo":"acme/frontend"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        b'"io.modelcontextprotocol/clientCapabilities":{},"own":true}}}'
    )
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "create_issue"}
    assert world.post(body, headers).json()["id"] == "x-1"
    assert world.scripted.calls()[0].body == body


def test_call_with_refused_credential_asks_to_connect_again(world: World) -> None:
    world.scripted.key = "another-key"

    error = world.call().json()["error"]

    assert error["code"] == -32042
    assert "key-of-alice" not in json.dumps(error)
    assert world.phases() == [("requested", ""), ("completed", "error_auth")]


def test_call_in_a_session_is_recorded_under_a_name_that_gives_no_access(world: World) -> None:
    session = world.initialize()
    params = {"name": "create_issue", "arguments": {"repo": "acme/frontend"}}

    assert "result" in world.legacy("tools/call", params, session=session).json()

    assert [seen.headers.get("mcp-session-id") for seen in world.scripted.calls()] == ["upstream-session"]
    assert {event.session for event in world.events()} == {name_session(session)}


def test_call_streamed_arrives_event_by_event_and_completes_before_its_end(world: World) -> None:
    def stream(seen: Seen, handler: Handler) -> None:
        handler.open_stream()
        handler.send_event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
        handler.server.disconnected.wait(5)  # set by the test once it has seen the first event
        handler.send_event({"jsonrpc": "2.0", "id": seen.message["id"], "result": {"content": [], "n": 1}})

    world.scripted.script = stream
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}}
    message["params"] = {"name": "create_issue", "arguments": {"repo": "acme/frontend"}}
    headers = {"Authorization": f"Bearer {world.bearer}", "Content-Type": "application/json"}
    with world.http.stream("POST", world.endpoint, json=message, headers=headers) as response:
        lines = response.iter_lines()
        assert response.headers["content-type"] == "text/event-stream"
        first = next(line for line in lines if line.startswith("data:"))
        assert "notifications/progress" in first
        assert world.phases() == [("requested", "")]
        world.scripted.disconnected.set()
        last = next(line for line in lines if line.startswith("data:"))
        assert json.loads(last[5:])["result"] == {"content": [], "n": 1}
        assert world.phases() == [("requested", ""), ("completed", "ok")]
