from __future__ import annotations

from django.core.exceptions import ValidationError

from audit.services.record import Actor
from connections.models import Connection, Integration
from connections.services.check_key import check_key
from connections.services.store_credential import NewCredential, activate_connection


def set_server_token(*, integration: Integration, key: str, actor: Actor | None = None) -> Connection:
    """Store the organization's own key for an integration, in place of any former one.

    Raises ValidationError, keyed by field, and KeyRefusedError when the integration itself refuses the key.
    """
    if integration.auth_mode != Integration.AuthMode.SERVER_TOKEN:
        raise ValidationError({"key": "This integration doesn't take a key for the whole organization."})
    is_verified = check_key(integration, key)
    new = NewCredential(document={"key": key})
    return activate_connection(integration=integration, user=None, new=new, actor=actor, verified=is_verified)
