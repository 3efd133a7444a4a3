"""What an administrator changed, as the audit trail keeps it: before and after, field by field, without secrets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from django.http import HttpRequest

from audit.services.record import record_event
from audit.types import EventType
from orgs.administration.access import get_organization_ids
from orgs.http import make_actor

# Never in a form, a list, a filter or an event, whatever model they are in.
SECRET_FIELDS = frozenset(
    {
        "browser_digest",
        "ciphertext",
        "client_secret",
        "code_verifier",
        "password",
        "private_key",
        "state_digest",
        "token_checksum",
        "token_digest",
        "wrapped_key",
    }
)
_HIDDEN = "(hidden)"
_LONGEST = 500

State = dict[str, Any]


def is_secret(field: models.Field[Any, Any]) -> bool:
    return field.name in SECRET_FIELDS or isinstance(field, models.BinaryField)


def get_secret_names(model: type[models.Model]) -> frozenset[str]:
    return frozenset(field.name for field in model._meta.concrete_fields if is_secret(field))


def capture(row: models.Model) -> State:
    """Return every field's value; of secrets only enough to notice that they changed, for the moment of comparing."""
    return {field.name: field.value_from_object(row) for field in row._meta.concrete_fields}


def capture_stored(row: models.Model) -> State:
    stored = type(row)._default_manager.filter(pk=row.pk).first()
    return capture(stored) if stored is not None else {}


def record_change(request: HttpRequest, row: models.Model, *, verb: str, before: State, after: State) -> None:
    """Append an admin.changed event. `verb` is added, changed or deleted. An unchanged row leaves none."""
    secrets = get_secret_names(type(row))
    changes = {
        name: [_describe(before.get(name), name in secrets), _describe(after.get(name), name in secrets)]
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    if not changes:
        return
    details = {"verb": verb, "object": row._meta.label, "object_id": str(row.pk), "name": str(row)[:255]}
    for organization_id in _owners(row):
        record_event(
            type=EventType.ADMIN_CHANGED,
            organization_id=organization_id,
            actor=make_actor(user=request.user),
            details={**details, "changes": changes},
        )


def _owners(row: models.Model) -> list[UUID | None]:
    """Return under which organizations the event is kept; what belongs to the installation is kept under none."""
    return [*sorted(get_organization_ids(row))] or [None]


def _describe(value: Any, secret: bool) -> Any:
    if value is None or value == "" or value == b"":
        return None
    if secret:
        return _HIDDEN
    if isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple):
        return [str(item)[:_LONGEST] for item in value[:50]]
    return str(value)[:_LONGEST]
