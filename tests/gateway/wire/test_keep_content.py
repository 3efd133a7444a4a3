"""What the log keeps of a call's arguments and of the answer: on the wire, in both eras, with and without a stream."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import orjson
import pytest

from audit.capture import MOST_BYTES
from audit.models import AuditEvent, Payload, PayloadKey
from connections.services.update_integration import update_integration
from orgs.errors import PayloadErasedError
from orgs.payloads import open_payload
from orgs.services.create_organization import update_organization
from orgs.services.erase_payloads import erase_payloads
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


@pytest.fixture(params=["summary", "full"])
def level(request: pytest.FixtureRequest, world: World) -> str:
    """What Acme keeps of the content, as the gateway knows it within a second."""
    chosen = str(request.param)
    keep(world, chosen)
    return chosen


def keep(world: World, level: str, **settings: Any) -> None:
    update_organization(organization=world.cast.acme, capture_level=level, **settings)
    time.sleep(0.5)  # until the gateway has heard: a second is promised


@pytest.mark.parametrize("streams", [False, True], ids=["document", "stream"])
@pytest.mark.parametrize("send", [send_modern, send_legacy], ids=["modern", "legacy"])
def test_call_leaves_what_the_level_says_sealed_for_the_person(
    world: World, level: str, send: Send, streams: bool
) -> None:
    answer(world, streams=streams, result=RESULT)

    assert SECRET in send(world, {**ARGUMENTS, "token": "zq-token"}).text

    requested, completed = world.events()
    assert requested.details["payload"]["level"] == completed.details["payload"]["level"] == level
    kept = [open_payload(event).document for event in (requested, completed)]
    if level == "full":
        assert kept == [{"arguments": {**ARGUMENTS, "token": "[redacted]"}}, {"result": RESULT}]
    else:
        assert kept[0]["arguments"]["title"] == {"type": "string", "size": len(ARGUMENTS["title"])}
        assert [block["type"] for block in kept[1]["result"]["content"]] == ["text"]
        assert SECRET not in json.dumps(kept)
    (key,) = PayloadKey.objects.all()
    assert (key.organization_id, key.user_id, key.application_id) == (world.cast.acme.pk, world.cast.alice.pk, None)
    assert_nothing_readable(world, SECRET, "zq-token")


def test_denied_call_leaves_its_arguments_too(world: World, level: str) -> None:
    send_modern(world, {**ARGUMENTS, "repo": "acme/backend"})

    (event,) = world.events()
    assert event.phase == "denied"
    assert set(open_payload(event).document["arguments"]) == set(ARGUMENTS)
    assert_nothing_readable(world, SECRET)


def test_application_that_acts_for_itself_has_a_key_of_its_own(world: World) -> None:
    keep(world, "full")
    world.call(params={"name": "create_issue", "arguments": ARGUMENTS}, bearer=world.issue(world.cast.pr_bot, None))

    event = world.events()[0]
    assert open_payload(event).document == {"arguments": ARGUMENTS}
    (key,) = PayloadKey.objects.all()
    assert (key.user_id, key.application_id) == (None, world.cast.pr_bot.pk)


def test_integrations_own_level_and_paths_count_before_the_organizations(world: World) -> None:
    update_integration(integration=world.integration, capture_level="full", redacted_paths=["title"])
    keep(world, "summary", redacted_paths=["repo"])
    answer(world, result={"structuredContent": {"issue": {"title": SECRET, "number": 7}}})

    send_modern(world, ARGUMENTS)

    requested, completed = world.events()
    assert open_payload(requested).document == {"arguments": {"repo": "[redacted]", "title": "[redacted]"}}
    issue = {"title": "[redacted]", "number": 7}
    assert open_payload(completed).document == {"result": {"structuredContent": {"issue": issue}}}


def test_integration_can_keep_less_than_the_organization(world: World) -> None:
    keep(world, "full")
    update_integration(integration=world.integration, capture_level="digest")
    time.sleep(0.5)
    send_modern(world, ARGUMENTS)
    assert Payload.objects.count() == 0
    assert all("payload" not in event.details for event in world.events())


def test_content_above_the_limit_is_cut_to_its_summary_and_says_so(world: World) -> None:
    keep(world, "full")
    answer(world, result={"content": [{"type": "text", "text": SECRET + "x" * MOST_BYTES}]})

    send_modern(world, {"repo": "acme/frontend", "body": SECRET * MOST_BYTES})

    for event in world.events():
        assert (event.details["payload"]["level"], event.details["payload"]["cut"]) == ("summary", True)
        assert SECRET.encode() not in open_payload(event).text


@pytest.mark.parametrize("text", ["a\0b", "🙂\u202e", "\ufeff", "\\u0000"])
def test_odd_text_is_kept_as_it_came(world: World, text: str) -> None:
    keep(world, "full")
    answer(world, result={"structuredContent": {text: text}})

    send_modern(world, {"repo": "acme/frontend", text: text})

    requested, completed = world.events()
    assert open_payload(requested).document["arguments"][text] == text
    assert open_payload(completed).document["result"]["structuredContent"] == {text: text}


def test_change_of_level_holds_within_a_second(world: World) -> None:
    for chosen in ("full", "digest", "summary", "digest"):
        keep(world, chosen)
        send_modern(world, ARGUMENTS)
        note = world.events()[-2].details.get("payload")
        assert (note["level"] if note else "digest") == chosen


def test_erased_person_calls_again_under_another_key(world: World) -> None:
    keep(world, "full")
    send_modern(world, ARGUMENTS)
    erase_payloads(organization=world.cast.acme, user=world.cast.alice)
    time.sleep(1)

    send_modern(world, ARGUMENTS)

    before, _, after, _ = world.events()
    with pytest.raises(PayloadErasedError):
        open_payload(before)
    assert open_payload(after).document == {"arguments": ARGUMENTS}
    assert PayloadKey.objects.count() == 2


def assert_nothing_readable(world: World, *words: str) -> None:
    """The words are in no event, no payload, no key and no line of the gateway's log."""
    rows = [*AuditEvent.objects.values_list(), *Payload.objects.values_list(), *PayloadKey.objects.values_list()]
    stored = b"".join(
        bytes(value) if isinstance(value, memoryview) else str(value).encode() for row in rows for value in row
    )
    for word in words:
        assert word.encode() not in stored
        assert base64.b64encode(word.encode())[:-4] not in stored
        assert word not in world.gateway.log.read_text()
