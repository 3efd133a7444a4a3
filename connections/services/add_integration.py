from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from audit.types import EventType
from connections import egress
from connections.errors import DestinationRefusedError
from connections.injection import check_header
from connections.models import Integration
from connections.services.declare_capability import declare_capability
from connections.services.events import record_integration_event
from orgs.errors import say
from orgs.models import Organization


def add_integration(
    *,
    organization: Organization,
    slug: str,
    name: str,
    url: str,
    auth_mode: str = Integration.AuthMode.OAUTH,
    category: str = Integration.Category.GATEWAY_REMOTE_MCP,
    key_header: str = "Authorization",
    key_template: str = "Bearer {token}",
    actor: Actor | None = None,
) -> Integration:
    """Add an integration as a draft; nothing is asked of it yet. Raises ValidationError, keyed by field."""
    integration = Integration(
        organization=organization,
        slug=slug,
        name=name,
        url=url,
        auth_mode=auth_mode,
        category=category,
        key_header=key_header,
        key_template=key_template,
    )
    with transaction.atomic():
        check_integration(integration)
        integration.save(force_insert=True)
        record_integration_event(
            EventType.INTEGRATION_ADDED, integration, actor=actor, name=name, url=url, auth_mode=auth_mode
        )
        declare_capability(integration=integration, actor=actor)
    return integration


def check_integration(integration: Integration) -> None:
    """Raises ValidationError, keyed by field, for an integration that could never work or must not."""
    integration.full_clean()
    try:
        parts = egress.check_url(integration.url)
    except DestinationRefusedError as error:
        raise ValidationError({"url": say(error)}) from None
    if parts.fragment or parts.query:
        raise ValidationError({"url": "The URL must have no query and no fragment: secrets don't belong there."})
    try:
        check_header(integration.key_header, integration.key_template)
    except ValueError as error:
        field = "key_template" if "template" in str(error) else "key_header"
        raise ValidationError({field: say(error)}) from None
