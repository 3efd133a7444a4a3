"""POST /mcp/connect-session: an application gets a link for its person, and nothing by anybody else's token."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings

from audit.models import AuditEvent
from connections.models import ConnectInvitation
from connections.sealing import digest_secret
from orgs.services.pause_delegation import pause_delegation
from tests.gateway.wire.conftest import World
from tests.gateway.wire.integration import wait_until


def ask(world: World, body: Any = None, *, bearer: str, **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return world.http.post(f"{world.gateway.url}/mcp/connect-session", json=body, headers=headers, **options)


def test_application_gets_a_link_for_its_person(world: World) -> None:
    joined = world.issue(world.cast.pr_bot, world.cast.alice, f"{world.gateway.url}/mcp")
    answer = world.http.post(f"{world.gateway.url}/mcp/connect-session", headers={"Authorization": f"Bearer {joined}"})
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"connectUrl", "sessionId", "expiresAt"}
    assert answer.headers["x-request-id"]
    url = urlsplit(answer.json()["connectUrl"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{settings.PUBLIC_URL}/oauth/connect"
    invitation = ConnectInvitation.objects.get(pk=answer.json()["sessionId"])
    assert invitation.token_digest == digest_secret(parse_qs(url.query)["session"][0])
    assert (invitation.user, invitation.application) == (world.cast.alice, world.cast.pr_bot)
    assert (invitation.organization, invitation.integration) == (world.cast.acme, None)
    event = AuditEvent.objects.filter(type="connection.started").latest("occurred_at")
    assert (event.user_id, event.application_id) == (world.cast.alice.pk, world.cast.pr_bot.pk)
    one = ask(world, {"integration": world.integration.slug}, bearer=world.bearer)
    assert ConnectInvitation.objects.get(pk=one.json()["sessionId"]).integration == world.integration
    assert joined not in world.gateway.log.read_text()


def test_connect_link_is_refused_without_the_right_token(world: World) -> None:
    cast, address = world.cast, f"{world.gateway.url}/mcp"
    of_nobody = world.issue(cast.pr_bot, None, address)
    for bearer, body, status in (
        ("", None, 401),
        ("made-up", None, 401),
        (world.bearer, None, 401),  # for one integration, not for all
        (world.bearer, {"integration": "other"}, 401),
        (of_nobody, None, 400),
    ):
        answer = ask(world, body, bearer=bearer)
        assert answer.status_code == status, (body, answer.text)
        assert answer.json()["requestId"]
        assert ("www-authenticate" in answer.headers) == (status == 401)
    unneeded = world.issue(cast.spy_bot, cast.mallory, f"{address}/{world.integration.slug}")
    assert ask(world, {"integration": world.integration.slug}, bearer=unneeded).status_code in (401, 404)
    assert not ConnectInvitation.objects.exists()


@pytest.mark.parametrize(
    "body", [[], {"integration": 1}, {"integration": ""}, {"returnUrl": "https://evil.test"}, "x" * 5000]
)
def test_connect_link_asked_for_wrongly_is_told_how(world: World, body: Any) -> None:
    answer = ask(world, body, bearer=world.bearer)
    assert answer.status_code in (400, 413)
    assert answer.json()["code"] in ("kontext_mcp_invalid_request", "kontext_body_too_large")
    assert world.http.get(f"{world.gateway.url}/mcp/connect-session").status_code == 405
    assert not ConnectInvitation.objects.exists()


def test_paused_application_gets_no_link(world: World) -> None:
    pause_delegation(delegation=world.cast.delegation)
    body = {"integration": world.integration.slug}
    wait_until(lambda: ask(world, body, bearer=world.bearer).status_code == 403, seconds=2)
