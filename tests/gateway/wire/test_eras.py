"""Third-party clients and servers on both sides of the gateway: the `mcp` package's, in both protocol eras."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from connections.models import Integration
from connections.services.connect_with_key import connect_with_key
from connections.services.discover_capabilities import discover_capabilities
from kontext.demo.agent import Agent, Registration
from kontext.demo.browser import Browser
from tests.e2e.live import start_github
from tests.e2e.peers import GitHub
from tests.e2e.processes import Process
from tests.gateway.wire.conftest import World
from tests.gateway.wire.integration import wait_until

ERAS = ["auto", "legacy"]


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory) -> Any:
    processes: list[Process] = []
    yield start_github(tmp_path_factory.mktemp("github"), processes)
    for process in processes:
        process.stop()


async def get_key(github: GitHub) -> str:
    """Let Alice consent at the demo GitHub, and return the token that she would paste as her key."""
    async with Browser() as browser:

        async def consent(url: str) -> None:
            await browser.press(await browser.open(url), "Authorize", account="alice-acme")

        agent = Agent(Registration("Kontext"), consent)
        await agent.start()
        async with agent.session(github.url) as client:
            await client.list_tools()
        await agent.stop()
    assert agent.wallet.tokens is not None
    return agent.wallet.tokens.access_token


@pytest.fixture
def at_github(world: World, github: GitHub) -> World:
    """The world with the demo GitHub behind the integration, and Alice connected to it."""
    Integration.objects.filter(pk=world.integration.pk).update(url=github.url)
    world.integration.refresh_from_db()
    connect_with_key(user=world.cast.alice, integration=world.integration, key=asyncio.run(get_key(github)))
    world.integration.capabilities.all().delete()
    discover_capabilities(integration=world.integration)
    wait_until(lambda: "result" in world.call("tools/list", {}).json())
    github.forget_requests()
    return world


# The tests are no coroutines: on an event loop, Django would open further connections and leave them open.


@asynccontextmanager
async def connect(world: World, mode: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {world.bearer}"}, timeout=30) as http,
        Client(streamable_http_client(world.endpoint, http_client=http), mode=mode, cache=None) as client,
    ):
        yield client


async def list_and_call(world: World, mode: str) -> tuple[list[str], Any, list[Any]]:
    """Return the tools, the result of the allowed call, and the errors of the two that aren't."""
    refused = [("create_issue", {"repo": "acme/backend", "title": "No"}), ("delete_repo", {"repo": "acme/frontend"})]
    async with connect(world, mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("create_issue", {"repo": "acme/frontend", "title": f"Found in {mode}"})
        errors = []
        for name, arguments in refused:
            with pytest.raises(MCPError) as failure:
                await client.call_tool(name, arguments)
            errors.append(failure.value.error.data)
    return tools, result, errors


@pytest.mark.parametrize("mode", ERAS)
def test_client_of_either_era_lists_and_calls_what_the_rules_allow(at_github: World, github: GitHub, mode: str) -> None:
    tools, result, errors = asyncio.run(list_and_call(at_github, mode))

    assert tools == ["list_issues", "create_issue"]
    assert result.structured_content["author"] == "alice-acme"
    assert github.issues("acme/frontend")[-1]["title"] == f"Found in {mode}"
    assert [error["code"] for error in errors] == ["kontext_policy_denied"] * 2
    assert [error["layer"] for error in errors] == ["application", "user"]
    assert "acme/frontend" in github.repositories()
    assert at_github.phases() == [("requested", ""), ("completed", "ok"), ("denied", "denied"), ("denied", "denied")]
    assert at_github.bearer not in {seen.bearer for seen in github.seen()}
    versions = {seen.headers.get("mcp-protocol-version") for seen in github.calls_of("create_issue")}
    assert versions == {"2026-07-28" if mode == "auto" else "2025-11-25"}
    assert "Traceback" not in at_github.gateway.log.read_text()


async def call_once(world: World, mode: str) -> None:
    async with connect(world, mode) as client:
        await client.call_tool("create_issue", {"repo": "acme/frontend", "title": "Never"})


@pytest.mark.parametrize("mode", ERAS)
def test_client_without_connection_is_given_the_link(at_github: World, github: GitHub, mode: str) -> None:
    at_github.integration.connections.all().delete()
    wait_until(lambda: "error" in at_github.call("tools/list", {}).json())
    github.forget_requests()

    with pytest.raises((MCPError, ExceptionGroup)) as failure:
        asyncio.run(call_once(at_github, mode))

    error: BaseException = failure.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MCPError)
    assert error.error.code == -32042
    assert "/connect/" in error.error.data["elicitations"][0]["url"]
    assert github.seen() == []
