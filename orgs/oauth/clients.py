"""Which application is asking, outside oauthlib's own grants."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_plus

from django.http import HttpRequest
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauthlib.common import Request

from orgs.models import Application
from orgs.oauth.errors import OAuthError


def identify_client(http_request: HttpRequest, core: OAuthLibCore) -> Application | None:
    """Return the client that authenticated itself, or a public one that named itself, or None when none is named.

    Raises OAuthError (invalid_client) for anything else: a named client that can't prove it, or isn't active.
    """
    if not get_claimed_client_id(http_request):
        if http_request.headers.get("Authorization", "").lower().startswith("basic"):
            raise OAuthError("invalid_client", INVALID_CLIENT, status=401)
        return None
    uri, method, body, headers = core._extract_params(http_request)
    request = Request(uri, method, body, headers)
    validator = core.server.request_validator
    if validator.client_authentication_required(request):
        is_known = validator.authenticate_client(request)
    else:
        is_known = validator.authenticate_client_id(request.client_id, request)
    if not is_known:
        raise OAuthError("invalid_client", INVALID_CLIENT, status=401)
    application: Application = request.client
    return application


def get_claimed_client_id(request: HttpRequest) -> str:
    """Return the client ID the request names, proven or not."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return unquote_plus(base64.b64decode(credentials).decode().partition(":")[0])
        except (binascii.Error, ValueError):
            return ""
    return request.POST.get("client_id", "")


INVALID_CLIENT = "The client is unknown, not active, or did not authenticate itself: check its ID, secret and status."
