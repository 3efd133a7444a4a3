"""Who asks for a decision, and about whom they may ask: never more than a person behind the token may."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from orgs.api.access import READERS
from orgs.api.authentication import FAILURES
from orgs.api.errors import DelegationPausedError, InvalidTokenError, ManagementError, TooManyRequestsError
from orgs.http import get_source_address
from orgs.limits import record_use
from orgs.models import Application, IssuedToken, Membership, Organization, User
from orgs.oauth.resources import DECISION_SCOPE, MANAGEMENT_SCOPE, get_decision_resource, get_management_resource
from orgs.oauth.verify import find_bearer, find_valid_token, is_paused

_LONGEST = 4000


class InsufficientScopeError(ManagementError):
    status_code = 403
    code = "kontext_insufficient_scope"
    challenge = "insufficient_scope"
    message = f"The access token lacks the scope {DECISION_SCOPE}: ask for it in a new authorization."


@dataclass(frozen=True, slots=True)
class Asker:
    """A valid token's application and the person it stands for: whom it acts for, or else the application's owner.

    `is_managing`: the token is one of the management API's, so its application is a tool and not what is asked about.
    """

    organization: Organization
    application: Application
    user: User | None
    role: str
    is_managing: bool

    @property
    def may_ask_about_anyone(self) -> bool:
        return self.role in READERS


class DecisionAuthentication(BaseAuthentication):
    """Accept a token for exactly /access/v1 with access:evaluate, or one of the management API."""

    def authenticate(self, request: Request) -> tuple[User | None, Asker] | None:
        bearer = find_bearer(request.headers.get("Authorization", ""))
        if bearer is None:
            return None
        issued, scope = _find_token(bearer) if len(bearer) <= _LONGEST else (None, "")
        if issued is None:
            _count_failure(request)
            raise InvalidTokenError
        if scope not in issued.scope.split():
            raise InsufficientScopeError
        if is_paused(issued):
            raise DelegationPausedError(issued)
        asker = _make_asker(issued, is_managing=scope == MANAGEMENT_SCOPE)
        return asker.user, asker

    def authenticate_header(self, request: Request) -> str:
        return make_challenge()


def make_challenge(error: str = "") -> str:
    metadata = f"{settings.PUBLIC_URL}/.well-known/oauth-protected-resource/access/v1"
    parts = [f'resource_metadata="{metadata}"', f'scope="{DECISION_SCOPE}"']
    return "Bearer " + ", ".join([f'error="{error}"'] * bool(error) + parts)


def _find_token(bearer: str) -> tuple[IssuedToken | None, str]:
    """Return the token and the scope that it needs. A management token is for a person, or it is none."""
    issued = find_valid_token(bearer, resource=get_decision_resource())
    if issued is not None:
        return issued, DECISION_SCOPE
    issued = find_valid_token(bearer, resource=get_management_resource())
    return (issued if issued is not None and issued.user_id is not None else None), MANAGEMENT_SCOPE


def _make_asker(issued: IssuedToken, *, is_managing: bool) -> Asker:
    person = issued.user_id or issued.application.owner_id
    memberships = Membership.objects.active().filter(organization=issued.organization_id, user=person)
    membership = memberships.select_related("user").first()
    return Asker(
        organization=issued.organization,
        application=issued.application,
        user=membership.user if membership else None,
        role=membership.role if membership else "",
        is_managing=is_managing,
    )


def _count_failure(request: Request) -> None:
    wait = record_use(FAILURES, get_source_address(request) or "")
    if wait:
        raise TooManyRequestsError(wait)
