"""What the log keeps of a call's arguments and of the answer: on the wire, in both eras, with and without a stream."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

import httpx2
import orjson
import pytest

from audit.models import AuditEvent
from orgs.vault import derive_key
from tests.gateway.wire.conftest import World
from tests.gateway.wire.integration import Handler, Reply, Seen

SECRET = "zq-only-for-alice"
ARGUMENTS = {"repo": "acme/frontend", "title": f"About {SECRET}"}
RESULT = {"content": [{"type": "text", "text": f"Made: {SECRET}"}], "resultType": "complete"}

Send = Callable[[World, dict[str, Any]], httpx2.Response]


def send_modern(world: World, arguments: dict[str, Any]) -> httpx2.Response:
    return world.call(params={"name": "create_issue", "arguments": arguments})


def send_legacy(world: World, arguments: dict[str, Any]) -> httpx2.Response:
    return world.legacy("tools/call", {"name": "create_issue", "arguments": arguments})


def answer(world: World, *, streams: bool = False, **members: Any) -> None:
    """Have the integration answer with these members of a JSON-RPC response, at the end of a stream or alone."""

    def script(seen: Seen, handler: Handler) -> Reply | None:
        document = {"jsonrpc": "2.0", "id": seen.message["id"], **members}
        if not streams:
            return Reply(document)
        handler.open_stream()
        handler.send_event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        handler.send_event(document)
        return None

    world.scripted.script = script


def digest(world: World, content: Any) -> str:
    key = derive_key(world.cast.acme.pk, "arguments-digest")
    return hmac.new(key, orjson.dumps(content, option=orjson.OPT_SORT_KEYS), "sha256").hexdigest()


def stored_text() -> str:
    return json.dumps([[str(value) for value in row] for row in AuditEvent.objects.values_list()])


@pytest.mark.parametrize("streams", [False, True], ids=["document", "stream"])
@pytest.mark.parametrize("send", [send_modern, send_legacy], ids=["modern", "legacy"])
def test_call_leaves_keyed_digests_of_arguments_and_result_alone(world: World, send: Send, streams: bool) -> None:
    answer(world, streams=streams, result=RESULT)

    assert SECRET in send(world, ARGUMENTS).text

    requested, completed = world.events()
    assert requested.arguments_digest == digest(world, ARGUMENTS)
    assert completed.details == {"method": "tools/call", "result_digest": digest(world, RESULT)}
    assert SECRET not in stored_text()


@pytest.mark.parametrize("members", [{}, {"result": None}], ids=["alone", "beside a null"])
def test_call_answered_with_an_error_leaves_a_digest_of_the_error(world: World, members: dict[str, Any]) -> None:
    error = {"code": -32000, "message": SECRET}
    answer(world, error=error, **members)

    assert SECRET in send_modern(world, ARGUMENTS).text

    completed = world.events()[1]
    assert (completed.outcome, completed.details["result_digest"]) == ("error_remote", digest(world, error))
    assert SECRET not in stored_text()


@pytest.mark.parametrize("streams", [False, True], ids=["document", "stream"])
def test_call_answered_too_deeply_for_a_digest_is_refused_and_completed(world: World, streams: bool) -> None:
    deep: Any = SECRET
    for _ in range(300):
        deep = [deep]
    answer(world, streams=streams, result={"structuredContent": {"deep": deep}})

    text = send_modern(world, ARGUMENTS).text

    assert "kontext_integration_response_invalid" in text
    assert SECRET not in text
    assert world.phases() == [("requested", ""), ("completed", "error_remote")]
