"""The story of DESIGN section 1, played by a person's browser and an MCP application, through the network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from asgiref.sync import sync_to_async
from django.conf import settings
from mcp import Client, MCPError

from audit.types import EventType
from connections.models import Connection
from kontext.demo.agent import Agent, Registration
from kontext.demo.browser import Browser, BrowserError
from kontext.demo.human import Human
from kontext.demo.narrator import Narrator, Step
from kontext.demo.people import ALICE
from kontext.demo.seed import PR_BOT, REPOSITORY, World
from kontext.demo.trail import Trail
from orgs.models import Delegation

CONNECTION_REQUIRED = -32042
FORBIDDEN_REPOSITORY = "acme/backend"
# What is revoked stops in every gateway process within a second.
SECONDS_UNTIL_REVOKED = 1.0


class Story:
    """Played once. The steps share Alice's browser, the application and its session."""

    def __init__(self, world: World, narrator: Narrator) -> None:
        self._world = world
        self._narrator = narrator
        self._trail = Trail(world.acme.organization.pk)
        self._url = world.acme.github.resource
        self._who = f"{PR_BOT} for {ALICE.name.split()[0]}"
        self._steps = self._surprises = 0
        self._is_stopped = False

    async def play(self) -> bool:
        """Play it; returns whether each step went as it should."""
        try:
            async with Human(ALICE, settings.PUBLIC_URL) as alice:
                await self._sign_in(alice)
                await self._start_over(alice)
                async with self._running_agent(alice) as agent:
                    await self._connect(alice, await self._consent(agent))
                    await self._use(alice, agent)
            self._narrator.list_trail(await self._trail.read_all())
            self._narrator.finish(steps=self._steps, surprises=self._surprises)
        finally:
            await self._trail.close()
        return self._surprises == 0

    async def _use(self, alice: Human, agent: Agent) -> None:
        try:
            async with agent.session(self._url) as client:
                await self._see_tools(client)
                await self._create_issue(client)
                elsewhere = {"repo": FORBIDDEN_REPOSITORY, "title": "Hello"}
                await self._be_refused(client, "create_issue", elsewhere, layer="application")
                await self._be_refused(client, "delete_repo", {"repo": REPOSITORY}, layer="user")
                await self._let_token_expire(client)
                await self._stop(alice)
                await client.call_tool("create_issue", {"repo": REPOSITORY, "title": "One more"})
        except (PermissionError, MCPError, ExceptionGroup):
            if not self._is_stopped:
                raise
            await self._tell_stopped(is_refused=True)
        else:
            await self._tell_stopped(is_refused=False)

    async def _sign_in(self, alice: Human) -> None:
        self._trail.begin_step()
        await alice.sign_in()
        event = await self._trail.find(EventType.SIGNED_IN)
        self._tell(
            who=ALICE.name,
            what="signs in through Acme Corp's own identity provider",
            outcome="done",
            why=f"known there as {ALICE.subject}, in {', '.join(ALICE.groups)}",
            is_as_expected=event is not None,
            event=event,
        )

    async def _start_over(self, alice: Human) -> None:
        """Have Alice take back what an earlier play left, the way she would."""
        if await self._has_consented():
            self._narrator.note(f"{ALICE.name} stops {PR_BOT} from acting for her, as it did in an earlier play")
            await alice.stop(PR_BOT)
        if await self._has_connected():
            self._narrator.note(f"{ALICE.name} disconnects GitHub, which she connected in an earlier play")
            await alice.disconnect("GitHub")

    @sync_to_async
    def _has_consented(self) -> bool:
        acme = self._world.acme
        mine = Delegation.objects.usable().filter(user=acme.people[ALICE.subject])
        return mine.filter(application=acme.application).exists()

    @sync_to_async
    def _has_connected(self) -> bool:
        acme = self._world.acme
        mine = Connection.objects.filter(user=acme.people[ALICE.subject], integration=acme.github)
        return mine.filter(status=Connection.Status.ACTIVE).exists()

    @asynccontextmanager
    async def _running_agent(self, alice: Human) -> AsyncIterator[Agent]:
        async def open_browser(address: str) -> None:
            await (alice.refuse(address) if self._is_stopped else alice.consent(address))

        application = self._world.acme.application
        agent = Agent(Registration(application.name, application.client_id), open_browser)
        await agent.start()
        try:
            yield agent
        finally:
            await agent.stop()

    async def _consent(self, agent: Agent) -> str:
        """Let the application find its way from the gateway's address alone; returns the connect link it got."""
        self._trail.begin_step()
        error = await self._open_unconnected(agent)
        granted = await self._trail.find(EventType.DELEGATION_GRANTED)
        self._tell(
            who=ALICE.name,
            what=f"is asked by {PR_BOT}, which knows only {self._url}, and lets it act for her",
            outcome="allowed",
            why="OAuth code with PKCE; the token is good for this one address, for ten minutes",
            is_as_expected=granted is not None,
            event=granted,
        )
        link = _find_link(error)
        started = await self._trail.find(EventType.CONNECTION_STARTED)
        self._tell(
            who=self._who,
            what="opens a session with GitHub",
            outcome="refused",
            why="Alice has not connected GitHub; the answer has a link where she, and nobody else, can",
            is_as_expected=bool(link),
            event=started,
        )
        return link

    async def _open_unconnected(self, agent: Agent) -> MCPError | None:
        try:
            async with agent.session(self._url):
                return None
        except (MCPError, ExceptionGroup) as error:
            return next(_find_errors(error), None)

    async def _connect(self, alice: Human, link: str) -> None:
        self._trail.begin_step()
        await self._let_stranger_open(link)
        await alice.connect(link)
        event = await self._trail.find(EventType.CONNECTION_ACTIVATED)
        self._tell(
            who=ALICE.name,
            what="opens the link and signs in at GitHub",
            outcome="done",
            why=f"connected as {event.account}" if event else "no connection was made",
            is_as_expected=event is not None and event.account == ALICE.github,
            facts=("GitHub's tokens are stored encrypted; neither she nor PR-Bot ever sees them",),
            event=event,
        )

    async def _let_stranger_open(self, link: str) -> None:
        async with Browser() as stranger:
            page = await stranger.open(link)
            if page.find_form("Continue to"):
                raise BrowserError(f"the connect link shows itself to a stranger: {page.words[:200]}")

    async def _see_tools(self, client: Client) -> None:
        names = sorted(tool.name for tool in (await client.list_tools()).tools)
        self._tell(
            who=self._who,
            what="lists GitHub's tools",
            outcome="allowed",
            why=f"it sees {', '.join(names)}: only what some call of it could be allowed",
            is_as_expected=names == ["create_issue"],
        )

    async def _create_issue(self, client: Client) -> None:
        self._trail.begin_step()
        issue = {"repo": REPOSITORY, "title": "The search field loses what was typed"}
        result = await client.call_tool("create_issue", issue)
        made: dict[str, Any] = result.structured_content or {}
        event = await self._trail.find(EventType.CAPABILITY_INVOKED, phase="completed")
        requested = await self._trail.find(EventType.CAPABILITY_INVOKED, phase="requested")
        self._tell(
            who=self._who,
            what=f"calls github:create_issue on {REPOSITORY}",
            outcome="allowed",
            why=f"issue {made.get('number')} is there, written by {made.get('author')}",
            is_as_expected=made.get("author") == ALICE.github and event is not None and event.outcome == "ok",
            decision=(requested.decision if requested else None) or (event.decision if event else None),
            event=event,
        )

    async def _be_refused(self, client: Client, tool: str, arguments: dict[str, Any], *, layer: str) -> None:
        self._trail.begin_step()
        error = await _call_refused(client, tool, arguments)
        data = error.data if error is not None and isinstance(error.data, dict) else {}
        event = await self._trail.find(EventType.CAPABILITY_INVOKED, request_id=data.get("requestId", ""))
        decision = data.get("explanation") or {}
        self._tell(
            who=self._who,
            what=f"calls github:{tool} on {arguments['repo']}",
            outcome="refused",
            why=str(decision.get("sentence") or error or "it was not"),
            is_as_expected=(data.get("code"), data.get("layer")) == ("kontext_policy_denied", layer)
            and event is not None,
            decision=decision,
            facts=tuple(f"to change that: {fix}" for fix in _read_fixes(decision)),
            event=event,
        )

    async def _let_token_expire(self, client: Client) -> None:
        self._trail.begin_step()
        async with httpx2.AsyncClient() as github:
            await github.post(f"{self._world.peers.github}/inspect/expire")
        result = await client.call_tool("create_issue", {"repo": REPOSITORY, "title": "It is slow on Mondays"})
        event = await self._trail.find(EventType.CONNECTION_REFRESHED)
        made: dict[str, Any] = result.structured_content or {}
        self._tell(
            who=self._who,
            what="calls github:create_issue after GitHub's token has expired",
            outcome="allowed",
            why=f"Kontext renewed the token, once, and issue {made.get('number')} is there",
            is_as_expected=made.get("author") == ALICE.github and event is not None,
            event=event,
        )

    async def _stop(self, alice: Human) -> None:
        self._trail.begin_step()
        await alice.stop(PR_BOT)
        self._is_stopped = True
        event = await self._trail.find(EventType.DELEGATION_REVOKED)
        self._tell(
            who=ALICE.name,
            what=f"stops {PR_BOT} in the portal, while its session is open",
            outcome="done",
            why="every token it holds for her has ended",
            is_as_expected=event is not None,
            event=event,
        )
        await asyncio.sleep(SECONDS_UNTIL_REVOKED)
        self._trail.begin_step()

    async def _tell_stopped(self, *, is_refused: bool) -> None:
        event = await self._trail.find(EventType.DELEGATION_REFUSED)
        self._tell(
            who=self._who,
            what=f"calls github:create_issue on {REPOSITORY} in the same session",
            outcome="refused" if is_refused else "allowed",
            why="its token is no longer good; it asks Alice anew, and she refuses",
            is_as_expected=is_refused and event is not None,
            event=event,
        )

    def _tell(self, **facts: Any) -> None:
        step = Step(person=ALICE.name.split()[0], **facts)
        self._steps += 1
        self._surprises += not step.is_as_expected
        self._narrator.tell(step)


async def _call_refused(client: Client, tool: str, arguments: dict[str, Any]) -> MCPError | None:
    """Return the error that a call is answered with, or None where it is not refused."""
    try:
        await client.call_tool(tool, arguments)
    except MCPError as error:
        return error
    return None


def _find_errors(error: BaseException) -> Iterator[MCPError]:
    if isinstance(error, MCPError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _find_errors(inner)


def _find_link(error: MCPError | None) -> str:
    if error is None or error.code != CONNECTION_REQUIRED:
        return ""
    return str(error.data["elicitations"][0]["url"])


def _read_fixes(decision: dict[str, Any]) -> list[str]:
    changes = (decision.get("fix") or {}).get("changes") or []
    return [f"{change['sentence']} ({change['layer']} layer)" for change in changes]
