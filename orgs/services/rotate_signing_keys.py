"""The keys that sign access tokens: made on first use, rotated without a token failing to verify."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction
from django.utils import timezone
from joserfc.jwk import ECKey

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import SigningKey
from orgs.vault import encrypt

# Far beyond the ten minutes that an access token lives, so that slow clocks and caches don't matter.
RETIRED_KEYS_ARE_KEPT = dt.timedelta(days=1)


def rotate_signing_keys() -> SigningKey:
    """Retire the active key, sign with the one published before, publish the one after it. Returns the active key."""
    with transaction.atomic():
        _lock()
        SigningKey.objects.filter(state=SigningKey.State.ACTIVE).update(
            state=SigningKey.State.RETIRED, retired_at=timezone.now()
        )
        active = _activate_next()
        _forget_old()
        record_event(
            type=EventType.KEY_ROTATED, organization_id=None, actor=make_actor(), details={"signing_key": active.kid}
        )
    return active


def get_or_create_active_signing_key() -> SigningKey:
    """Return the key that signs now; of several processes that start at once, one makes it."""
    active = SigningKey.objects.filter(state=SigningKey.State.ACTIVE).first()
    if active is not None:
        return active
    with transaction.atomic():
        _lock()
        return SigningKey.objects.filter(state=SigningKey.State.ACTIVE).first() or _activate_next()


def get_key_binding(kid: str) -> bytes:
    """Return the associated data of a private key's ciphertext."""
    return f"signing-key:{kid}".encode()


def _activate_next() -> SigningKey:
    active = SigningKey.objects.filter(state=SigningKey.State.NEXT).order_by("created_at").first() or _make_key()
    active.state = SigningKey.State.ACTIVE
    active.save(update_fields=["state"])
    if not SigningKey.objects.filter(state=SigningKey.State.NEXT).exists():
        _make_key()
    return active


def _make_key() -> SigningKey:
    key = ECKey.generate_key("P-256", private=True)
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "ES256"}
    private = encrypt(None, key.as_pem(private=True), associated_data=get_key_binding(kid))
    return SigningKey.objects.create(kid=kid, public_jwk=public, private_key=private)


def _forget_old() -> None:
    SigningKey.objects.filter(
        state=SigningKey.State.RETIRED, retired_at__lt=timezone.now() - RETIRED_KEYS_ARE_KEPT
    ).delete()


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('orgs_signingkey'))")
