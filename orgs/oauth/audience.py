"""The one resource an access token is for (RFC 8707), and the scopes that mean something there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oauthlib.oauth2.rfc6749 import errors

from orgs.models import User
from orgs.oauth.resources import IDENTITY_SCOPES, Resource, find_resource, get_default_resource


def choose_resource(
    request: Any, *, granted: Sequence[str] | None, user: User | None
) -> tuple[Resource, tuple[str, ...]]:
    """Return the resource and scopes of the access token asked for, or raise invalid_target.

    `granted` is what the person consented to, None where nobody was asked (client credentials).
    """
    url = _choose_url(request, granted)
    resource = find_resource(url, application=request.client, user=user, organization=request.client.organization)
    if resource is None:
        raise _invalid_target(request, "The resource is unknown, or this application may not use it.")
    scopes = tuple(scope for scope in request.scopes if scope in resource.scopes or scope in IDENTITY_SCOPES)
    if not scopes:
        raise _invalid_target(request, "None of the requested scopes mean anything at this resource.")
    return resource, scopes


def _choose_url(request: Any, granted: Sequence[str] | None) -> str:
    requested: list[str] = [value for key, value in request.decoded_body if key == "resource"]
    default = get_default_resource(request.scopes)
    allowed = granted or ([default] if default else [])
    if granted is not None and not set(requested) <= set(allowed):
        raise _invalid_target(request, "The resource was not part of what the user consented to.")
    candidates = list(dict.fromkeys(requested or allowed))
    if not candidates:
        raise _invalid_target(request, "Name the resource this token is for in the resource parameter (RFC 8707).")
    if len(candidates) > 1:
        raise _invalid_target(request, "Name one resource: an access token is for exactly one.")
    return candidates[0]


def _invalid_target(request: Any, description: str) -> errors.CustomOAuth2Error:
    return errors.CustomOAuth2Error(error="invalid_target", description=description, request=request)
