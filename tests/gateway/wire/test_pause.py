"""A paused application is refused by the gateway at once, is told who paused it and where, and loses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from orgs.models import IssuedToken
from orgs.services.pause_delegation import pause_delegation, resume_delegation
from tests.gateway.wire.conftest import World
from tests.gateway.wire.integration import wait_until

CODE = "kontext_delegation_paused"


def get_error(answer: Any) -> dict[str, Any]:
    error: dict[str, Any] = answer.json().get("error", {})
    return error


def pause(world: World) -> None:
    """Pause PR-Bot for Alice, and wait until the gateway knows: it has a second."""
    pause_delegation(delegation=world.cast.delegation)
    wait_until(lambda: get_error(world.call("tools/list", {})).get("data", {}).get("code") == CODE, seconds=1)
    world.scripted.forget()


def test_paused_call_is_refused_says_where_to_resume_and_is_recorded(world: World) -> None:
    assert "result" in world.call().json()
    pause(world)
    answer = world.call()
    error = get_error(answer)
    page = f"{settings.PUBLIC_URL}/applications/{world.cast.pr_bot.pk}/"
    assert (answer.status_code, error["code"]) == (200, -32008)
    assert error["message"] == f"Alice Adams has paused PR-Bot: they can resume it at {page}"
    assert error["data"] == {"code": CODE, "requestId": answer.headers["x-request-id"], "page": page}
    assert world.scripted.seen == []
    refused = world.events()[-1]
    assert (refused.phase, refused.outcome, refused.capability) == ("denied", "denied", "create_issue")
    assert (refused.user_id, refused.application_id) == (world.cast.alice.pk, world.cast.pr_bot.pk)
    assert refused.details["code"] == CODE
    assert world.bearer not in str(vars(refused))


def test_paused_application_gets_no_list_no_session_and_no_stream(world: World) -> None:
    session = world.initialize()
    pause(world)
    assert get_error(world.call("tools/list", {}))["data"]["code"] == CODE
    assert get_error(world.legacy("initialize", {}))["data"]["code"] == CODE
    assert get_error(world.legacy("tools/list", session=session))["data"]["code"] == CODE
    headers = {"Authorization": f"Bearer {world.bearer}", "Mcp-Session-Id": session}
    stream = world.http.get(world.endpoint, headers={**headers, "Accept": "text/event-stream"})
    assert (stream.status_code, stream.json()["code"]) == (403, CODE)
    assert "www-authenticate" not in stream.headers
    assert world.scripted.seen == []


def test_resumed_application_goes_on_with_the_same_token(world: World) -> None:
    pause(world)
    resume_delegation(delegation=world.cast.delegation)
    wait_until(lambda: "result" in world.call().json(), seconds=1)
    assert not IssuedToken.objects.filter(revoked_at__isnull=False).exists()


@pytest.mark.parametrize("name", [{"x": 1}, None, "a" * 4000])
def test_paused_call_without_a_proper_name_is_refused_like_any_other(world: World, name: Any) -> None:
    session = world.initialize()
    pause(world)
    answer = world.legacy("tools/call", {"name": name, "arguments": {}}, session=session)
    assert get_error(answer)["data"]["code"] == CODE
    assert len(world.events()) == 1
