"""End a person's access at once, in one organization or everywhere, and let them back in."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.errors import LastOwnerError
from orgs.http import make_actor
from orgs.models import Membership, User
from orgs.services.end_tokens import end_tokens
from orgs.signals import membership_suspended


def suspend_membership(*, membership: Membership, actor: Actor | None = None) -> Membership:
    """Suspend a person in one organization: their tokens there end, their sessions show nothing of it any more.

    Raises LastOwnerError when nobody could undo it.
    """
    with transaction.atomic():
        _check_another_administrator(membership)
        changed = Membership.objects.filter(pk=membership.pk, status=Membership.Status.ACTIVE).update(
            status=Membership.Status.SUSPENDED
        )
        membership.refresh_from_db()
        if changed:
            ended = end_tokens(user=membership.user, organization=membership.organization)
            membership_suspended.send(Membership, membership=membership)
            _record(EventType.PERSON_SUSPENDED, membership, actor, access_tokens_ended=ended)
    return membership


def resume_membership(*, membership: Membership, actor: Actor | None = None) -> Membership:
    """Let a suspended person back in. Their tokens don't come back."""
    with transaction.atomic():
        changed = Membership.objects.filter(pk=membership.pk, status=Membership.Status.SUSPENDED).update(
            status=Membership.Status.ACTIVE
        )
        membership.refresh_from_db()
        if changed:
            _record(EventType.MEMBERSHIP_CHANGED, membership, actor, status="active")
    return membership


def suspend_user(*, user: User, actor: Actor | None = None) -> User:
    """Suspend a person everywhere: no session, no sign-in and no token of theirs works any more."""
    with transaction.atomic():
        memberships = list(user.memberships.select_related("organization", "user").order_by("pk"))
        for membership in memberships:
            _check_another_administrator(membership)
        if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
            end_tokens(user=user)
            for membership in memberships:
                membership_suspended.send(Membership, membership=membership)
                _record(EventType.PERSON_SUSPENDED, membership, actor, everywhere=True)
    user.refresh_from_db()
    return user


def resume_user(*, user: User, actor: Actor | None = None) -> User:
    with transaction.atomic():
        if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
            for membership in user.memberships.select_related("organization", "user"):
                _record(EventType.MEMBERSHIP_CHANGED, membership, actor, everywhere=True, status="active")
    user.refresh_from_db()
    return user


def set_role(*, membership: Membership, role: str, actor: Actor | None = None) -> Membership:
    """Give a member another role. Whoever is more than a member may open the admin, within what the role allows."""
    with transaction.atomic():
        former = membership.role
        if role not in (Membership.Role.OWNER, Membership.Role.ADMIN):
            _check_another_administrator(membership)
        membership.role = role
        membership.full_clean()
        membership.save(update_fields=["role"])
        update_admin_access(membership.user)
        _record(EventType.MEMBERSHIP_CHANGED, membership, actor, former=former, role=role)
    return membership


def update_admin_access(user: User) -> None:
    """Let a person open the admin exactly while a role of theirs has something to do there."""
    has_role = user.memberships.exclude(role=Membership.Role.MEMBER).exists()
    User.objects.filter(pk=user.pk).update(is_staff=has_role or user.is_superuser)
    user.refresh_from_db(fields=["is_staff"])


def _check_another_administrator(membership: Membership) -> None:
    """Count with the organization's administrators locked: two must not suspend each other at the same moment."""
    administrators = Membership.objects.select_for_update(of=("self",)).administrators()
    remaining = [m.pk for m in administrators.filter(organization=membership.organization_id)]
    if membership.pk in remaining and len(remaining) == 1:
        raise LastOwnerError("this is the organization's last administrator: name another one first")


def _record(event: EventType, membership: Membership, actor: Actor | None, **details: Any) -> None:
    record_event(
        type=event,
        organization_id=membership.organization_id,
        actor=actor or make_actor(),
        details={"user": str(membership.user_id), "name": str(membership.user), **details},
    )
