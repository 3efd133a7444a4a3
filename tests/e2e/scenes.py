"""Alice at her browser and PR-Bot at work, against a running installation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec

import pytest
from django.db import connections
from mcp import Client, MCPError
from mcp.shared.auth import OAuthToken

from audit.models import AuditEvent
from connections.models import Connection
from connections.services.revoke import revoke_connection
from kontext.demo.agent import Agent, Registration
from kontext.demo.human import Human
from kontext.demo.people import ALICE, Person
from orgs.models import Delegation
from orgs.services.revoke_delegation import revoke_delegation
from tests.e2e.live import Installation

P = ParamSpec("P")

CONNECTION_REQUIRED = -32042
FRONTEND = {"repo": "acme/frontend", "title": "Broken link"}
BACKEND = {"repo": "acme/backend", "title": "Broken link"}


@dataclass
class Scene:
    """One person, signed in, and PR-Bot, which has asked for nothing yet. `asked` is where it sent the browser."""

    live: Installation
    human: Human
    agent: Agent
    organization: str = "acme"
    asked: list[str] = field(default_factory=list)
    is_consenting: bool = True

    @property
    def world(self) -> dict[str, Any]:
        found: dict[str, Any] = self.live.world[self.organization]
        return found

    @property
    def url(self) -> str:
        return str(self.world["github"]["resource"])

    @property
    def tokens(self) -> OAuthToken:
        assert self.agent.wallet.tokens is not None
        return self.agent.wallet.tokens

    def open(self, *, mode: str = "auto") -> Any:
        return self.agent.session(self.url, mode=mode)

    async def find_connect_link(self, *, mode: str = "auto") -> str:
        """Open a session while nothing is connected, and return the link that the answer holds."""
        error = await self.fail_to_open(mode=mode)
        assert error.code == CONNECTION_REQUIRED, error
        return str(error.data["elicitations"][0]["url"])

    async def fail_to_open(self, *, mode: str = "auto") -> MCPError:
        try:
            async with self.open(mode=mode):
                raise AssertionError("a session without a connection was opened")
        except (MCPError, ExceptionGroup) as error:
            return next(find_errors(error))

    async def connect(self) -> None:
        await self.human.connect(await self.find_connect_link())


@asynccontextmanager
async def scene(live: Installation, person: Person = ALICE, organization: str = "acme") -> AsyncIterator[Scene]:
    """Begin anew: no consent, no connection of this person's."""
    forget(live, person, organization)
    async with Human(person, live.public_url) as human:
        await human.sign_in()
        application = live.world[organization]["application"]
        agent = Agent(Registration(application["name"], application["client_id"]), lambda url: answer(url))
        current = Scene(live, human, agent, organization)

        async def answer(url: str) -> None:
            current.asked.append(url)
            await (human.consent(url) if current.is_consenting else human.refuse(url))

        await agent.start()
        try:
            yield current
        finally:
            await agent.stop()


@asynccontextmanager
async def connected_scene(live: Installation) -> AsyncIterator[tuple[Scene, Client]]:
    """Alice has consented and connected, and PR-Bot's session is open."""
    async with scene(live) as current:
        await current.connect()
        live.github.forget_requests()
        async with current.open() as client:
            yield current, client


def forget(live: Installation, person: Person, organization: str) -> None:
    user = live.world[organization]["people"][person.subject]["id"]
    for delegation in Delegation.objects.usable().filter(user=user):
        revoke_delegation(delegation=delegation)
    for connection in Connection.objects.filter(user=user).exclude(status=Connection.Status.REVOKED):
        revoke_connection(connection=connection, reason="another test begins")


def closing_connections(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """An asynchronous test has database connections of its own, which nobody else could close."""

    @wraps(test)
    async def closing(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await test(*args, **kwargs)
        finally:
            connections.close_all()

    return closing


async def refuse(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool that must be refused; return the error's data."""
    with pytest.raises(MCPError) as refused:
        await client.call_tool(tool, arguments)
    data = refused.value.data
    assert isinstance(data, dict), refused.value
    return data


def find_errors(error: BaseException) -> Iterator[MCPError]:
    if isinstance(error, MCPError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from find_errors(inner)


def events_of_call(request_id: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(request_id=request_id).order_by("id"))
