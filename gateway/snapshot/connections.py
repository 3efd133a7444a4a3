"""The connections that calls come for, as last read, with their credentials sealed.

They are apart from the snapshot: there may be very many, most are never used here, and each refresh changes one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from connections.models import Connection
from gateway.snapshot.build import one_view, read_version
from gateway.snapshot.copy import Copy
from gateway.snapshot.listener import Listener
from gateway.threads import Threads
from orgs.vault import Sealed, VaultError, hold_sealed

TABLES = frozenset({"connections_connection", "connections_credential"})
_NEW_KEY = "a connection not asked for before"
_UNUSED_SECONDS = 600.0

# User (None: the organization's own) and integration.
Key = tuple[str | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A connection. `sealed` is None where there is no credential that opens; times are seconds since the epoch."""

    connection_id: str
    status: str
    generation: int
    account: str
    expires_at: float | None
    sealed: Sealed | None = field(compare=False)  # the generation says whether it is another


Connections = Mapping[Key, Held | None]


class ConnectionCopies:
    """What was asked for once is kept current until nobody has asked for it in ten minutes."""

    def __init__(self, listener: Listener, threads: Threads) -> None:
        self._listener = listener
        self._threads = threads
        self._copies: dict[str, _ConnectionCopy] = {}
        listener.follow(self._copies)

    def find(self, organization_id: str, key: Key) -> Held | None:
        """Return the connection if it is at hand and current. None says nothing: `get` knows."""
        copy = self._copies.get(organization_id)
        connections = copy.find() if copy is not None and self._listener.is_heard else None
        if copy is None or connections is None:
            return None
        copy.wanted[key] = copy.used_at
        return connections.get(key)

    async def get(self, organization_id: str, key: Key) -> Held | None:
        """Return the connection, None where there is none. Raises UnavailableError."""
        if not self._listener.is_heard:
            await self._listener.confirm()
        copy = self._copies.get(organization_id)
        if copy is None:
            copy = self._copies[organization_id] = _ConnectionCopy(organization_id, self._threads)
        copy.wanted[key] = self._listener.get_time()
        connections = await copy.get()
        while key not in connections:
            copy.mark(_NEW_KEY)
            connections = await copy.get_next()
        return connections[key]


class _ConnectionCopy(Copy[Connections]):
    """The connections of one organization by key. `wanted` says when, by the loop's clock, each was last asked for."""

    def __init__(self, organization_id: str, threads: Threads) -> None:
        super().__init__(self._read_wanted, concerns=TABLES)
        self.wanted: dict[Key, float] = {}
        self._organization_id = organization_id
        self._threads = threads

    async def _read_wanted(
        self, known: Connections | None, tables: Collection[str], heard: int
    ) -> tuple[Connections, int]:
        self._forget_unused()
        if known is not None and set(tables) == {_NEW_KEY}:
            new, _ = await self._threads.run(read_connections, self._organization_id, self.wanted.keys() - known.keys())
            return {**known, **new}, heard
        return await self._threads.run(read_connections, self._organization_id, frozenset(self.wanted))

    def _forget_unused(self) -> None:
        long_ago = self._loop.time() - _UNUSED_SECONDS
        self.wanted = {key: used_at for key, used_at in self.wanted.items() if used_at > long_ago}


def read_connections(organization_id: str, keys: Collection[Key]) -> tuple[Connections, int]:
    """Return these connections as the database has them now, and the organization's version at that moment."""
    organization = UUID(organization_id)
    users = {UUID(user) for user, _ in keys if user is not None}
    with one_view():
        version = read_version(organization)
        rows = Connection.objects.for_organization(organization).select_related("credential").order_by()
        found = list(rows.filter(user__in=users))
        if any(user is None for user, _ in keys):
            found += rows.filter(user__isnull=True)
        held = {_get_key(row): _hold(row) for row in found}
    return {key: held.get(key) for key in keys}, version


def _get_key(connection: Connection) -> Key:
    return str(connection.user_id) if connection.user_id is not None else None, str(connection.integration_id)


def _hold(connection: Connection) -> Held:
    expires_at = connection.expires_at
    return Held(
        connection_id=str(connection.pk),
        status=connection.status,
        generation=connection.generation,
        account=connection.account,
        expires_at=expires_at.timestamp() if expires_at is not None else None,
        sealed=_find_sealed(connection),
    )


def _find_sealed(connection: Connection) -> Sealed | None:
    """Return the credential if it is of the connection's generation and its key is at hand."""
    credential = getattr(connection, "credential", None)
    if credential is None or credential.generation != connection.generation:
        return None
    try:
        return hold_sealed(
            credential.organization_id, credential.ciphertext, associated_data=credential.associated_data
        )
    except VaultError:
        return None  # whoever needs it is told why by connections.services.refresh
