"""Stage 1. Who calls: the bearer token, for exactly this resource."""

from __future__ import annotations

from gateway.facts import Principal, Snapshot
from gateway.http import Exchange
from gateway.service import Gateway


async def authenticate(exchange: Exchange, gateway: Gateway, slug: str | None) -> tuple[Principal, Snapshot]:
    """Return the principal and its organization's facts, or raise AuthenticationError or UnavailableError.

    Tokens are read from the Authorization header alone (OAuth 2.1 forbids them in a query).
    """
    scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return await gateway.runtime.authenticator.authenticate(bearer or None, resource=gateway.config.get_resource(slug))
