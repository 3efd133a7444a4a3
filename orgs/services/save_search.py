from __future__ import annotations

from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.errors import NotAllowedToShareError, NotAMemberError
from orgs.http import make_actor
from orgs.models import Membership, Organization, SavedSearch, User


def save_search(
    *,
    organization: Organization,
    owner: User,
    name: str,
    query: str,
    is_shared: bool = False,
    actor: Actor | None = None,
) -> SavedSearch:
    """Keep a search of the audit trail. Raises NotAMemberError, NotAllowedToShareError or ValidationError."""
    _check_may(organization, owner, is_shared=is_shared)
    search = SavedSearch(organization=organization, owner=owner, name=name, query=query, is_shared=is_shared)
    search.full_clean()
    with transaction.atomic():
        search.save(force_insert=True)
        _record(EventType.SEARCH_SAVED, search, actor)
    return search


def change_search(
    *, search: SavedSearch, name: str, query: str, is_shared: bool, actor: Actor | None = None
) -> SavedSearch:
    """Change a saved search. Saying what it says already changes nothing. Raises what `save_search` does."""
    with transaction.atomic():
        current = SavedSearch.objects.select_for_update().get(pk=search.pk)
        before = _describe(current)
        if is_shared and not current.is_shared:
            _check_may(current.organization, current.owner, is_shared=True)
        current.name, current.query, current.is_shared = name, query, is_shared
        if _describe(current) == before:
            return current
        current.full_clean()
        current.save()
        _record(EventType.SEARCH_CHANGED, current, actor, before=before)
    return current


def delete_search(*, search: SavedSearch, actor: Actor | None = None) -> None:
    with transaction.atomic():
        _record(EventType.SEARCH_DELETED, search, actor)
        SavedSearch.objects.filter(pk=search.pk).delete()


def _check_may(organization: Organization, owner: User, *, is_shared: bool) -> None:
    memberships = Membership.objects.active().filter(organization=organization, user=owner)
    if not memberships.exists():
        raise NotAMemberError("only members of the organization keep searches there")
    if is_shared and not memberships.filter(role__in=(Membership.Role.OWNER, Membership.Role.ADMIN)).exists():
        raise NotAllowedToShareError("only owners and administrators share a search: keep it for yourself")


def _describe(search: SavedSearch) -> dict[str, object]:
    return {"name": search.name, "query": search.query, "is_shared": search.is_shared}


def _record(event: EventType, search: SavedSearch, actor: Actor | None, **details: object) -> None:
    record_event(
        type=event,
        organization_id=search.organization_id,
        actor=actor or make_actor(user=search.owner),
        details={"search": str(search.pk), "owner": str(search.owner_id), **_describe(search), **details},
    )
