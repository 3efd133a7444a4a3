"""The audit trail as the story looks things up in it."""

from __future__ import annotations

import asyncio
import datetime as dt
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from audit.models import AuditEvent
from audit.querysets import AuditEventQuerySet

PATIENCE = 3.0


class Trail:
    """Events of one organization since this moment, newest first."""

    def __init__(self, organization_id: UUID) -> None:
        self._organization_id = organization_id
        self._begun = self._mark = timezone.now()

    def begin_step(self) -> None:
        """Look only at what is recorded from now on."""
        self._mark = timezone.now()

    async def find(self, *types: str, **filters: object) -> AuditEvent | None:
        """Return the newest such event of this step, waiting a moment for what another process still writes."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            event = await self._newest(types, filters)
            if event is not None or asyncio.get_running_loop().time() > deadline:
                return event
            await asyncio.sleep(0.1)

    @sync_to_async
    def _newest(self, types: tuple[str, ...], filters: dict[str, object]) -> AuditEvent | None:
        return self._since(self._mark).filter(type__in=types).filter(**filters).order_by("-id").first()

    @sync_to_async
    def read_all(self) -> list[AuditEvent]:
        """Return every event since the story began, oldest first."""
        return list(self._since(self._begun).order_by("id"))

    def _since(self, moment: dt.datetime) -> AuditEventQuerySet:
        return AuditEvent.objects.for_organization(self._organization_id).filter(occurred_at__gte=moment)

    @sync_to_async
    def close(self) -> None:
        """Close the connection of the thread in which all of this was read."""
        connections.close_all()
