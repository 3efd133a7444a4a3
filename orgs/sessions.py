"""Which organization a browser's session acts in."""

from __future__ import annotations

from django.http import HttpRequest

from orgs.models import Membership, Organization

ORGANIZATION_KEY = "organization"


def get_current_membership(request: HttpRequest) -> Membership | None:
    """Return the active membership this session works under, or None.

    Sign-in through an identity provider names the organization. A local administrator who is in one organization
    only works in that one; in several, they choose first.
    """
    if not request.user.is_authenticated:
        return None
    mine = Membership.objects.active().filter(user=request.user).select_related("organization", "user")
    chosen = request.session.get(ORGANIZATION_KEY)
    if chosen is not None:
        return mine.filter(organization=chosen).first()
    found = list(mine[:2])
    return found[0] if len(found) == 1 else None


def set_current_organization(request: HttpRequest, organization: Organization) -> None:
    request.session[ORGANIZATION_KEY] = str(organization.pk)
