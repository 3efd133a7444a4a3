"""The key under which this installation cosigns the checkpoints of other logs: made on first use, and kept."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection, transaction

from audit.notes import COSIGNATURE, VerifierKey, cosign
from orgs.models import WitnessKey
from orgs.vault import decrypt, encrypt


def cosign_text(text: str) -> str:
    """Return this witness's signature line for the text of a checkpoint, as of now."""
    key = _get_or_create()
    public = bytes(key.public_key)
    private = decrypt(None, bytes(key.private_key), associated_data=_get_binding(public))
    return cosign(text, key.name, Ed25519PrivateKey.from_private_bytes(private), int(time.time()))


def get_witness_key() -> VerifierKey:
    """Return what those whose logs we witness, and those who verify them, have to know of us."""
    key = _get_or_create()
    return VerifierKey(key.name, bytes(key.public_key), COSIGNATURE)


def _get_or_create() -> WitnessKey:
    existing = WitnessKey.objects.first()
    if existing is not None:
        return existing
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('orgs_witnesskey'))")
        return WitnessKey.objects.first() or _make()


def _make() -> WitnessKey:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    private = encrypt(None, key.private_bytes_raw(), associated_data=_get_binding(public))
    name = f"{urlsplit(settings.PUBLIC_URL).hostname or 'kontext'}/witness"
    return WitnessKey.objects.create(name=name, public_key=public, private_key=private)


def _get_binding(public_key: bytes) -> bytes:
    return b"witness-key:" + public_key
