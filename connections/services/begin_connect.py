from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from audit.services.record import Actor
from audit.types import EventType
from connections.errors import ConnectLinkError
from connections.models import ConnectSession, Integration
from connections.sealing import digest_secret
from connections.services.events import record_integration_event
from connections.services.store_credential import check_may_connect
from orgs.http import make_actor
from orgs.models import Application, User

LINK_LIFETIME = dt.timedelta(minutes=15)
CONNECTABLE = (Integration.AuthMode.OAUTH, Integration.AuthMode.USER_TOKEN)


@dataclass(frozen=True, slots=True)
class ConnectLink:
    """Where a person connects an integration. Whoever else opens it gets nothing."""

    url: str = field(repr=False)
    session_id: UUID
    expires_at: dt.datetime


def begin_connect(
    *,
    user: User,
    integration: Integration,
    application: Application | None = None,
    return_url: str = "",
    actor: Actor | None = None,
) -> ConnectLink:
    """Make a link with which this person, and nobody else, connects the integration once, within 15 minutes.

    `application` is who needs it. Raises ConnectLinkError when the person is no active member of the integration's
    organization or it isn't in use, ValidationError when people don't connect it, or for a foreign `return_url`.
    """
    if integration.auth_mode not in CONNECTABLE:
        raise ValidationError({"integration": "This integration is not connected person by person."})
    if application is not None and application.organization_id != integration.organization_id:
        raise ValidationError({"application": "Choose an application of the integration's own organization."})
    _check_return_url(return_url)
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        check_may_connect(user, integration)
        if integration.status != Integration.Status.ACTIVE:
            raise ConnectLinkError("the integration is not in use (yet): an administrator has to set it up")
        session = ConnectSession.objects.create(
            organization_id=integration.organization_id,
            user=user,
            integration=integration,
            application=application,
            token_digest=digest_secret(token),
            return_url=return_url,
            expires_at=timezone.now() + LINK_LIFETIME,
        )
        record_integration_event(
            EventType.CONNECTION_STARTED,
            integration,
            actor=actor or make_actor(user=user, application=application),
            session=str(session.pk),
        )
    return ConnectLink(f"{settings.PUBLIC_URL}/connect/{token}/", session.pk, session.expires_at)


def _check_return_url(return_url: str) -> None:
    here = urlsplit(settings.PUBLIC_URL)
    if return_url and not url_has_allowed_host_and_scheme(
        return_url, allowed_hosts={here.netloc}, require_https=here.scheme == "https"
    ):
        raise ValidationError({"return_url": "After connecting, people come back to a page of Kontext only."})
