"""What clients read first: RFC 8414 metadata, OpenID Connect discovery, and the public keys."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from orgs.oauth.answers import readable_anywhere
from orgs.oauth.grants import get_grant_types
from orgs.oauth.keys import get_public_keys

_MAX_AGE = "public, max-age=300"


@readable_anywhere
@require_safe
def authorization_server(request: HttpRequest) -> HttpResponse:
    return _publish(get_metadata())


@readable_anywhere
@require_safe
def openid_configuration(request: HttpRequest) -> HttpResponse:
    openid = {
        "userinfo_endpoint": _url("userinfo"),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "name", "email"],
        "prompt_values_supported": ["none", "consent"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
    return _publish({**get_metadata(), **openid})


@readable_anywhere
@require_safe
def jwks(request: HttpRequest) -> HttpResponse:
    return _publish(get_public_keys())


def get_metadata() -> dict[str, Any]:
    """Return the RFC 8414 document. Everything in it is served; nothing that is served is left out."""
    secret_methods = ["client_secret_basic", "client_secret_post"]
    grants = ["authorization_code", "refresh_token", "client_credentials", *get_grant_types()]
    return {
        "issuer": settings.PUBLIC_URL,
        "authorization_endpoint": _url("authorize"),
        "token_endpoint": _url("token"),
        "revocation_endpoint": _url("revoke"),
        "introspection_endpoint": _url("introspect"),
        "registration_endpoint": _url("register"),
        "jwks_uri": _url("jwks"),
        "scopes_supported": list(settings.OAUTH2_PROVIDER["SCOPES"]),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "token_endpoint_auth_methods_supported": ["none", *secret_methods],
        "revocation_endpoint_auth_methods_supported": ["none", *secret_methods],
        "introspection_endpoint_auth_methods_supported": secret_methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": False,
    }


def _url(name: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse(f'oauth2_provider:{name}')}"


def _publish(document: dict[str, Any]) -> HttpResponse:
    response = JsonResponse(document)
    response["Cache-Control"] = _MAX_AGE
    return response
