"""State that a client carries for us, sealed: legacy session identifiers and the requestState of a retry.

Any gateway process opens them, none stores them. What an envelope is bound to is authenticated with it: opened for
another principal, integration or purpose it is as invalid as one that was changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from uuid import UUID

from gateway.facts import IntegrationFacts, Principal
from orgs.vault.box import Key, open_sealed, seal
from orgs.vault.errors import VaultError
from orgs.vault.root import get_root_key

_MAX_CHARACTERS = 64 * 1024


class Envelopes:
    def __init__(self, key: Key) -> None:
        self._key = key

    def seal(self, purpose: str, binding: str, text: str) -> str:
        sealed = seal(self._key, text.encode(), f"{purpose}:{binding}".encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, purpose: str, binding: str, sealed: str) -> str | None:
        """Return the text, or None where this was not sealed here, for this purpose and binding."""
        if len(sealed) > _MAX_CHARACTERS:
            return None
        try:
            decoded = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            return open_sealed(self._key, decoded, f"{purpose}:{binding}".encode()).decode()
        except (VaultError, binascii.Error, ValueError):
            return None


def make_envelopes() -> Envelopes:
    """Return the installation's envelopes: every process derives the same key from the root key."""
    system = get_root_key().get_system_key()
    identifier = UUID(bytes=system.derive("gateway:envelopes:id")[:16])
    return Envelopes(Key(identifier, system.derive("gateway:envelopes")))


def bind(principal: Principal, integration: IntegrationFacts, *more: str) -> str:
    """Return who and what an envelope belongs to. Not the token: a refreshed one goes on where the former was."""
    parts = (principal.organization_id, principal.user_id or "", principal.application_id, integration.id, *more)
    return "\0".join(parts)


def name_session(sealed: str) -> str:
    """Return the name by which the log knows a session: the identifier itself gives access and is not kept."""
    return hashlib.sha256(sealed.encode()).hexdigest()[:32]
