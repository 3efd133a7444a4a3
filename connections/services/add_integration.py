from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from audit.types import EventType
from connections import egress
from connections.errors import DestinationRefusedError
from connections.filling import fill
from connections.injection import check_header, check_header_name
from connections.models import Integration
from connections.services.declare_capability import declare_capability
from connections.services.events import record_integration_event
from orgs.errors import say
from orgs.models import Organization

RESERVED = frozenset({"connect-session"})
# Addresses that are no place for a request of ours: a database, or one that each account has of its own.
_NOT_ASKED = re.compile(r"postgresql://[A-Za-z0-9.:-]+\Z|\{[a-z_]+\}\Z")


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
    **known: Any,
) -> Integration:
    """Add an integration as a draft; nothing is asked of it yet. Raises ValidationError, keyed by field.

    `known` is what the catalogue says of it besides: see add_from_catalogue.
    """
    integration = Integration(
        organization=organization,
        slug=slug,
        name=name,
        url=url,
        auth_mode=auth_mode,
        category=category,
        key_header=key_header,
        key_template=key_template,
        **known,
    )
    with transaction.atomic():
        check_integration(integration)
        integration.save(force_insert=True)
        record_integration_event(
            EventType.INTEGRATION_ADDED,
            integration,
            actor=actor,
            name=name,
            url=url,
            auth_mode=auth_mode,
            **({"catalogue_entry": integration.catalogue_entry} if integration.catalogue_entry else {}),
        )
        declare_capability(integration=integration, actor=actor)
    return integration


def check_integration(integration: Integration) -> None:
    """Raises ValidationError, keyed by field, for an integration that could never work or must not."""
    integration.full_clean()
    if integration.slug in RESERVED:
        raise ValidationError({"slug": "This name is an address of the gateway itself: choose another."})
    _check_url(integration)
    fields = [name for name, *_ in integration.key_fields] or ["token"]
    try:
        check_header(
            integration.key_header,
            integration.key_template,
            fields=["basic"] if integration.key_basic else fields,
        )
        if integration.category == Integration.Category.GATEWAY_REMOTE_MCP:
            for name in integration.api_headers:
                check_header_name(name)
    except ValueError as error:
        field = "key_template" if "template" in str(error) else "key_header"
        raise ValidationError({field: say(error)}) from None


def _check_url(integration: Integration) -> None:
    is_plain = integration.category == Integration.Category.INTERNAL_MCP_CREDENTIALS
    if is_plain and integration.catalogue_entry and _NOT_ASKED.match(integration.url):
        # Kontext itself never goes there: applications do, and where it is may depend on the person's account.
        return
    try:
        parts = egress.check_url(fill(integration.url, dict.fromkeys(integration.dialect.get("parameters", ()), "x")))
    except DestinationRefusedError as error:
        raise ValidationError({"url": say(error)}) from None
    if parts.fragment or parts.query:
        raise ValidationError({"url": "The URL must have no query and no fragment: secrets don't belong there."})
