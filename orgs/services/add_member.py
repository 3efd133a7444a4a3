from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Membership, Organization, User
from orgs.services.suspend_person import update_admin_access


def add_member(
    *, organization: Organization, user: User, role: str = Membership.Role.MEMBER, actor: Actor | None = None
) -> Membership:
    """Take a known person into an organization. Others become members at their first sign-in there."""
    if Membership.objects.filter(organization=organization, user=user).exists():
        raise ValidationError({"user": ["This person is a member already."]})
    membership = Membership(organization=organization, user=user, role=role)
    membership.full_clean()
    with transaction.atomic():
        membership.save()
        update_admin_access(user)
        record_event(
            type=EventType.MEMBERSHIP_CHANGED,
            organization_id=organization.pk,
            actor=actor or make_actor(),
            details={"user": str(user.pk), "name": str(user), "role": role, "added": True},
        )
    return membership
