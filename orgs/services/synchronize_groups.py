from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from audit.services.record import record_event
from audit.types import EventType
from orgs.errors import TooManyGroupsError
from orgs.http import make_actor
from orgs.models import Group, GroupMembership, Organization, User

_MOST_GROUPS = 500


def synchronize_groups(*, organization: Organization, user: User, names: Iterable[str]) -> None:
    """Make a person's groups those the identity provider names. Groups given by an administrator stay.

    A name that an administrator already uses is that group: rules refer to it either way. Changes are recorded.
    """
    wanted = {name.strip()[:255] for name in names if name.strip() and "\0" not in name}
    if len(wanted) > _MOST_GROUPS:
        raise TooManyGroupsError(f"the identity provider names more than {_MOST_GROUPS} groups for one person")
    with transaction.atomic():
        mine = GroupMembership.objects.for_organization(organization).filter(user=user).select_related("group")
        held = {membership.group.name: membership for membership in mine}
        left = [m for name, m in held.items() if name not in wanted and m.source == Group.Source.IDP]
        joined = sorted(wanted - held.keys())
        GroupMembership.objects.filter(pk__in=[membership.pk for membership in left]).delete()
        for name in joined:
            _join(organization, user, name)
        if joined or left:
            _record(organization, user, joined, sorted(membership.group.name for membership in left))


def _join(organization: Organization, user: User, name: str) -> None:
    group, _ = Group.objects.get_or_create(organization=organization, name=name, defaults={"source": Group.Source.IDP})
    GroupMembership.objects.create(organization=organization, group=group, user=user, source=Group.Source.IDP)


def _record(organization: Organization, user: User, joined: list[str], left: list[str]) -> None:
    record_event(
        type=EventType.GROUPS_CHANGED,
        organization_id=organization.pk,
        actor=make_actor(user=user),
        details={"joined": joined, "left": left, "source": "idp"},
    )
