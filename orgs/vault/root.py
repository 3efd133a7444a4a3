"""The root key: it wraps each organization's data key, and everything system-wide is derived from it."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Protocol
from uuid import UUID

from django.conf import settings

from orgs.vault.box import KEY_BYTES, Key, get_key_id, open_sealed, seal
from orgs.vault.errors import VaultError


class RootKey(Protocol):
    """What the vault asks of a root key. A key service (Vault Transit, a cloud KMS) implements the same."""

    @property
    def id(self) -> str:
        """Name this root key without revealing it: data keys say by which one they were wrapped."""
        ...

    def wrap(self, data_key: bytes, associated_data: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, associated_data: bytes) -> bytes: ...

    def get_system_key(self) -> Key:
        """Return the key for secrets that belong to the installation rather than to an organization."""
        ...


class LocalRootKey:
    """A root key whose 32 bytes this process holds, from the environment or from a file only its user can read."""

    def __init__(self, material: bytes) -> None:
        # Separate keys for wrapping and for system secrets; ids are derived, so that a wrong root key is recognized.
        root = Key(UUID(int=0), material)
        self._wrapping = _derive(root, "wrap")
        self._system = _derive(root, "system")

    @property
    def id(self) -> str:
        return f"local:{self._wrapping.id}"

    def wrap(self, data_key: bytes, associated_data: bytes) -> bytes:
        return seal(self._wrapping, data_key, associated_data)

    def unwrap(self, wrapped: bytes, associated_data: bytes) -> bytes:
        if get_key_id(wrapped) != self._wrapping.id:
            raise VaultError("this data key was wrapped with another root key: restore the root key it was made with")
        return open_sealed(self._wrapping, wrapped, associated_data)

    def get_system_key(self) -> Key:
        return self._system

    def __repr__(self) -> str:
        return f"LocalRootKey({self.id})"


def _derive(root: Key, purpose: str) -> Key:
    return Key(UUID(bytes=root.derive(f"root:{purpose}:id")[:16]), root.derive(f"root:{purpose}"))


def get_root_key() -> RootKey:
    """Return the configured root key, making the key file on first use when nothing is configured."""
    return _load(settings.ROOT_KEY, str(settings.ROOT_KEY_FILE))


@lru_cache(maxsize=4)
def _load(encoded: str, path: str) -> LocalRootKey:
    if encoded:
        return LocalRootKey(_decode(encoded, "KONTEXT_ROOT_KEY"))
    return LocalRootKey(read_or_create_key_file(Path(path)))


def read_or_create_key_file(path: Path) -> bytes:
    """Return the key in this file. Of several processes that start at once, one makes it and all read the same."""
    try:
        return _decode(path.read_text(), str(path))
    except FileNotFoundError:
        _create_key_file(path)
    except OSError as error:
        raise VaultError(f"the root key file {path} can't be read: {error.strerror}") from error
    return _decode(path.read_text(), str(path))


def _create_key_file(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces a key that another process has just made.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    except OSError as error:
        raise VaultError(f"the root key file {path} can't be made: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _decode(encoded: str, source: str) -> bytes:
    try:
        material = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        material = b""
    if len(material) != KEY_BYTES:
        raise VaultError(f"{source} must be {KEY_BYTES} random bytes in base64 (make one: openssl rand -base64 32)")
    return material
