"""Facts that must stay true until the transaction ends."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection, models


def hold_still(rows: models.QuerySet[Any]) -> bool:
    """Tell whether any such row exists, and let nobody change it, or what it is joined to, until we commit.

    Who suspends, revokes or deletes then waits for us, and finds what we made. Several may hold the same rows.
    Lock in this order, as those do: application, membership, delegation, code, refresh token, access token.
    """
    sql, parameters = rows.order_by().values_list("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} FOR SHARE", parameters)
        return cursor.fetchone() is not None


def lock_version(organization_id: Any) -> None:
    """Take the lock on an organization's snapshot version, which triggers take anyway when a watched row changes.

    For who locks several watched rows: taken first by some and last by others, it would have them wait for each other.
    """
    SnapshotVersion = apps.get_model("orgs", "SnapshotVersion")
    SnapshotVersion._default_manager.select_for_update().filter(pk=organization_id).first()
