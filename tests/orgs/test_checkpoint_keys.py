"""Keys that sign checkpoints: one signs, rotation loses no verifier, and the private half is nowhere to be read."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import AuditEvent
from audit.notes import Checkpoint, NoteError, open_checkpoint
from orgs.models import CheckpointKey
from orgs.services.checkpoint_keys import (
    RETIRED_KEYS_SIGN,
    get_or_create_active_checkpoint_key,
    get_verifier_keys,
    rotate_checkpoint_key,
    sign_checkpoint,
)
from orgs.vault import VaultError

pytestmark = pytest.mark.django_db
HEAD = Checkpoint("kontext.test/audit/x", 3, bytes(32))


def test_sign_makes_a_key_on_first_use_and_keeps_it() -> None:
    note = sign_checkpoint(HEAD)
    assert open_checkpoint(note, get_verifier_keys(HEAD.origin)) == HEAD
    sign_checkpoint(HEAD)
    assert CheckpointKey.objects.count() == 1
    assert get_or_create_active_checkpoint_key() == CheckpointKey.objects.get()


def test_rotate_signs_with_both_keys_for_a_month() -> None:
    before = get_or_create_active_checkpoint_key()
    [trusted] = get_verifier_keys(HEAD.origin)
    after = rotate_checkpoint_key()
    note = sign_checkpoint(HEAD)
    assert open_checkpoint(note, [trusted]) == open_checkpoint(note, get_verifier_keys(HEAD.origin)[1:]) == HEAD
    CheckpointKey.objects.filter(pk=before.pk).update(retired_at=timezone.now() - RETIRED_KEYS_SIGN)
    with pytest.raises(NoteError):
        open_checkpoint(sign_checkpoint(HEAD), [trusted])
    event = AuditEvent.objects.get(type="key.rotated")
    assert event.organization_id is None
    assert event.details["public_key"] == bytes(after.public_key).hex()


def test_private_key_is_sealed_and_bound_to_its_row() -> None:
    one = get_or_create_active_checkpoint_key()
    assert bytes(one.public_key) not in bytes(one.private_key)
    other = rotate_checkpoint_key()
    CheckpointKey.objects.filter(pk=other.pk).update(private_key=one.private_key)
    with pytest.raises(VaultError):
        sign_checkpoint(HEAD)


def test_second_active_key_is_refused_by_the_database() -> None:
    get_or_create_active_checkpoint_key()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orgs_checkpointkey (id, public_key, private_key, created_at) VALUES (uuidv7(), '', '', now())"
        )
