"""Which integrations an application may use at all. Policy decides about each call."""

from __future__ import annotations

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from connections.models import ApplicationIntegration, Integration
from orgs.http import make_actor
from orgs.models import Application


def set_application_integrations(
    *, application: Application, integrations: Collection[Integration], actor: Actor | None = None
) -> None:
    """Let an application use exactly these. Raises ValidationError for one of another organization."""
    wanted = {integration.pk: integration for integration in integrations}
    _check_organization(application, wanted.values())
    with transaction.atomic():
        # Two changes at the same moment wait for each other here.
        Application.objects.select_for_update().get(pk=application.pk)
        rows = ApplicationIntegration.objects.filter(application=application).select_related("integration")
        current = {row.integration_id: row.integration for row in rows}
        added = [integration for key, integration in wanted.items() if key not in current]
        removed = [integration for key, integration in current.items() if key not in wanted]
        ApplicationIntegration.objects.bulk_create(
            ApplicationIntegration(
                organization_id=integration.organization_id, application=application, integration=integration
            )
            for integration in added
        )
        rows.filter(integration__in=removed).delete()
        if added or removed:
            _record(application, added, removed, actor)


def allow_integration(*, application: Application, integration: Integration, actor: Actor | None = None) -> None:
    """Let an application use one more. Allowing what is allowed changes nothing."""
    _check_organization(application, [integration])
    with transaction.atomic():
        _, is_new = ApplicationIntegration.objects.get_or_create(
            application=application,
            integration=integration,
            defaults={"organization_id": integration.organization_id},
        )
        if is_new:
            _record(application, [integration], [], actor)


def disallow_integration(*, application: Application, integration: Integration, actor: Actor | None = None) -> None:
    with transaction.atomic():
        rows = ApplicationIntegration.objects.filter(application=application, integration=integration)
        if rows.delete()[0]:
            _record(application, [], [integration], actor)


def _check_organization(application: Application, integrations: Collection[Integration]) -> None:
    if any(integration.organization_id != application.organization_id for integration in integrations):
        raise ValidationError({"integrations": "Choose integrations of the application's own organization."})


def _record(
    application: Application, added: list[Integration], removed: list[Integration], actor: Actor | None
) -> None:
    record_event(
        type=EventType.APPLICATION_CHANGED,
        organization_id=application.organization_id,
        actor=actor or make_actor(),
        details={
            "client_id": application.client_id,
            "name": application.name,
            "integrations_allowed": sorted(integration.slug for integration in added),
            "integrations_disallowed": sorted(integration.slug for integration in removed),
        },
    )
