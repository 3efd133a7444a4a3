from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from connections.keys import make_key_document
from connections.models import Connection, ConnectSession, Integration
from connections.services.check_key import check_key
from connections.services.connect_session import use_session
from connections.services.store_credential import NewCredential, activate_connection
from orgs.http import make_actor
from orgs.models import User


def connect_with_key(
    *,
    key: str | Mapping[str, str],
    session: ConnectSession | None = None,
    user: User | None = None,
    integration: Integration | None = None,
    actor: Actor | None = None,
) -> Connection:
    """Connect a person with the key they pasted: on a connect session, which is used up by it, or directly.

    `key` is the key, or its parts by name. Raises ValidationError, KeyRefusedError when the integration refuses the
    key, ConnectLinkError.
    """
    if session is not None:
        user, integration = session.user, session.integration
    if user is None or integration is None:
        raise TypeError("connect_with_key needs a session, or a user and an integration")
    if integration.auth_mode != Integration.AuthMode.USER_TOKEN:
        raise ValidationError({"key": "This integration is not connected with a key of one's own."})
    document = make_key_document(integration, {"key": key} if isinstance(key, str) else key)
    checked = check_key(integration, document)
    with transaction.atomic():
        if session is not None:
            use_session(session)
        return activate_connection(
            integration=integration,
            user=user,
            new=NewCredential(document=document, account=checked.account),
            actor=actor or make_actor(user=user),
            verified=checked.is_verified,
        )
