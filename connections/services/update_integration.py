from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from audit.types import EventType
from connections.models import Connection, ConnectSession, Integration, OAuthClient
from connections.services.add_integration import check_integration
from connections.services.declare_capability import declare_capability
from connections.services.events import record_integration_event
from connections.services.forget_sessions import reject_held
from connections.services.revoke import revoke_connection

_CHANGEABLE = frozenset({"slug", "name", "url", "category", "auth_mode", "status", "key_header", "key_template"})
_CHANGEABLE |= {"capture_level", "redacted_paths"}


def update_integration(*, integration: Integration, actor: Actor | None = None, **changes: Any) -> Integration:
    """Change an integration. Raises ValidationError, keyed by field.

    Another auth mode or another origin ends every connection, and Kontext's registration with it: what was given for
    one server is never shown to another. The integration is then a draft until it is discovered again.
    """
    unknown = sorted(set(changes) - _CHANGEABLE)
    if unknown:
        raise ValidationError(dict.fromkeys(unknown, "This can't be changed."))
    with transaction.atomic():
        row = Integration.objects.select_for_update().get(pk=integration.pk)
        changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
        former = {name: getattr(row, name) for name in changed}
        for name, value in changed.items():
            setattr(row, name, value)
        check_integration(row)
        ended = _start_over(former, row, actor) if _leads_elsewhere(former, row) else 0
        row.save()
        if changed:
            record_integration_event(
                EventType.INTEGRATION_CHANGED, row, actor=actor, former=former, changed=changed, connections_ended=ended
            )
        if "category" in changed:
            declare_capability(integration=row, actor=actor)
    integration.refresh_from_db()
    return integration


def _leads_elsewhere(former: dict[str, Any], row: Integration) -> bool:
    if "auth_mode" in former:
        return True
    return "url" in former and urlsplit(former["url"])[:2] != urlsplit(row.url)[:2]


def _start_over(former: dict[str, Any], row: Integration, actor: Actor | None) -> int:
    connections = list(Connection.objects.filter(integration=row).exclude(status=Connection.Status.REVOKED))
    for connection in connections:
        revoke_connection(connection=connection, reason="integration changed", actor=actor)
    # Links that are out lead to the former place, too.
    sessions = ConnectSession.objects.filter(integration=row, used_at__isnull=True)
    for session in sessions.exclude(held_credential=b""):
        reject_held(session)
    sessions.delete()
    OAuthClient.objects.filter(integration=row).delete()
    if row.status == Integration.Status.ACTIVE:
        row.status = Integration.Status.DRAFT
    row.discovered_at, row.discovery_error = None, ""
    if "url" in former:
        _forget_service(row)
    return len(connections)


def _forget_service(row: Integration) -> None:
    """What the catalogue says of one service doesn't hold for another server."""
    row.dialect, row.api_headers, row.key_check, row.parameters = {}, {}, {}, {}
    row.catalogue_entry = row.catalogue_digest = ""
