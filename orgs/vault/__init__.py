"""The vault: secrets at rest, sealed with AES-256-GCM under a key per organization that the root key wraps.

`associated_data` says which record a secret belongs to (its organization, row and generation, say). It is not stored:
opening with other associated data fails, so a ciphertext that is moved to another row is useless there.
"""

from __future__ import annotations

from uuid import UUID

from orgs.vault.box import Key, Sealed, get_key_id, open_sealed, seal
from orgs.vault.errors import VaultError
from orgs.vault.keys import forget_keys, get_opening_key, get_sealing_key

__all__ = [
    "Key",
    "Sealed",
    "VaultError",
    "decrypt",
    "derive_key",
    "encrypt",
    "forget_keys",
    "get_sealing_key",
    "hold_sealed",
]


def encrypt(organization_id: UUID | None, plaintext: bytes, *, associated_data: bytes, key: Key | None = None) -> bytes:
    """Seal a secret of an organization, or of the installation itself (None: signing keys, say).

    `key` is what `get_sealing_key` gave for this organization, for code that must seal even while the database is away.
    """
    key = key or get_sealing_key(organization_id)
    return seal(key, plaintext, _bind(organization_id, associated_data))


def decrypt(
    organization_id: UUID | None, ciphertext: bytes | memoryview, *, associated_data: bytes, key: Key | None = None
) -> bytes:
    """Open what `encrypt` sealed. Raises VaultError for anything else: changed, moved, or of another organization.

    Once an organization's key is in memory this takes about a microsecond; before that it reads the database. `key` is
    for what was sealed with a key that is kept elsewhere (orgs.payloads).
    """
    sealed = bytes(ciphertext)
    key = key or get_opening_key(organization_id, get_key_id(sealed))
    return open_sealed(key, sealed, _bind(organization_id, associated_data))


def hold_sealed(organization_id: UUID | None, ciphertext: bytes | memoryview, *, associated_data: bytes) -> Sealed:
    """Return what `encrypt` sealed, for code that opens it again and again and must not read the database then.

    Raises VaultError when its key is gone or is another organization's.
    """
    sealed = bytes(ciphertext)
    key = get_opening_key(organization_id, get_key_id(sealed))
    return Sealed(key, sealed, _bind(organization_id, associated_data))


def derive_key(organization_id: UUID | None, purpose: str) -> bytes:
    """Return 32 bytes for this purpose, stable until the organization's data key is rotated."""
    return get_sealing_key(organization_id).derive(f"derived:{purpose}")


def _bind(organization_id: UUID | None, associated_data: bytes) -> bytes:
    return (organization_id.bytes if organization_id else bytes(16)) + associated_data
