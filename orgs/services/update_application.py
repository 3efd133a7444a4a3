"""Change, approve, suspend and delete applications."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Application, User
from orgs.services.end_tokens import end_tokens
from orgs.services.register_application import check_application


def update_application(
    *,
    application: Application,
    name: str | None = None,
    owner: User | None = None,
    redirect_uris: Collection[str] | None = None,
    grant_types: Collection[str] | None = None,
    description: str | None = None,
    homepage: str | None = None,
    actor: Actor | None = None,
) -> Application:
    """Change what is given and leave the rest. Raises ValidationError, keyed by field."""
    given = {
        "name": name.strip() if name is not None else None,
        "owner": owner,
        "redirect_uris": " ".join(redirect_uris) if redirect_uris is not None else None,
        "grant_types": list(grant_types) if grant_types is not None else None,
        "description": description,
        "homepage": homepage,
    }
    changed = {key: value for key, value in given.items() if value is not None and value != getattr(application, key)}
    if not changed:
        return application
    for key, value in changed.items():
        setattr(application, key, value)
    check_application(application)
    with transaction.atomic():
        # Only these columns: a secret that is rotated at the same moment must not come back.
        application.save(update_fields=[*changed, "authorization_grant_type", "updated"])
        _record(application, actor, changed=sorted(changed), redirect_uris=application.redirect_uris.split())
    return application


def approve_application(*, application: Application, actor: Actor | None = None) -> Application:
    """Let an application that waits, or was suspended, work again."""
    return _set_status(application, Application.Status.ACTIVE, actor)


def suspend_application(*, application: Application, actor: Actor | None = None) -> Application:
    """Stop an application at once: its tokens end, people's consents stay for when it is approved again."""
    with transaction.atomic():
        suspended = _set_status(application, Application.Status.SUSPENDED, actor)
        end_tokens(application=application)
    return suspended


def delete_application(*, application: Application, actor: Actor | None = None) -> None:
    """Delete an application with its consents and tokens. The audit trail keeps its name."""
    with transaction.atomic():
        end_tokens(application=application)
        record_event(
            type=EventType.APPLICATION_DELETED,
            organization_id=application.organization_id,
            actor=actor or make_actor(application=application),
            details={"client_id": application.client_id, "name": application.name},
        )
        application.delete()


def _set_status(application: Application, status: str, actor: Actor | None) -> Application:
    former = application.status
    if former == status:
        return application
    with transaction.atomic():
        application.status = status
        application.save(update_fields=["status", "updated"])
        _record(application, actor, changed=["status"], former=former, status=status)
    return application


def _record(application: Application, actor: Actor | None, **details: Any) -> None:
    record_event(
        type=EventType.APPLICATION_CHANGED,
        organization_id=application.organization_id,
        actor=actor or make_actor(application=application),
        details={"client_id": application.client_id, "name": application.name, **details},
    )
