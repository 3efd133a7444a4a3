from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError

from audit.services.record import Actor
from connections.keys import make_key_document
from connections.models import Connection, Integration
from connections.services.check_key import check_key
from connections.services.store_credential import NewCredential, activate_connection


def set_server_token(
    *, integration: Integration, key: str | Mapping[str, str], actor: Actor | None = None
) -> Connection:
    """Store the organization's own key for an integration, in place of any former one.

    `key` is the key, or its parts by name. Raises ValidationError, keyed by part, and KeyRefusedError when the
    integration itself refuses the key.
    """
    if integration.auth_mode != Integration.AuthMode.SERVER_TOKEN:
        raise ValidationError({"key": "This integration doesn't take a key for the whole organization."})
    document = make_key_document(integration, {"key": key} if isinstance(key, str) else key)
    checked = check_key(integration, document)
    new = NewCredential(document=document, account=checked.account)
    return activate_connection(integration=integration, user=None, new=new, actor=actor, verified=checked.is_verified)
