"""Bearer tokens for the management API, and nothing else: no session, so nothing a page could make a browser send."""

from __future__ import annotations

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from orgs.api.access import Access
from orgs.api.errors import DelegationPausedError, InsufficientScopeError, InvalidTokenError, TooManyRequestsError
from orgs.http import get_source_address
from orgs.limits import Limit, record_use
from orgs.models import IssuedToken, Membership, User
from orgs.oauth.resources import MANAGEMENT_SCOPE, get_management_resource
from orgs.oauth.verify import find_bearer, find_valid_token, is_paused

# A good token is never held up by the bad ones of a neighbour behind the same address.
FAILURES = Limit("management-failures", uses=60)
_LONGEST = 4000


class BearerAuthentication(BaseAuthentication):
    """Accept a token with the scope management:all whose audience is exactly this API, for a person."""

    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        bearer = find_bearer(request.headers.get("Authorization", ""))
        if bearer is None:
            return None
        issued = find_valid_token(bearer, resource=get_management_resource()) if len(bearer) <= _LONGEST else None
        membership = _find_membership(issued)
        if issued is None or membership is None:
            _count_failure(request)
            raise InvalidTokenError
        if MANAGEMENT_SCOPE not in issued.scope.split():
            raise InsufficientScopeError
        if is_paused(issued):
            raise DelegationPausedError(issued)
        access = Access(membership.user, membership.organization, membership.role, issued.application)
        return access.user, access

    def authenticate_header(self, request: Request) -> str:
        return make_challenge()


def make_challenge(error: str = "") -> str:
    """Return a WWW-Authenticate header (RFC 6750 §3, RFC 9728 §5.1) that leads to where a token is had."""
    metadata = f"{settings.PUBLIC_URL}/.well-known/oauth-protected-resource/api/v1"
    parts = [f'resource_metadata="{metadata}"', f'scope="{MANAGEMENT_SCOPE}"']
    return "Bearer " + ", ".join([f'error="{error}"'] * bool(error) + parts)


def _find_membership(issued: IssuedToken | None) -> Membership | None:
    if issued is None:
        return None
    memberships = Membership.objects.active().filter(organization=issued.organization_id, user=issued.user_id)
    return memberships.select_related("organization", "user").first()


def _count_failure(request: Request) -> None:
    wait = record_use(FAILURES, get_source_address(request) or "")
    if wait:
        raise TooManyRequestsError(wait)
