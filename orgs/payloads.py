"""What was kept of the content of calls (audit.capture): sealed with a key of the person's, and opened to be shown.

A payload's plaintext is 32 random bytes and then the JSON. Its event has `details.payload`: the level, and as digest
the HMAC-SHA-256 of the JSON with those bytes as key. So whoever is shown a payload can tell that it is what was sealed
into the tree, and once the person's key is erased, the digest says nothing about the content, guess as one may.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from audit.capture import Content, Level
from audit.models import AuditEvent, Payload, PayloadKey
from orgs.errors import PayloadErasedError, PayloadMissingError, PayloadUnreadableError
from orgs.vault import Key, VaultError, decrypt, encrypt
from orgs.vault.box import KEY_BYTES

_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class SealedPayload:
    """`ciphertext` is for audit.models.Payload, `note` for the event's `details.payload`."""

    ciphertext: bytes = field(repr=False)
    note: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenedPayload:
    """What was kept. `text` is the JSON, byte for byte as it was digested with `salt`."""

    level: str
    is_cut: bool
    text: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    @property
    def document(self) -> dict[str, Any]:
        """Return an object with one of `arguments`, `result` and `error` in it."""
        document: dict[str, Any] = json.loads(self.text)
        return document

    @property
    def shown(self) -> str:
        """Return it for people to read: what has no width, or turns the direction of writing, is spelled out."""
        text = json.dumps(self.document, indent=2, ensure_ascii=False)
        return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def get_payload_key(*, organization_id: UUID, user_id: UUID | None, application_id: UUID) -> Key:
    """Return the key for a person's calls in an organization, or for those of an application for itself (no user).

    It is made where there is none, or where the last was erased. Raises VaultError.
    """
    owner = {"user_id": user_id, "application_id": application_id if user_id is None else None}
    keys = PayloadKey.objects.filter(organization_id=organization_id, **owner).usable()
    row = keys.first()
    if row is None:
        # Of several processes that get here together one inserts, and all use that row.
        PayloadKey.objects.bulk_create([_make_key(organization_id, owner)], ignore_conflicts=True)
        row = keys.get()
    return _open_key(row)


def seal_payload(key: Key, content: Content, *, organization_id: UUID, call: UUID, phase: str) -> SealedPayload:
    salt = secrets.token_bytes(_SALT_BYTES)
    ciphertext = encrypt(organization_id, salt + content.data, associated_data=_bind(call, phase), key=key)
    note = {
        "level": content.level.value,
        "digest": _digest(salt, content.data),
        **({"cut": True} if content.is_cut else {}),
    }
    return SealedPayload(ciphertext, note)


def has_payload(event: AuditEvent) -> bool:
    return isinstance(event.details.get("payload"), dict) and event.organization_id is not None


def describe_payload(event: AuditEvent) -> str:
    """Say in a sentence what was kept at an event, without opening it."""
    if not has_payload(event):
        return "Nothing but keyed digests."
    erased = _find_erased(event)
    if erased is not None:
        return f"Erased on {erased.at:%Y-%m-%d} by {erased.by}."
    note = event.details["payload"]
    kept = (
        "Kept in full, without secrets."
        if note.get("level") == Level.FULL
        else "Kept as names, types and sizes, without a value."
    )
    return f"{kept} It was too large to keep more." if note.get("cut") else kept


def can_be_shown(event: AuditEvent) -> bool:
    return has_payload(event) and _find_erased(event) is None


def open_payload(event: AuditEvent) -> OpenedPayload:
    """Return what was kept at an event. Raises PayloadMissingError, PayloadErasedError or PayloadUnreadableError."""
    note = event.details.get("payload")
    if not isinstance(note, dict) or event.organization_id is None:
        raise PayloadMissingError("nothing but digests was kept of the content")
    row = Payload.objects.of_events([event]).filter(organization_id=event.organization_id).first()
    key = _find_key(event.organization_id, event, row)
    if key is not None and key.erased_at is not None:
        raise PayloadErasedError(key.erased_at, key.erased_by)
    if row is None or key is None:
        raise PayloadUnreadableError("the content is gone, although its key was not erased")
    try:
        plain = decrypt(
            event.organization_id, row.sealed, associated_data=_bind(event.call, event.phase), key=_open_key(key)
        )
    except VaultError:
        raise PayloadUnreadableError("the content can't be opened: it was changed, or moved from elsewhere") from None
    salt, text = plain[:_SALT_BYTES], plain[_SALT_BYTES:]
    if not hmac.compare_digest(_digest(salt, text), str(note.get("digest"))):
        raise PayloadUnreadableError("the content is not the one that its event has the digest of")
    return OpenedPayload(str(note.get("level")), bool(note.get("cut")), text, salt)


def _find_erased(event: AuditEvent) -> PayloadErasedError | None:
    assert event.organization_id is not None
    key = _find_key(event.organization_id, event, Payload.objects.of_events([event]).first())
    return PayloadErasedError(key.erased_at, key.erased_by) if key is not None and key.erased_at is not None else None


def _find_key(organization_id: UUID, event: AuditEvent, row: Payload | None) -> PayloadKey | None:
    keys = PayloadKey.objects.filter(organization_id=organization_id)
    if row is not None:
        return keys.filter(pk=row.key_id).first()
    # Erasing takes the row along, too. Of the person's keys it was the one that was in use then.
    owner = {"user_id": event.user_id, "application_id": event.application_id if event.user_id is None else None}
    erased = keys.filter(**owner, erased_at__gte=event.recorded_at)
    return erased.order_by("erased_at").first()


def _make_key(organization_id: UUID, owner: dict[str, UUID | None]) -> PayloadKey:
    row = PayloadKey(organization_id=organization_id, **owner)
    material = secrets.token_bytes(KEY_BYTES)
    row.sealed_key = encrypt(organization_id, material, associated_data=_bind_key(row))
    return row


def _open_key(row: PayloadKey) -> Key:
    return Key(row.pk, decrypt(row.organization_id, row.sealed_key, associated_data=_bind_key(row)))


def _bind_key(row: PayloadKey) -> bytes:
    owner = row.user_id or row.application_id
    return b"payload-key" + row.pk.bytes + (owner.bytes if owner is not None else b"")


def _bind(call: UUID, phase: str) -> bytes:
    # With the organization, which the vault adds.
    return b"payload" + call.bytes + phase.encode()


def _digest(salt: bytes, text: bytes) -> str:
    return hmac.new(salt, text, "sha256").hexdigest()
