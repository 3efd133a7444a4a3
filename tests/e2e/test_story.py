"""The story of the design, on real parts: somebody else's identity provider, client and server, each a process.

Who is who: oidc-provider-mock signs people in, the `mcp` package's client with its OAuth provider is PR-Bot, and an
OAuth-protected server built on the `mcp` package is GitHub, with its own accounts and tokens.
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Iterable

import httpx2
import pytest

from audit.models import AuditEvent
from connections.models import Connection, Credential
from kontext.demo.browser import Browser
from kontext.demo.human import Human
from kontext.demo.people import ALICE, BOB, MALLORY
from orgs.models import Group, Identity
from tests.e2e.live import Installation
from tests.e2e.processes import ROOT
from tests.e2e.scenes import BACKEND, FRONTEND, closing_connections, connected_scene, events_of_call, refuse, scene

README = (ROOT / "README.md").read_text()


def invocations(since: AuditEvent | None) -> list[AuditEvent]:
    events = AuditEvent.objects.filter(type="capability.invoked").order_by("id")
    return list(events.filter(id__gt=since.pk) if since else events)


def last_event() -> AuditEvent | None:
    return AuditEvent.objects.order_by("-id").first()


def assert_nowhere(secrets: Iterable[str], text: str) -> None:
    assert not [secret[:12] for secret in secrets if secret in text]


def test_people_come_from_their_provider_with_its_groups(live: Installation) -> None:
    alice = Identity.objects.get(issuer=live.identity_providers["acme"], subject=ALICE.subject).user
    groups = Group.objects.filter(group_memberships__user=alice)
    assert (alice.name, alice.email) == (ALICE.name, ALICE.email)
    assert [(group.name, group.source, group.organization.slug) for group in groups] == [
        ("Engineering", Group.Source.IDP, "acme")
    ]
    assert not alice.has_usable_password()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@closing_connections
async def test_call_allowed_by_every_layer_reaches_github_as_alice(live: Installation, mode: str) -> None:
    async with scene(live) as current:
        await current.connect()
        live.github.forget_requests()
        before = last_event()
        async with current.open(mode=mode) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("create_issue", FRONTEND)

    assert tools == {"create_issue"}  # what no call of hers could be allowed isn't shown
    assert result.structured_content is not None
    assert result.structured_content["author"] == ALICE.github
    assert live.github.issues("acme/frontend")[-1]["title"] == FRONTEND["title"]
    requested, completed = invocations(before)
    assert (requested.phase, completed.phase, completed.outcome) == ("requested", "completed", "ok")
    assert requested.call == completed.call
    assert requested.recorded_at <= completed.recorded_at
    for event in (requested, completed):
        assert str(event.user_id) == current.world["people"]["alice"]["id"]
        assert str(event.application_id) == current.world["application"]["id"]
        assert (event.integration, event.capability, event.account) == ("github", "create_issue", ALICE.github)
        assert event.request_id
    assert requested.arguments_digest
    assert FRONTEND["title"] not in repr(vars(requested))
    decision = requested.decision
    assert decision is not None
    assert [layer["verdict"] for layer in decision["layers"]] == ["allow", "allow", "allow"]


@closing_connections
async def test_github_sees_its_own_token_and_never_the_inbound_one(live: Installation) -> None:
    async with connected_scene(live) as (current, client):
        await client.call_tool("create_issue", FRONTEND)
        seen, inbound = live.github.seen(), current.tokens

    assert live.github.calls_of("create_issue")
    assert {request.bearer for request in seen} <= set(live.github.tokens()["access"])
    secrets = [
        inbound.access_token,
        inbound.refresh_token or inbound.access_token,
        current.world["application"]["client_id"],
    ]
    assert_nowhere(secrets, json.dumps([request.headers for request in seen]))


@closing_connections
async def test_call_on_another_repository_is_refused_by_the_application_layer(live: Installation) -> None:
    async with connected_scene(live) as (_, client):
        issues = live.github.issues("acme/backend")
        data = await refuse(client, "create_issue", BACKEND)

    assert (data["code"], data["layer"]) == ("kontext_policy_denied", "application")
    assert "acme/frontend" in data["explanation"]["sentence"]  # the nearest rule is named
    (event,) = events_of_call(data["requestId"])
    assert (event.phase, event.outcome, event.capability) == ("denied", "denied", "create_issue")
    assert live.github.issues("acme/backend") == issues
    assert not live.github.calls_of("create_issue")


@closing_connections
async def test_deleting_a_repository_is_refused_by_alices_own_rule(live: Installation) -> None:
    async with connected_scene(live) as (_, client):
        data = await refuse(client, "delete_repo", {"repo": "acme/frontend"})

    assert (data["code"], data["layer"]) == ("kontext_policy_denied", "user")
    assert data["rule"] == live.world["rules"]["user_deny"]
    (event,) = events_of_call(data["requestId"])
    assert event.decision is not None
    assert event.decision["deciding"] == "user"
    assert "acme/frontend" in live.github.repositories()
    assert not live.github.calls_of("delete_repo")


@closing_connections
async def test_missing_connection_is_made_by_alice_and_by_nobody_else(live: Installation) -> None:
    async with scene(live) as current:
        link = await current.find_connect_link()
        assert link.startswith(f"{live.public_url}/connect/")
        async with Browser() as stranger:
            page = await stranger.open(link)
            assert page.find_form("Continue to") is None
            assert "GitHub" not in page.words
        async with Human(BOB, live.public_url) as bob:
            await bob.sign_in()
            page = await bob.open(link)
            assert page.status == 404
            assert ALICE.name not in page.words
        assert not live.github.calls_of("create_issue")

        await current.human.connect(link)

        connection = Connection.objects.get(user=current.world["people"]["alice"]["id"])
        assert (connection.status, connection.account) == (Connection.Status.ACTIVE, ALICE.github)
        async with current.open() as client:
            assert not (await client.call_tool("create_issue", FRONTEND)).is_error
        page = await current.human.open(link)
        assert page.find_form("Continue to") is None  # a link works once


@closing_connections
async def test_stopping_the_application_ends_its_open_session_within_a_second(live: Installation) -> None:
    stopped = 0.0

    async def stop_midway() -> None:
        nonlocal stopped
        async with connected_scene(live) as (current, client):
            inbound.append(current.tokens.access_token)
            await client.call_tool("create_issue", FRONTEND)
            await current.human.stop("PR-Bot")
            stopped, current.is_consenting = time.monotonic(), False
            while time.monotonic() < stopped + 5:
                await client.call_tool("create_issue", FRONTEND)

    inbound: list[str] = []
    with pytest.raises((PermissionError, ExceptionGroup)) as refused:
        await stop_midway()
    # One second for the news to arrive; the rest is PR-Bot asking Alice anew, and her refusing.
    assert time.monotonic() - stopped < 3
    assert "access_denied" in "".join(traceback.format_exception(refused.value))
    bearer = {"Authorization": f"Bearer {inbound[0]}"}
    answer = httpx2.post(
        live.world["acme"]["github"]["resource"], headers=bearer, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}
    )
    assert answer.status_code == 401


@closing_connections
async def test_disconnecting_mid_session_asks_to_connect_again(live: Installation) -> None:
    async with connected_scene(live) as (current, client):
        token = live.github.tokens()["access"][-1]
        await current.human.disconnect("GitHub")
        await asyncio.sleep(1)
        data = await refuse(client, "create_issue", FRONTEND)
        assert data["code"] == "kontext_integration_connection_required"
        assert data["elicitations"][0]["url"].startswith(f"{live.public_url}/connect/")

    assert not live.github.calls_of("create_issue")
    user = current.world["people"]["alice"]["id"]
    assert not Credential.objects.filter(connection__user=user).exists()
    deadline = time.monotonic() + 10
    while token in live.github.tokens()["access"] and time.monotonic() < deadline:
        await asyncio.sleep(0.2)  # the worker tells GitHub (RFC 7009)
    assert token not in live.github.tokens()["access"]


@closing_connections
async def test_expired_token_is_refreshed_once_for_many_calls(live: Installation) -> None:
    async with connected_scene(live) as (_, client):
        before = last_event()
        old = set(live.github.tokens()["access"])
        live.github.expire_access_tokens()
        results = await asyncio.gather(*(client.call_tool("create_issue", FRONTEND) for _ in range(5)))

    assert not [result for result in results if result.is_error]
    assert before is not None
    refreshed = AuditEvent.objects.filter(type="connection.refreshed", id__gt=before.pk)
    assert refreshed.count() == 1
    assert len(set(live.github.tokens()["access"]) - old) == 1
    used = {request.bearer for request in live.github.calls_of("create_issue")}
    assert set(live.github.tokens()["access"]) - old <= used


@closing_connections
async def test_consent_taken_back_at_github_asks_to_reconnect(live: Installation) -> None:
    async with connected_scene(live) as (current, client):
        live.github.revoke_everything()
        data = await refuse(client, "create_issue", FRONTEND)

    assert data["code"] == "kontext_integration_connection_required"
    connection = Connection.objects.get(user=current.world["people"]["alice"]["id"])
    assert connection.status == Connection.Status.REAUTHORIZATION_REQUIRED


@closing_connections
async def test_token_of_another_organization_gets_nothing_of_acme(live: Installation) -> None:
    """Both organizations have a GitHub: the token says whose it is, the path does not."""
    async with scene(live, MALLORY, "globex") as mallory:
        await mallory.connect()
        async with mallory.open() as client:
            data = await refuse(client, "create_issue", FRONTEND)
    assert data["code"] == "kontext_policy_denied"
    (event,) = events_of_call(data["requestId"])
    assert str(event.organization_id) == live.world["globex"]["id"]
    assert str(event.organization_id) != live.world["acme"]["id"]


@closing_connections
async def test_audit_trail_is_complete_and_holds_no_secret(live: Installation) -> None:
    before = last_event()
    async with connected_scene(live) as (current, client):
        await client.call_tool("create_issue", FRONTEND)
        await refuse(client, "create_issue", BACKEND)
        await refuse(client, "delete_repo", {"repo": "acme/frontend"})
        await client.call_tool("create_issue", {**FRONTEND, "title": "A title that nobody else may read"})
        secrets = [current.tokens.access_token, current.tokens.refresh_token or "?", *live.github.tokens()["access"]]
    secrets += [*live.github.tokens()["refresh"], "A title that nobody else may read"]

    assert before is not None
    acme = AuditEvent.objects.filter(organization_id=live.world["acme"]["id"], id__gt=before.pk).order_by("id")
    assert [event.phase for event in acme if event.type == "capability.invoked"] == [
        "requested",
        "completed",
        "denied",
        "denied",
        "requested",
        "completed",
    ]
    types = {event.type for event in acme}
    assert types >= {
        "person.signed_in",
        "delegation.granted",
        "token.issued",
        "connection.started",
        "connection.activated",
        "capability.invoked",
    }
    assert_nowhere(secrets, repr([vars(event) for event in acme]))
    logs = "".join(path.read_text(errors="replace") for path in (live.data_dir / "logs").glob("*.log"))
    assert_nowhere(secrets, logs)


def test_demo_plays_the_story_again_and_again(live: Installation) -> None:
    for _ in range(2):
        done = live.run("demo", "--json")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        told = [json.loads(line) for line in done.stdout.splitlines()]
        steps = [entry for entry in told if entry["event"] == "step"]
        assert [step["is_as_expected"] for step in steps] == [True] * len(steps)
        assert [step["outcome"] for step in steps].count("refused") >= 4
        assert told[-1] == {"event": "story", "steps": len(steps), "surprises": 0}
        for step in steps:
            told_there = f"{step['who']} {step['what']}".replace(live.gateway_url, "http://127.0.0.1:8001")
            assert told_there in README, "the story in README.md is out of date: play it again, and copy it"


def test_seeding_again_changes_nothing(live: Installation) -> None:
    done = live.run("demo", "--seed-only", "--json")
    assert json.loads(done.stdout) == live.world
