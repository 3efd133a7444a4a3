"""POST /mcp/connect-session: an application asks for a link with which its person connects what it needs."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import MalformedRequestError, NotAllowedMethodError, NotFoundError
from gateway.http import Exchange
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.pause import make_paused_error
from gateway.service import Gateway

PATH = "/mcp/connect-session"
_MAX_BODY_BYTES = 4096


async def serve_connect_session(exchange: Exchange, gateway: Gateway) -> None:
    """Answer with a link that only the person can open. The token is for the joined endpoint, or the named one."""
    if exchange.method != "POST":
        raise NotAllowedMethodError("use POST to ask for a connect link", allowed="POST")
    slug = _read_integration(await exchange.read_body(_MAX_BODY_BYTES))
    principal, snapshot = await authenticate(exchange, gateway, slug)
    if principal.user_id is None:
        raise MalformedRequestError("the application acts for nobody here who could connect anything")
    if principal.is_paused:
        raise make_paused_error(principal, gateway)
    integration = snapshot.integrations.get(slug) if slug is not None else None
    application = snapshot.applications[principal.client_id]
    if slug is not None and (integration is None or integration.id not in application.integrations):
        raise NotFoundError("the application may use no integration of this name")
    link = await gateway.runtime.invitations.make(principal, integration)
    document = {"connectUrl": link.url, "sessionId": str(link.session_id), "expiresAt": link.expires_at.isoformat()}
    exchange.answer_json(201, document, {"cache-control": "no-store"})


def _read_integration(body: bytes) -> str | None:
    """Return what the body names. It may be empty: then it is about all that the application may use."""
    try:
        document: Any = orjson.loads(body) if body.strip() else {}
    except ValueError:
        document = None
    if not isinstance(document, dict) or set(document) - {"integration"}:
        raise MalformedRequestError('the body must be a JSON object, with nothing but "integration" in it, or empty')
    slug = document.get("integration")
    if slug is not None and (not isinstance(slug, str) or not 0 < len(slug) <= 32):
        raise MalformedRequestError("integration must be the short name of an integration")
    return slug
