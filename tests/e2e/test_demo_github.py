"""The demo GitHub is a peer like any other: an unchanged `mcp` client finds its way in and can be put out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from kontext.demo.agent import Agent, Registration
from kontext.demo.browser import Browser
from tests.e2e.peers import GitHub


@asynccontextmanager
async def stranger(account: str = "alice-acme", button: str = "Authorize") -> AsyncIterator[Agent]:
    async with Browser() as browser:

        async def consent(url: str) -> None:
            await browser.press(await browser.open(url), button, account=account)

        agent = Agent(Registration("Stranger"), consent)
        await agent.start()
        try:
            yield agent
        finally:
            await agent.stop()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_call_tool_in_both_eras_acts_as_the_chosen_account(github: GitHub, mode: str) -> None:
    async with stranger() as agent, agent.session(github.url, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        result = await client.call_tool("create_issue", {"repo": "acme/frontend", "title": "Broken link"})

    assert set(tools) == {"list_issues", "create_issue", "get_file", "delete_repo"}
    reading, deleting = tools["list_issues"].annotations, tools["delete_repo"].annotations
    assert reading is not None
    assert reading.read_only_hint is True
    assert deleting is not None
    assert deleting.destructive_hint is True
    assert result.structured_content["author"] == "alice-acme"
    assert github.issues("acme/frontend")[-1]["title"] == "Broken link"


async def test_refuse_consent_issues_no_token(github: GitHub) -> None:
    before = github.tokens()
    with pytest.raises((PermissionError, ExceptionGroup)) as failure:
        async with stranger(button="Cancel") as agent, agent.session(github.url) as client:
            await client.list_tools()
    assert isinstance(failure.value, PermissionError) or failure.group_contains(PermissionError)
    assert github.tokens() == before


async def test_expired_token_is_refreshed_and_spent_refresh_token_ends_the_family(github: GitHub) -> None:
    async with stranger() as agent:
        async with agent.session(github.url) as client:
            await client.list_tools()
        spent, registered = _tokens(agent).refresh_token, agent.wallet.client
        second = _refresh(github, registered, spent)
        assert second.status_code == 200
        assert _refresh(github, registered, spent).status_code == 400

    known = github.tokens()
    assert second.json()["access_token"] not in known["access"]
    assert second.json()["refresh_token"] not in known["refresh"]


async def test_expired_token_is_refused(github: GitHub) -> None:
    async with stranger() as agent, agent.session(github.url) as client:
        await client.list_tools()
        token = _tokens(agent).access_token
    assert httpx2.post(github.url, headers={"Authorization": f"Bearer {token}"}, json={}).status_code != 401
    github.expire_access_tokens()
    assert httpx2.post(github.url, headers={"Authorization": f"Bearer {token}"}, json={}).status_code == 401


def _tokens(agent: Agent) -> OAuthToken:
    assert agent.wallet.tokens is not None
    return agent.wallet.tokens


def _refresh(github: GitHub, client: OAuthClientInformationFull | None, token: str | None) -> httpx2.Response:
    assert client is not None
    data = {"grant_type": "refresh_token", "refresh_token": token, "client_id": client.client_id}
    if client.client_secret:
        data["client_secret"] = client.client_secret
    return httpx2.post(f"{github.base_url}/token", data=data)
