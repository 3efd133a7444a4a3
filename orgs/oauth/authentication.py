"""Bearer tokens for the management API (Django REST framework)."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from orgs.models import IssuedToken, User
from orgs.oauth.resources import MANAGEMENT_SCOPE, get_management_resource
from orgs.oauth.verify import find_bearer, find_valid_token


class ManagementTokenAuthentication(BaseAuthentication):
    """Accept an access token whose audience is exactly the management API and whose scope is management:all.

    `request.user` is the person who delegated, `request.auth` what was issued: it names the organization and the
    application. A token for anything else, an integration say, is refused as if it did not exist.
    """

    def authenticate(self, request: Request) -> tuple[User, IssuedToken] | None:
        bearer = find_bearer(request.headers.get("Authorization", ""))
        if bearer is None:
            return None
        issued = find_valid_token(bearer, resource=get_management_resource())
        if issued is None or issued.user is None or MANAGEMENT_SCOPE not in issued.scope.split():
            raise AuthenticationFailed(
                "the access token is not valid for this API", code="kontext_authorization_required"
            )
        return issued.user, issued

    def authenticate_header(self, request: Request) -> str:
        return f'Bearer scope="{MANAGEMENT_SCOPE}"'
