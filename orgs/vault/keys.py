"""The key that seals for an organization: found, unwrapped and kept, or made on first use."""

from __future__ import annotations

import secrets
import threading
import time
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django.apps import apps
from django.db import transaction
from django.db.models import Manager

from orgs.vault.box import KEY_BYTES, Key
from orgs.vault.errors import VaultError
from orgs.vault.root import get_root_key

if TYPE_CHECKING:
    from orgs.models import DataKey

# Rotation elsewhere is noticed within this many seconds. Secrets sealed with the old key meanwhile stay readable.
_ACTIVE_KEY_SECONDS = 30.0

_keys: dict[tuple[UUID, UUID], Key] = {}
_active: dict[UUID, tuple[Key, float]] = {}
_lock = threading.Lock()


def get_sealing_key(organization_id: UUID | None) -> Key:
    """Return the key to seal with now; None is the installation itself."""
    if organization_id is None:
        return get_root_key().get_system_key()
    key, read_at = _active.get(organization_id, (None, 0.0))
    if key is None or time.monotonic() - read_at > _ACTIVE_KEY_SECONDS:
        key = _unwrap(_get_or_create_active(organization_id))
        transaction.on_commit(partial(_keep_active, organization_id, key))
    return key


def get_opening_key(organization_id: UUID | None, key_id: UUID) -> Key:
    """Return the key with this id, provided that it is this organization's."""
    if organization_id is None:
        return get_root_key().get_system_key()
    kept = _keys.get((organization_id, key_id))
    if kept is not None:
        return kept
    row = _data_keys().filter(organization_id=organization_id, id=key_id).first()
    if row is None:
        raise VaultError("the key of this secret is gone, or belongs to another organization")
    key = _unwrap(row)
    transaction.on_commit(partial(_keep, organization_id, key))
    return key


def forget_keys() -> None:
    """Drop every unwrapped key from memory (after the root key changed, or in tests)."""
    with _lock:
        _keys.clear()
        _active.clear()


def make_data_key(organization_id: UUID, *, version: int) -> DataKey:
    """Return a fresh, wrapped, unsaved data key."""
    row = _data_keys().model(organization_id=organization_id, version=version)
    root = get_root_key()
    row.root_key_id = root.id
    row.wrapped_key = root.wrap(secrets.token_bytes(KEY_BYTES), _bind(organization_id, row.id))
    return row


def _get_or_create_active(organization_id: UUID) -> DataKey:
    newest = _data_keys().filter(organization_id=organization_id).order_by("-version").first()
    if newest is not None:
        return newest
    # Of several processes that get here together one inserts, and all use that row.
    _data_keys().bulk_create([make_data_key(organization_id, version=1)], ignore_conflicts=True)
    return _data_keys().get(organization_id=organization_id, version=1)


def _data_keys() -> Manager[DataKey]:
    # Looked up when needed: orgs.models itself may use the vault.
    return apps.get_model("orgs", "DataKey")._default_manager


def _unwrap(row: DataKey) -> Key:
    wrapped = bytes(row.wrapped_key)
    return Key(row.id, get_root_key().unwrap(wrapped, _bind(row.organization_id, row.id)))


def _bind(organization_id: UUID, key_id: UUID) -> bytes:
    return b"data-key" + organization_id.bytes + key_id.bytes


def _keep(organization_id: UUID, key: Key) -> None:
    # Kept only once committed: a key whose row was rolled back must never seal anything.
    with _lock:
        _keys[organization_id, key.id] = key


def _keep_active(organization_id: UUID, key: Key) -> None:
    _keep(organization_id, key)
    with _lock:
        _active[organization_id] = (key, time.monotonic())
