"""Levers and a record for tests, mounted only with `--inspect`.

The recorded headers hold credentials: they are answered to who asks on loopback and never logged.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kontext.demo.github.provider import DemoProvider


@dataclass(frozen=True)
class SeenRequest:
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    rpc_method: str
    tool: str


class Recorder:
    """ASGI middleware that keeps the last thousand requests to the MCP endpoint."""

    def __init__(self, app: ASGIApp, seen: deque[SeenRequest]) -> None:
        self.app, self.seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp":
            await self.app(scope, receive, send)
            return
        body = bytearray()

        async def tee() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(_describe(scope, bytes(body)))
            await send(message)

        await self.app(scope, tee, note)


def inspection_routes(provider: DemoProvider, seen: deque[SeenRequest]) -> list[Route]:
    def requests(request: Request) -> Response:
        if request.method == "DELETE":
            seen.clear()
        return JSONResponse([asdict(entry) for entry in seen])

    def expire(_: Request) -> Response:
        return JSONResponse({"expired": provider.expire_access_tokens()})

    def revoke(_: Request) -> Response:
        provider.revoke_everything()
        return JSONResponse({"revoked": True})

    async def lifetime(request: Request) -> Response:
        provider.token_lifetime = int((await request.json())["seconds"])
        return JSONResponse({"seconds": provider.token_lifetime})

    def tokens(_: Request) -> Response:
        state = provider.store.state
        return JSONResponse({"access": list(state.access_tokens), "refresh": list(state.refresh_tokens)})

    def repositories(_: Request) -> Response:
        state = provider.store.state
        return JSONResponse({name: entry.model_dump() for name, entry in state.repositories.items()})

    return [
        Route("/inspect/requests", requests, methods=["GET", "DELETE"]),
        Route("/inspect/expire", expire, methods=["POST"]),
        Route("/inspect/revoke", revoke, methods=["POST"]),
        Route("/inspect/lifetime", lifetime, methods=["POST"]),
        Route("/inspect/tokens", tokens, methods=["GET"]),
        Route("/inspect/repositories", repositories, methods=["GET"]),
    ]


def _describe(scope: Scope, body: bytes) -> SeenRequest:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        message = json.loads(body or b"{}")
    except ValueError:
        message = {}
    params = message.get("params") or {}
    tool = params.get("name", "") if isinstance(params, dict) else ""
    return SeenRequest(scope["method"], scope["path"], headers, str(message.get("method", "")), str(tool))
