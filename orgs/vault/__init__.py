"""The vault: secrets at rest, sealed with AES-256-GCM under a key per organization that the root key wraps.

`associated_data` says which record a secret belongs to (its organization, row and generation, say). It is not stored:
opening with other associated data fails, so a ciphertext that is moved to another row is useless there.
"""

from __future__ import annotations

from uuid import UUID

from orgs.vault.box import get_key_id, open_sealed, seal
from orgs.vault.errors import VaultError
from orgs.vault.keys import forget_keys, get_opening_key, get_sealing_key

__all__ = ["VaultError", "decrypt", "derive_key", "encrypt", "forget_keys"]


def encrypt(organization_id: UUID | None, plaintext: bytes, *, associated_data: bytes) -> bytes:
    """Seal a secret of an organization, or of the installation itself (None: signing keys, say)."""
    return seal(get_sealing_key(organization_id), plaintext, _bind(organization_id, associated_data))


def decrypt(organization_id: UUID | None, ciphertext: bytes | memoryview, *, associated_data: bytes) -> bytes:
    """Open what `encrypt` sealed. Raises VaultError for anything else: changed, moved, or of another organization.

    Once an organization's key is in memory this takes about a microsecond; before that it reads the database.
    """
    sealed = bytes(ciphertext)
    key = get_opening_key(organization_id, get_key_id(sealed))
    return open_sealed(key, sealed, _bind(organization_id, associated_data))


def derive_key(organization_id: UUID | None, purpose: str) -> bytes:
    """Return 32 bytes for this purpose, stable until the organization's data key is rotated."""
    return get_sealing_key(organization_id).derive(f"derived:{purpose}")


def _bind(organization_id: UUID | None, associated_data: bytes) -> bytes:
    return (organization_id.bytes if organization_id else bytes(16)) + associated_data
