"""What is kept of calls' content beside their events, sealed with a key of the person's. Only where it is asked for."""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import Any
from uuid import UUID

import orjson

from audit.capture import Content
from gateway.errors import UnavailableError
from gateway.facts import Principal, Snapshot
from gateway.threads import Threads
from orgs.payloads import get_payload_key, seal_payload
from orgs.vault import Key, VaultError

_SECONDS = 5.0
_REFUSAL = "what is to be kept of the call can't be sealed at present"
_MOST_KEYS = 4_096

# Organization, user (None: the application acts for itself) and application (None: it acts for a user).
Owner = tuple[str, str | None, str | None]


class Payloads:
    """Seals payloads. Keys are found, or made, on `threads`, and kept until one of the organization's was erased."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._keys: OrderedDict[Owner, tuple[int, Key]] = OrderedDict()

    async def seal(
        self, snapshot: Snapshot, principal: Principal, *, call: str, phase: str, content: Content
    ) -> tuple[bytes, dict[str, Any]]:
        """Return the row for the audit log and what the event has to say about it. Raises UnavailableError."""
        key = await self._get_key(snapshot, principal)
        organization_id = UUID(snapshot.organization_id)
        sealed = seal_payload(key, content, organization_id=organization_id, call=UUID(call), phase=phase)
        row = {
            "call": call,
            "phase": phase,
            "organization_id": snapshot.organization_id,
            "key_id": str(key.id),
            "sealed": base64.b64encode(sealed.ciphertext).decode(),
        }
        return orjson.dumps(row), sealed.note

    async def _get_key(self, snapshot: Snapshot, principal: Principal) -> Key:
        user_id = principal.user_id
        owner = (snapshot.organization_id, user_id, principal.application_id if user_id is None else None)
        erasures, key = self._keys.get(owner, (-1, None))
        if key is not None and erasures == snapshot.erasures:
            return key
        try:
            key = await self._threads.run_or_refuse(_SECONDS, _REFUSAL, _find_key, snapshot.organization_id, principal)
        except VaultError:
            raise UnavailableError(_REFUSAL) from None
        self._keys[owner] = (snapshot.erasures, key)
        if len(self._keys) > _MOST_KEYS:
            self._keys.popitem(last=False)
        return key


def _find_key(organization_id: str, principal: Principal) -> Key:
    return get_payload_key(
        organization_id=UUID(organization_id),
        user_id=UUID(principal.user_id) if principal.user_id is not None else None,
        application_id=UUID(principal.application_id),
    )
