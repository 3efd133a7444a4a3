"""What an administrator decides about a capability: its changed definition, and its class."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from audit.types import EventType
from connections.definitions import classify_definition
from connections.models import Capability
from connections.services.discover_capabilities import adopt_definition
from connections.services.events import record_capability_event

_GRAVITY = ["read", "write", "destructive"]


def accept_capability(*, capability: Capability, actor: Actor | None = None) -> Capability:
    """Pin the definition that is held, as it is stored now. Accepting what isn't held changes nothing.

    A class that was confirmed for the former definition gives way to a graver claim, never to a milder one.
    """
    with transaction.atomic():
        row = Capability.objects.select_for_update(of=("self",)).select_related("integration").get(pk=capability.pk)
        if row.status == Capability.Status.HELD and row.held_definition is not None:
            former = row.digest
            claimed = classify_definition(row.held_definition)
            if _GRAVITY.index(claimed) > _GRAVITY.index(row.klass):
                row.klass_confirmed = False
            adopt_definition(row, row.held_definition)
            row.save()
            record_capability_event(
                EventType.CAPABILITY_ACCEPTED, row, actor=actor, former=former, digest=row.digest, klass=row.klass
            )
    capability.refresh_from_db()
    return capability


def confirm_class(*, capability: Capability, klass: str, actor: Actor | None = None) -> Capability:
    """Say what a capability does, whatever its annotations claim. Raises ValidationError."""
    if klass not in Capability.Klass.values:
        raise ValidationError({"klass": "Choose read, write or destructive."})
    with transaction.atomic():
        row = Capability.objects.select_for_update(of=("self",)).select_related("integration").get(pk=capability.pk)
        if (row.klass, row.klass_confirmed) != (klass, True):
            former = row.klass
            row.klass, row.klass_confirmed = klass, True
            row.save(update_fields=["klass", "klass_confirmed"])
            record_capability_event(EventType.CAPABILITY_CLASS_CONFIRMED, row, actor=actor, former=former, klass=klass)
    capability.refresh_from_db()
    return capability
