"""What a call carries to the integration. The usual way is a look-up and one AES-GCM opening, on the event loop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError

from connections import errors as refusals
from connections.injection import build_headers
from connections.models import Connection, Integration
from connections.services.begin_connect import begin_connect
from connections.services.refresh import UsableCredential, get_credential
from gateway.errors import ConnectionRequiredError, CredentialUnavailableError
from gateway.facts import ConnectLink, Injection, IntegrationFacts, Principal, Snapshot
from gateway.snapshot.connections import ConnectionCopies, Held, Key
from gateway.threads import Threads
from orgs.models import Application, User
from orgs.vault import VaultError

# A credential that ends sooner is renewed before it is used.
MARGIN_SECONDS = 30.0
# For a refresh at the integration, or for waiting until another process has made it.
RENEWAL_SECONDS = 20.0
# An application that repeats a call is given the link it already has, and not a new one each time.
LINK_SECONDS = 60.0
# An integration that refuses what it issued this recently would be asked for another one at every call.
_SECONDS_BETWEEN_RENEWALS = 10.0

_Statuses = Connection.Status
_Modes = Integration.AuthMode
_UNUSABLE = frozenset({_Statuses.PENDING.value, _Statuses.REVOKED.value, _Statuses.REAUTHORIZATION_REQUIRED.value})
# Looking a member up on its class costs more than comparing it.
_NONE, _SERVER_TOKEN, _ACTIVE = _Modes.NONE.value, _Modes.SERVER_TOKEN.value, _Statuses.ACTIVE.value


@dataclass(frozen=True, slots=True)
class _Link:
    link: ConnectLink
    made_at: float
    held: Held | None


class Credentials:
    """Obtains and renews credentials. What needs the network or a write runs on `threads`."""

    def __init__(self, connections: ConnectionCopies, threads: Threads) -> None:
        self._connections = connections
        self._threads = threads
        self._renewals: dict[tuple[UUID, int | None], asyncio.Task[UsableCredential]] = {}
        self._renewed: dict[UUID, tuple[int, float]] = {}
        self._links: dict[tuple[str, str, str], _Link] = {}

    async def obtain(self, snapshot: Snapshot, principal: Principal, integration: IntegrationFacts) -> Injection:
        """Return what to send along, valid for half a minute at least where the integration lets it.

        Raises ConnectionRequiredError, CredentialUnavailableError or UnavailableError.
        """
        if integration.auth_mode == _NONE:
            return Injection(headers={})
        key = _get_key(principal, integration)
        held = self._connections.find(snapshot.organization_id, key)
        if held is None:
            held = await self._connections.get(snapshot.organization_id, key)
        if held is None or held.status in _UNUSABLE:
            raise _make_required(integration, held)
        if _is_good(held):
            try:
                return _open(held, integration)
            except (VaultError, ValueError):
                pass  # get_credential finds the same, and says what it means
        return await self._renew(UUID(held.connection_id), None, integration)

    async def renew(
        self, snapshot: Snapshot, principal: Principal, integration: IntegrationFacts, bad: Injection
    ) -> Injection:
        """Return another credential in place of `bad`, which the integration has just refused (401).

        However many calls were refused, the integration is asked once. Raises as `obtain` does.
        """
        if bad.connection_id is None:
            raise _make_required(integration, None)
        held = await self._connections.get(snapshot.organization_id, _get_key(principal, integration))
        if held is not None and held.generation > bad.generation and _is_good(held):
            return _open(held, integration)
        connection_id = UUID(bad.connection_id)
        generation, renewed_at = self._renewed.get(connection_id, (-1, 0.0))
        if generation == bad.generation and time.monotonic() - renewed_at < _SECONDS_BETWEEN_RENEWALS:
            raise CredentialUnavailableError("the integration refuses a credential that it has only just issued")
        return await self._renew(connection_id, bad.generation, integration)

    async def create_connect_link(self, principal: Principal, integration: IntegrationFacts) -> ConnectLink:
        """Return where the person connects the integration. Raises CredentialUnavailableError when nobody can now."""
        if principal.user_id is None:
            raise CredentialUnavailableError("the application acts for nobody who could connect the integration")
        held = await self._connections.get(principal.organization_id, (principal.user_id, integration.id))
        key = (principal.user_id, principal.application_id, integration.id)
        known, now = self._links.get(key), time.monotonic()
        if known is not None and known.held == held and now - known.made_at < LINK_SECONDS:
            return known.link
        self._forget_old(now)
        try:
            link = await self._threads.run(_begin_connect, principal, integration)
        except (refusals.ConnectionsError, ValidationError) as error:
            raise CredentialUnavailableError("the integration can't be connected at present") from error
        self._links[key] = _Link(link, now, held)
        return link

    async def _renew(self, connection_id: UUID, bad: int | None, integration: IntegrationFacts) -> Injection:
        """Wait for the one renewal that all calls with this connection share."""
        key = (connection_id, bad)
        task = self._renewals.get(key)
        if task is None:
            task = self._renewals[key] = asyncio.ensure_future(self._get_credential(*key))
            task.add_done_callback(lambda done: self._forget_renewal(key, done))
        try:
            async with asyncio.timeout(RENEWAL_SECONDS + 1):
                # Shielded: a refresh that was begun is finished, whoever stops waiting for it.
                usable = await asyncio.shield(task)
        except refusals.ReauthorizationRequiredError as error:
            raise ConnectionRequiredError(
                str(error), reason="reauthorization_required", is_personal=_is_personal(integration)
            ) from None
        except (refusals.ConnectionsError, TimeoutError) as error:
            raise CredentialUnavailableError(f"no credential at present: {error or 'it took too long'}") from None
        return Injection(
            headers=usable.headers,
            connection_id=str(usable.connection_id),
            account=usable.account,
            generation=usable.generation,
        )

    async def _get_credential(self, connection_id: UUID, bad: int | None) -> UsableCredential:
        usable = await self._threads.run(
            get_credential,
            connection_id=connection_id,
            min_seconds=MARGIN_SECONDS,
            known_bad_generation=bad,
            deadline=time.monotonic() + RENEWAL_SECONDS,
        )
        if bad is not None:
            self._forget_old(time.monotonic())
            self._renewed[connection_id] = (usable.generation, time.monotonic())
        return usable

    def _forget_renewal(self, key: tuple[UUID, int | None], done: asyncio.Task[UsableCredential]) -> None:
        del self._renewals[key]
        if not done.cancelled():
            done.exception()  # whoever asked was told; perhaps nobody waits any more

    def _forget_old(self, now: float) -> None:
        self._links = {key: kept for key, kept in self._links.items() if now - kept.made_at < LINK_SECONDS}
        self._renewed = {key: kept for key, kept in self._renewed.items() if now - kept[1] < _SECONDS_BETWEEN_RENEWALS}


def _get_key(principal: Principal, integration: IntegrationFacts) -> Key:
    if integration.auth_mode == _SERVER_TOKEN:
        return None, integration.id
    if principal.user_id is None:
        raise ConnectionRequiredError(
            f"{integration.name} is used with a person's own account, and this application acts for nobody",
            reason="not_connected",
            is_personal=False,
        )
    return principal.user_id, integration.id


def _is_personal(integration: IntegrationFacts) -> bool:
    return integration.auth_mode in (_Modes.OAUTH, _Modes.USER_TOKEN)


def _is_good(held: Held) -> bool:
    is_lasting = held.expires_at is None or held.expires_at - time.time() > MARGIN_SECONDS
    return held.sealed is not None and held.status == _ACTIVE and is_lasting


def _open(held: Held, integration: IntegrationFacts) -> Injection:
    assert held.sealed is not None
    headers = build_headers(integration.recipe, held.sealed.open())
    return Injection(
        headers=headers, connection_id=held.connection_id, account=held.account, generation=held.generation
    )


def _make_required(integration: IntegrationFacts, held: Held | None) -> ConnectionRequiredError:
    reason = "not_connected"
    if held is not None and held.status != _Statuses.PENDING:
        reason = held.status
    if not _is_personal(integration):
        text = f"{integration.name} has no key of the organization: an administrator has to enter one"
        return ConnectionRequiredError(text, reason=reason, is_personal=False)
    verb = "connected" if reason == "not_connected" else "connected again"
    return ConnectionRequiredError(f"{integration.name} has to be {verb} first", reason=reason)


def _begin_connect(principal: Principal, integration: IntegrationFacts) -> ConnectLink:
    assert principal.user_id is not None
    link = begin_connect(
        user=User.objects.get(pk=principal.user_id),
        integration=Integration.objects.select_related("organization").get(pk=integration.id),
        application=Application.objects.get(pk=principal.application_id),
    )
    return ConnectLink(url=link.url, elicitation_id=str(link.session_id))
