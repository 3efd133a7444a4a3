"""What the consent page says about integrations, and what a newly claimed application may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connections.models import ApplicationIntegration, Capability, Connection, Integration
from orgs.models import Application, Organization, User
from orgs.oauth.consent import Abilities
from orgs.oauth.resources import Resource


def get_abilities(*, user: User, application: Application, resources: Sequence[Resource]) -> list[Abilities]:
    """List, for each integration behind the resources, what it offers: the rules decide about each call later."""
    keys = {key for resource in resources for key in resource.integration_ids}
    integrations = Integration.objects.filter(pk__in=keys).order_by("name")
    return [_describe(integration, user) for integration in integrations]


def allow_requested_integrations(
    *, application: Application, organization: Organization, resources: Sequence[Resource], **kwargs: Any
) -> None:
    """Let a claimed application use the integrations it asked for, and no others (it may still await approval)."""
    for key in {key for resource in resources for key in resource.integration_ids}:
        ApplicationIntegration.objects.get_or_create(
            organization=organization, application=application, integration_id=key
        )


def _describe(integration: Integration, user: User) -> Abilities:
    offered = Capability.objects.offered().filter(integration=integration, kind=Capability.Kind.TOOL).order_by("name")
    connection = Connection.objects.filter(integration=integration, user=user).first()
    is_usable = connection is not None and connection.status == Connection.Status.ACTIVE
    return Abilities(
        integration=integration.name,
        reads=_name(offered, Capability.Klass.READ),
        writes=_name(offered, Capability.Klass.WRITE),
        destroys=_name(offered, Capability.Klass.DESTRUCTIVE),
        account=connection.account if connection is not None and is_usable else "",
        connection=_describe_connection(integration, connection),
    )


def _describe_connection(integration: Integration, connection: Connection | None) -> str:
    if integration.auth_mode == Integration.AuthMode.SERVER_TOKEN:
        return "With the key of your organization."
    if integration.auth_mode == Integration.AuthMode.NONE:
        return "Needs no account."
    if connection is not None and connection.status == Connection.Status.REAUTHORIZATION_REQUIRED:
        return "Connected, but no longer accepted there: you will be asked to reconnect when it is first needed."
    return "Connected." if connection is not None and connection.status == Connection.Status.ACTIVE else ""


def _name(capabilities: Any, klass: str) -> tuple[str, ...]:
    return tuple(capability.title or capability.name for capability in capabilities.filter(klass=klass))
