"""Tell a person, and their organization, that a connection fails, works again, or will end."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from connections.models import Connection
from orgs.models import Notice
from orgs.notices.kinds import Kind
from orgs.services.give_notice import give_notice

FAILED, RECOVERED, EXPIRING = "connection.failed", "connection.recovered", "connection.expiring"
KINDS = (
    Kind(FAILED, "A connection fails: its person, or an administrator, has to act"),
    Kind(RECOVERED, "A connection that failed works again"),
    Kind(EXPIRING, "A connection ends within a week, and nothing can renew it"),
)
AHEAD = dt.timedelta(days=7)
# Whoever connects for some hours knows that it ends.
_SHORTEST_LIFE = dt.timedelta(days=1)
_MOST = 500
_FAILING = (Connection.Status.REAUTHORIZATION_REQUIRED, Connection.Status.ERROR)


def tell_of_change(connection: Connection, former: str) -> None:
    """Tell of a connection that has begun to fail, or works again. Belongs into the transaction that changed it."""
    if connection.status in _FAILING and former not in _FAILING:
        _tell_of_failure(connection)
    elif connection.status == Connection.Status.ACTIVE and former in _FAILING:
        text = "Applications can use it again. There is nothing to do."
        _tell(RECOVERED, connection, f"{_name(connection)} works again", text)


def tell_of_expiring() -> int:
    """Tell once of each connection that ends soon and can't be renewed. Returns of how many it told."""
    now = timezone.now()
    ending = Connection.objects.usable().filter(is_renewable=False, expires_at__gt=now, expires_at__lt=now + AHEAD)
    told = set(_find_told().values_list("data__connection__id", "data__connection__expiresAt"))
    count = 0
    for key, end in ending.order_by("expires_at").values_list("pk", "expires_at"):
        if (str(key), _write(end)) not in told and count < _MOST:
            count += _tell_of_end(key)
    return count


@transaction.atomic
def _tell_of_end(connection_id: UUID) -> bool:
    rows = Connection.objects.select_for_update(of=("self",)).select_related("integration", "user")
    connection = rows.filter(pk=connection_id, status=Connection.Status.ACTIVE, is_renewable=False).first()
    if connection is None or connection.expires_at is None or connection.connected_at is None:
        return False
    end = connection.expires_at
    same = {"data__connection__id": str(connection.pk), "data__connection__expiresAt": _write(end)}
    if end - connection.connected_at < _SHORTEST_LIFE or _find_told().filter(**same).exists():
        return False
    text = f"Nothing renews it by itself. Reconnect it before {end:%Y-%m-%d %H:%M} UTC, or calls fail from then on."
    _tell(EXPIRING, connection, f"{_name(connection)} ends on {end:%Y-%m-%d}", text)
    return True


def _find_told() -> Any:
    return Notice.objects.filter(kind=EXPIRING, created_at__gt=timezone.now() - 2 * AHEAD)


def _tell_of_failure(connection: Connection) -> None:
    if connection.status == Connection.Status.ERROR:
        text = "The service refuses Kontext as a client. An administrator has to check the integration's client."
        _tell(FAILED, connection, f"{_name(connection)} fails", f"{text}\n\n{_say_cause(connection)}", is_persons=False)
        return
    text = "The service no longer accepts it, and calls fail until it is reconnected: by the person whose it is, here."
    _tell(FAILED, connection, f"{_name(connection)} has to be reconnected", f"{text}\n\n{_say_cause(connection)}")


def _tell(kind: str, connection: Connection, subject: str, text: str, *, is_persons: bool = True) -> None:
    person = connection.user if is_persons else None
    # The person's own page: it asks them to sign in, works for nobody else, and never ends. Written out: a refresh may
    # run in the gateway, which loads no pages to find their addresses.
    path = f"/connections/#card-{connection.integration_id}"
    if connection.user is None or not is_persons:
        path = f"/admin/connections/integration/{connection.integration_id}/change/"
    give_notice(
        organization_id=connection.organization_id,
        kind=kind,
        subject=subject,
        text=text,
        path=path,
        data={"connection": _describe(connection, path)},
        person=person,
    )


def _describe(connection: Connection, path: str) -> dict[str, Any]:
    user = connection.user
    return {
        "id": str(connection.pk),
        "integration": connection.integration.slug,
        "account": connection.account,
        "status": connection.status,
        "cause": connection.error,
        "user": {"id": str(user.pk), "name": str(user)} if user is not None else None,
        "expiresAt": _write(connection.expires_at),
        "reconnectUrl": f"{settings.PUBLIC_URL}{path}",
    }


def _name(connection: Connection) -> str:
    whose = f"{connection.user}'s connection" if connection.user is not None else "The organization's connection"
    return f"{whose} to {connection.integration.name}"


def _say_cause(connection: Connection) -> str:
    return f"What it said: {connection.error or 'nothing'}."


def _write(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
