"""What tokens can be for at the gateway: one integration, or `/mcp` with all that an application may use."""

from __future__ import annotations

from django.conf import settings

from connections.models import Integration
from connections.querysets import IntegrationQuerySet
from orgs.models import Application, Organization, User
from orgs.oauth.resources import INVOKE_SCOPE, Resource


def find_gateway_resource(
    url: str, *, application: Application, user: User | None, organization: Organization
) -> Resource | None:
    """Resolve an exact gateway URL to the integrations behind it, as far as this application may use them.

    An application that registered itself and that nobody has taken in yet may ask for any active integration of the
    organization: what it gets is decided by the organization's registration policy and by the person's consent.
    """
    usable = _get_usable_integrations(application, organization)
    if url == get_joined_resource():
        return Resource(url, "All integrations", frozenset({INVOKE_SCOPE}), tuple(usable.values_list("pk", flat=True)))
    prefix = f"{get_joined_resource()}/"
    integration = usable.filter(slug=url.removeprefix(prefix)).first() if url.startswith(prefix) else None
    if integration is None:
        return None
    return Resource(integration.resource, integration.name, frozenset({INVOKE_SCOPE}), (integration.pk,))


def get_joined_resource() -> str:
    return f"{settings.GATEWAY_URL}/mcp"


def _get_usable_integrations(application: Application, organization: Organization) -> IntegrationQuerySet[Integration]:
    integrations = Integration.objects.for_organization(organization).active()
    if application.organization_id is None:
        return integrations
    return integrations.filter(application_integrations__application=application)
