"""Links with which people connect what an application needs: made on threads, since it is written down."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError

from connections.errors import ConnectionsError
from connections.models import Integration
from connections.services.begin_connect import ConnectLink
from connections.services.invite_to_connect import invite_to_connect
from gateway.errors import NotFoundError, RateLimitedError
from gateway.facts import IntegrationFacts, Principal
from gateway.threads import Threads
from orgs.limits import Limit, record_use
from orgs.models import Application, User

_SECONDS = 5.0
_LINKS = Limit("connect-sessions", uses=30)


class Invitations:
    """Makes links on `threads`."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def make(self, principal: Principal, integration: IntegrationFacts | None) -> ConnectLink:
        """Return a link for the principal's person: about one integration, or about all that the application may use.

        Raises RateLimitedError, UnavailableError, and NotFoundError where that has just ended.
        """
        refusal = "a connect link can't be made at present: ask again in a moment"
        key = integration.id if integration is not None else None
        return await self._threads.run_or_refuse(_SECONDS, refusal, _invite, principal, key)


def _invite(principal: Principal, integration_id: str | None) -> ConnectLink:
    wait = record_use(_LINKS, f"{principal.user_id}:{principal.application_id}")
    if wait:
        raise RateLimitedError("too many connect links were asked for", seconds=wait)
    try:
        return invite_to_connect(
            user=User.objects.get(pk=str(principal.user_id)),
            application=Application.objects.select_related("organization").get(pk=principal.application_id),
            integration=Integration.objects.get(pk=UUID(integration_id)) if integration_id is not None else None,
        )
    except (ConnectionsError, ValidationError) as error:
        raise NotFoundError(f"no connect link was made: {error}") from None
