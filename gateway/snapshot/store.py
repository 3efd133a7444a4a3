"""The snapshots of this process and the keys that tokens are verified with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from joserfc.jwk import ECKey

from gateway.facts import Snapshot
from gateway.snapshot.build import Built, build_snapshot, read_signing_keys, update_snapshot
from gateway.snapshot.copy import Copy, Reader
from gateway.snapshot.listener import Listener
from gateway.threads import Threads

# What is known of the installation rather than of an organization counts under this identifier.
SYSTEM = str(UUID(int=0))

# The facts to read again when only this table changed. A table that is not named here is part of several.
FIELDS_BY_TABLE: Mapping[str, str] = {
    "audit_payloadkey": "erasures",
    "connections_applicationintegration": "applications",
    "connections_capability": "capabilities",
    "orgs_delegation": "delegations",
    "orgs_groupmembership": "people",
    "orgs_issuedtoken": "revoked",
    "orgs_membership": "people",
    "policy_approval": "grants",
    "policy_baseline": "policy",
    "policy_rule": "policy",
}
# Connections are kept apart (gateway.snapshot.connections).
TABLES = frozenset(FIELDS_BY_TABLE) | {
    "connections_integration",
    "orgs_application",
    "orgs_group",
    "orgs_organization",
    "orgs_user",
}
SigningKeys = Mapping[str, ECKey]


class Snapshots:
    """One snapshot for each organization that calls come for, read at its first call and kept current."""

    def __init__(self, listener: Listener, threads: Threads) -> None:
        self._listener = listener
        self._threads = threads
        self._copies: dict[str, Copy[Built]] = {}
        self._keys: dict[str, Copy[SigningKeys]] = {}
        listener.follow(self._copies)
        listener.follow(self._keys)

    def find(self, organization_id: str) -> Snapshot | None:
        """Return the snapshot if it is at hand and current. None says nothing: `get` knows."""
        copy = self._copies.get(organization_id)
        if copy is None or not self._listener.is_heard:
            return None
        built = copy.find()
        return built.snapshot if built is not None else None

    async def get(self, organization_id: str) -> Snapshot | None:
        """Return the snapshot, None where there is no such organization. Raises UnavailableError."""
        await self.ensure_heard()
        copy = self._copies.get(organization_id)
        if copy is None:
            copy = self._copies[organization_id] = Copy(self._make_reader(organization_id), concerns=TABLES)
        return (await copy.get()).snapshot

    def find_keys(self) -> SigningKeys | None:
        """Return the keys if they are at hand and current; the same object for as long as they stay the same."""
        copy = self._keys.get(SYSTEM)
        return copy.find() if copy is not None and self._listener.is_heard else None

    async def get_keys(self) -> SigningKeys:
        """Return the public keys by their `kid`. Raises UnavailableError."""
        await self.ensure_heard()
        if SYSTEM not in self._keys:
            self._keys[SYSTEM] = Copy(self._read_keys)
        return await self._keys[SYSTEM].get()

    async def ensure_heard(self) -> None:
        if not self._listener.is_heard:
            await self._listener.confirm()

    def _make_reader(self, organization_id: str) -> Reader[Built]:
        async def read(built: Built | None, tables: Collection[str], heard: int) -> tuple[Built, int]:
            former = built.snapshot if built is not None else None
            if former is None or not FIELDS_BY_TABLE.keys() >= set(tables):
                new = await self._threads.run(build_snapshot, organization_id)
            else:
                fields = {FIELDS_BY_TABLE[table] for table in tables}
                new = await self._threads.run(update_snapshot, former, fields, heard)
            return new, new.version

        return read

    async def _read_keys(
        self, keys: SigningKeys | None, tables: Collection[str], heard: int
    ) -> tuple[SigningKeys, int]:
        return await self._threads.run(read_signing_keys, UUID(SYSTEM))
