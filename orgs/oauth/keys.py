"""The signing key in use, unsealed and kept for a moment, and the public half of all that still verify."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db import transaction
from joserfc.jwk import ECKey

from orgs.models import SigningKey
from orgs.services.rotate_signing_keys import get_key_binding, get_or_create_active_signing_key
from orgs.vault import decrypt

# A key retired elsewhere signs on here for at most this long; it verifies for a day (orgs.services).
_SECONDS_KEPT = 30.0

_lock = threading.Lock()
_kept: tuple[ECKey, float] | None = None


def get_signing_key() -> ECKey:
    """Return the active private key, with its `kid`, making the first one when there is none."""
    kept = _kept
    if kept is not None and time.monotonic() < kept[1]:
        return kept[0]
    row = get_or_create_active_signing_key()
    pem = decrypt(None, row.private_key, associated_data=get_key_binding(row.kid))
    key = ECKey.import_key(pem, {"kid": row.kid, "use": "sig", "alg": "ES256"})
    # Only once committed: a key whose row is rolled back would sign tokens that nobody can verify.
    transaction.on_commit(lambda: _keep(key))
    return key


def forget_signing_key() -> None:
    """Read the key anew at the next use (after a rotation, or between tests)."""
    global _kept
    with _lock:
        _kept = None


def get_public_keys() -> dict[str, Any]:
    """Return the JSON Web Key Set (RFC 7517): the next, the active and the retired keys."""
    get_or_create_active_signing_key()
    return {"keys": [key.public_jwk for key in SigningKey.objects.order_by("-created_at")]}


def _keep(key: ECKey) -> None:
    global _kept
    with _lock:
        _kept = (key, time.monotonic() + _SECONDS_KEPT)
