from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from audit.models import Payload, PayloadKey
from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Organization, User


@dataclass(frozen=True, slots=True)
class Erased:
    keys: int
    payloads: int


def erase_payloads(*, organization: Organization, user: User, actor: Actor | None = None) -> Erased:
    """Make everything that was kept of a person's calls in an organization unreadable, for good.

    Their keys are destroyed, and what was sealed with them deleted. Events and their trees stay as they are. Calls that
    run at this moment may leave something that nobody can read either; erasing once more deletes it.
    """
    actor = actor or make_actor()
    with transaction.atomic():
        keys = PayloadKey.objects.of(organization_id=organization.pk, user_id=user.pk, application_id=None)
        name = actor.user_name or actor.application_name or "the system"
        erased = keys.usable().update(sealed_key=b"", erased_at=timezone.now(), erased_by=name[:255])
        payloads, _ = Payload.objects.filter(key_id__in=keys.values("pk")).delete()
        if erased or payloads:
            record_event(
                type=EventType.PAYLOADS_ERASED,
                organization_id=organization.pk,
                actor=actor,
                details={"of_user": str(user.pk), "name": str(user), "keys": erased, "payloads": payloads},
            )
    return Erased(erased, payloads)


def has_kept_payloads(*, organization: Organization, user: User) -> bool:
    keys = PayloadKey.objects.of(organization_id=organization.pk, user_id=user.pk, application_id=None)
    return keys.usable().exists()


def count_payloads(*, organization: Organization, user: User) -> int:
    keys = PayloadKey.objects.of(organization_id=organization.pk, user_id=user.pk, application_id=None).usable()
    return Payload.objects.filter(key_id__in=keys.values("pk")).count()
