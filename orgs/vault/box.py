"""The sealed form of a secret: which key sealed it, and AES-256-GCM over it. Pure: no database, no settings.

    version (1) | id of the key (16) | nonce (12) | ciphertext and tag

Version and key id are authenticated along with the caller's associated data, so neither can be exchanged.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orgs.vault.errors import VaultError

KEY_BYTES = 32
VERSION = 1
_HEADER_BYTES = 17
_NONCE_BYTES = 12
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Key:
    """A 256-bit key ready for use: its cipher object is kept, since making one costs more than sealing."""

    id: UUID
    material: bytes = field(repr=False)
    cipher: AESGCM = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.material) != KEY_BYTES:
            raise VaultError(f"a key must have {KEY_BYTES} bytes")
        object.__setattr__(self, "cipher", AESGCM(self.material))

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes that are stable for this key and purpose and reveal neither (HKDF, RFC 5869)."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"kontext:" + purpose.encode()).derive(self.material)


def seal(key: Key, plaintext: bytes, associated_data: bytes) -> bytes:
    header = bytes([VERSION]) + key.id.bytes
    nonce = os.urandom(_NONCE_BYTES)
    return header + nonce + key.cipher.encrypt(nonce, plaintext, header + associated_data)


class Sealed:
    """A secret that stays sealed until it is needed, with the key to it at hand: opening takes about a microsecond."""

    __slots__ = ("_associated_data", "_cipher", "_ciphertext", "_nonce")

    def __init__(self, key: Key, sealed: bytes, associated_data: bytes) -> None:
        if get_key_id(sealed) != key.id:
            raise VaultError("this secret was sealed with another key")
        self._cipher = key.cipher
        self._nonce = sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        self._ciphertext = sealed[_HEADER_BYTES + _NONCE_BYTES :]
        self._associated_data = sealed[:_HEADER_BYTES] + associated_data

    def open(self) -> bytes:
        """Raises VaultError for a secret that was changed, or moved here from another record."""
        try:
            return self._cipher.decrypt(self._nonce, self._ciphertext, self._associated_data)
        except InvalidTag:
            # One error for both: AES-GCM can't tell them apart.
            raise VaultError("this secret was changed, or belongs to another record") from None


def open_sealed(key: Key, sealed: bytes, associated_data: bytes) -> bytes:
    return Sealed(key, sealed, associated_data).open()


def get_key_id(sealed: bytes) -> UUID:
    """Return the id of the key that sealed this, so that old secrets stay readable while keys rotate."""
    if len(sealed) < _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES:
        raise VaultError("this is not a sealed secret: it is too short")
    if sealed[0] != VERSION:
        raise VaultError(f"this secret has format {sealed[0]}, which this release does not know")
    return UUID(bytes=sealed[1:_HEADER_BYTES])
