"""The keys that sign the audit trees' checkpoints: made on first use, rotated so that every verifier can follow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from audit.notes import Checkpoint, VerifierKey, sign_note
from audit.services.record import NOBODY, Actor, record_event
from audit.types import EventType
from orgs.models import CheckpointKey
from orgs.vault import decrypt, encrypt

# For this long a retired key signs beside the new one: whoever fetches the keys meanwhile never meets an unknown one.
RETIRED_KEYS_SIGN = dt.timedelta(days=30)


def sign_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the checkpoint's note, signed with the active key and those that retired lately."""
    return sign_for_tree(str(checkpoint), checkpoint.origin)


def sign_for_tree(text: str, origin: str) -> str:
    """Return the note of a text about this log, signed like its checkpoints."""
    keys = [*_find_retired_lately(), get_or_create_active_checkpoint_key()]
    return sign_note(text, origin, [_open(key) for key in keys])


def rotate_checkpoint_key(*, actor: Actor = NOBODY) -> CheckpointKey:
    """Sign with a new key from now on, and for a month with the former one as well. Returns the new key."""
    with transaction.atomic():
        _lock()
        CheckpointKey.objects.filter(retired_at=None).update(retired_at=timezone.now())
        key = _make_key()
        details = {"checkpoint_key": str(key), "public_key": bytes(key.public_key).hex()}
        record_event(type=EventType.KEY_ROTATED, organization_id=None, actor=actor, details=details)
    return key


def get_or_create_active_checkpoint_key() -> CheckpointKey:
    active = CheckpointKey.objects.filter(retired_at=None).first()
    if active is not None:
        return active
    with transaction.atomic():
        _lock()
        return CheckpointKey.objects.filter(retired_at=None).first() or _make_key()


def get_verifier_keys(origin: str) -> Sequence[VerifierKey]:
    """Return every key that ever signed for this origin, the oldest first."""
    keys = CheckpointKey.objects.order_by("created_at").values_list("public_key", flat=True)
    return [VerifierKey(origin, bytes(public)) for public in keys]


def get_key_binding(public_key: bytes) -> bytes:
    """Return the associated data of a private key's ciphertext."""
    return b"checkpoint-key:" + public_key


def _find_retired_lately() -> list[CheckpointKey]:
    return list(CheckpointKey.objects.filter(retired_at__gt=timezone.now() - RETIRED_KEYS_SIGN).order_by("created_at"))


def _open(key: CheckpointKey) -> Ed25519PrivateKey:
    sealed, public = bytes(key.private_key), bytes(key.public_key)
    return Ed25519PrivateKey.from_private_bytes(decrypt(None, sealed, associated_data=get_key_binding(public)))


def _make_key() -> CheckpointKey:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    private = encrypt(None, key.private_bytes_raw(), associated_data=get_key_binding(public))
    return CheckpointKey.objects.create(public_key=public, private_key=private)


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('orgs_checkpointkey'))")
