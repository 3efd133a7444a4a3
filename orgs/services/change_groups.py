"""Groups that administrators keep, and the members they add to any group."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Group, GroupMembership, Membership, Organization, User

_KEPT_BY_PROVIDER = "The identity provider keeps this: change it there, and it follows at the next sign-in."


def create_group(*, organization: Organization, name: str, actor: Actor | None = None) -> Group:
    group = Group(organization=organization, name=name.strip(), source=Group.Source.MANUAL)
    group.full_clean()
    with transaction.atomic():
        group.save()
        _record(group, actor, added=True)
    return group


def rename_group(*, group: Group, name: str, actor: Actor | None = None) -> Group:
    """Rename a group. One that the identity provider keeps is found by its name, which therefore stays."""
    former = group.name
    if name.strip() == former:
        return group
    if group.source == Group.Source.IDP:
        raise ValidationError({"name": [_KEPT_BY_PROVIDER]})
    group.name = name.strip()
    group.full_clean()
    with transaction.atomic():
        group.save(update_fields=["name"])
        _record(group, actor, former=former)
    return group


def delete_group(*, group: Group, actor: Actor | None = None) -> None:
    """Delete a group; the rules about it go with it, by the database's own cascade."""
    with transaction.atomic():
        _record(group, actor, deleted=True)
        group.delete()


def add_to_group(*, group: Group, user: User, actor: Actor | None = None) -> GroupMembership:
    """Put a member into a group for good: the identity provider's answers don't take them out again."""
    if not Membership.objects.filter(organization=group.organization_id, user=user).exists():
        raise ValidationError({"user": ["This person isn't a member of the organization."]})
    membership = GroupMembership(organization=group.organization, group=group, user=user, source=Group.Source.MANUAL)
    membership.full_clean()
    with transaction.atomic():
        membership.save()
        _record(group, actor, joined=str(user), user=str(user.pk))
    return membership


def remove_from_group(*, membership: GroupMembership, actor: Actor | None = None) -> None:
    if membership.source == Group.Source.IDP:
        raise ValidationError(f"{membership.user}: {_KEPT_BY_PROVIDER}")
    with transaction.atomic():
        _record(membership.group, actor, left=str(membership.user), user=str(membership.user_id))
        membership.delete()


def _record(group: Group, actor: Actor | None, **details: Any) -> None:
    record_event(
        type=EventType.GROUP_CHANGED,
        organization_id=group.organization_id,
        actor=actor or make_actor(),
        details={"group": str(group.pk), "name": group.name, **details},
    )
