from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from oauth2_provider.generators import generate_client_secret

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Application


def rotate_application_secret(*, application: Application, actor: Actor | None = None) -> str:
    """Replace the secret of a confidential application and return the new one, which can't be shown again.

    The former secret stops working at once. Tokens that it obtained live on until they expire.
    """
    if application.client_type != Application.CLIENT_CONFIDENTIAL:
        raise ValidationError({"client_type": ["A public application has no secret."]})
    secret: str = generate_client_secret()
    with transaction.atomic():
        application.client_secret = secret
        application.save(update_fields=["client_secret", "hash_client_secret", "updated"])
        record_event(
            type=EventType.APPLICATION_SECRET_ROTATED,
            organization_id=application.organization_id,
            actor=actor or make_actor(application=application),
            details={"client_id": application.client_id, "name": application.name},
        )
    return secret
